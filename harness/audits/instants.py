"""Instants as they are stored, and leases that end with whoever holds them."""

from __future__ import annotations

import datetime
import os
import re
import socket
from pathlib import Path
from typing import Any, Final

from harness.errors import AuditError

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def stamp(at: datetime.datetime) -> str:
    """An instant as it is stored: UTC, sorts as text."""
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> datetime.datetime:
    """The time that a stored instant says."""
    return datetime.datetime.fromisoformat(text)


def utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def duration(text: str) -> datetime.timedelta:
    """A time as people write it: 30m, 2h, 3d.

    Raises
    ------
    AuditError
        It is none, or longer than a year.
    """
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found and int(found[1]) > 0:
        lasts = datetime.timedelta(**{_UNITS[found[2]]: int(found[1])})
        if lasts <= datetime.timedelta(days=366):
            return lasts
    raise AuditError(f"'{text}' is no time", next="write 30m, 2h or 3d; a year at most")


def is_gone(row: dict[str, Any]) -> bool:
    """Whether nobody works on what is leased any more.

    The lease is over, or its holder was a process of this machine that has ended.
    """
    if row["leased_until"] < stamp(utcnow()):
        return True
    host, _, process = row["holder"].rpartition("/")
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:  # where nobody reaps it, a killed process stays as a zombie
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
