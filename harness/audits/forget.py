"""Prompts and replies of old audits are deleted; what was counted and seen stays."""

from __future__ import annotations

import datetime
from pathlib import Path

from harness.audits.history import History
from harness.audits.instants import stamp, utcnow

#: Files of a run that hold prompts or replies, or promise them.
FILES = ("samples.csv", "overlap.csv", "report.html", "journal.told")


def forget_older(history: History, days: int, results: Path) -> list[str]:
    """Forget what was sent and came back more than ``days`` ago; the names of those runs."""
    names = history.forget_replies(stamp(utcnow() - datetime.timedelta(days=days)))
    for name in names:
        for file in FILES:
            (results / name / file).unlink(missing_ok=True)
    return names
