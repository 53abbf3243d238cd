"""Where the evidence of an event can be opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from harness.audits.config import Audit
from harness.audits.events import Event


def evidence(audit: Audit, results: Path) -> Callable[[Event], str]:
    """Where an event's report lies: under the audit's public address, else as a file."""

    def where(event: Event) -> str:
        if audit.public_url:
            base = audit.public_url.rstrip("/")
            if event.target is None or not event.run:
                return f"{base}/#{anchor(event.event)}"
            return f"{base}/runs/{quote(event.run)}/report.html"
        if event.target is not None:
            return str(results / event.run / "report.html")
        return f"run {event.run}" if event.run else "truename audit status"

    return where


def anchor(event: str) -> str:
    """The name of an event's place on the page."""
    return f"e-{hashlib.sha256(event.encode()).hexdigest()[:12]}"
