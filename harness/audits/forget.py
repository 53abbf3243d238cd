"""Prompts and replies of old audits are deleted; what was counted and seen stays."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

from harness.audits.history import History
from harness.audits.instants import stamp, utcnow

#: Files of a run that hold prompts or replies, or promise them.
FILES = ("samples.csv", "overlap.csv", "report.html", "journal.told")


class Forgotten(NamedTuple):
    """Runs whose prompts and replies are gone, and those that are kept, for alarms rest on them."""

    gone: list[str]
    spared: list[str]


def forget_older(
    history: History, days: int, results: Path, with_evidence: bool = False
) -> Forgotten:
    """Forget what was sent and came back more than ``days`` ago.

    What alarms rest on is kept, but ``with_evidence``: the audits that raised them, and those since
    which they hold.
    """
    runs = {(row["audit"], row["due"]): row["run"] for row in history.rows()}
    rests = {event.run for event in history.alarms()}
    rests |= {runs.get((event.audit, event.since), "") for event in history.alarms()}
    before = stamp(utcnow() - datetime.timedelta(days=days))
    old = {row["run"] for row in history.rows() if row["due"] < before}
    spared = [] if with_evidence else sorted(rests & old)
    names = history.forget_replies(before, spared)
    for name in names:
        for file in FILES:
            (results / name / file).unlink(missing_ok=True)
    return Forgotten(names, spared)
