"""Whether an audit is kept as it was planned: what was missed, and how much of a month is used."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

from harness.audits import events
from harness.audits.config import Audit, Severity
from harness.audits.events import Event
from harness.audits.instants import instant
from harness.audits.seen import Entry
from harness.campaign import Budget

#: Shares of a month's budget at which it is told, and how grave that is.
STEPS: Final[tuple[tuple[float, Severity], ...]] = (
    (1.0, "critical"),
    (0.8, "warning"),
    (0.5, "info"),
)
#: Audits missed are counted up to so many.
MOST: Final = 1000
#: Why nothing is asked any more.
USED_UP: Final = "the month's budget is used up"
Spent = tuple[int, int, float]


class Keeping:
    """The schedule and the month's budget of one audit."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self.last: Entry | None = None
        self.missing = False
        self.month, self.spent, self.told = "", (0, 0, 0.0), 0.0

    def of(self, entry: Entry, scheduled: bool) -> Iterator[Event]:
        """The events of one more audit; not ``scheduled`` is one of before today's schedule."""
        if "gaps" in self.audit.alarm.watch and scheduled:
            yield from self._gap(entry)
        self.last = entry
        if "budget" in self.audit.alarm.watch:
            yield from self._budget(entry)

    def _gap(self, entry: Entry) -> Iterator[Event]:
        """Times at which an audit was due and none was made, since the last one."""
        was, self.missing = self.missing, False
        if self.last is None:
            return
        missed = between(self.audit, self.last.due, entry.due)
        self.missing = missed > 0
        if missed and not was:  # where each takes longer than its time, it is told once
            many = f"more than {MOST}" if missed > MOST else str(missed)
            audits = "audit was" if missed == 1 else "audits were"
            said = f"{many} {audits} due and not made; what changed meanwhile was not seen"
            since = self.last.due
            yield events.make(self.audit, entry, "gap", "gaps", since=since, changes=[said])

    def _budget(self, entry: Entry) -> Iterator[Event]:
        month = month_begins(self.audit, entry.due).strftime("%Y-%m")
        if month != self.month:
            self.month, self.spent, self.told = month, (0, 0, 0.0), 0.0
        requests, tokens, money = (a + b for a, b in zip(self.spent, entry.spent, strict=True))
        self.spent = int(requests), int(tokens), float(money)
        used = used_up(self.audit.budget.month, self.spent)
        if is_paused(entry):
            used = max(used, 1.0)
        step = next(((at, how) for at, how in STEPS if used >= at), None)
        if step is None or step[0] <= self.told:
            return
        self.told = step[0]
        said = f"has used {100 * used:.0f} % of the budget of {month}: {_words(self)}"
        if step[0] == 1:
            said += "; nothing more is asked in this month"
        made = events.make(self.audit, entry, "budget", "budget", changes=[said])
        made.event = f"{self.audit.audit}/{month}/budget/{100 * step[0]:.0f}"
        if "budget" not in self.audit.alarm.severity:
            made.severity = step[1]
        yield made


def is_paused(entry: Entry) -> bool:
    """Whether nothing was asked for the month's budget is used up."""
    return entry.reason == USED_UP


def between(audit: Audit, last: str, now: str) -> int:
    """How often the schedule came round between two instants; one more than `MOST` is more."""
    trigger = audit.schedule.trigger()
    at, end = instant(last), instant(now)
    second = datetime.timedelta(seconds=1)
    count = 0
    while count <= MOST:
        found = trigger.get_next_fire_time(None, at + second)
        if found is None or found >= end:
            return count
        at, count = found, count + 1
    return count


def month_begins(audit: Audit, due: str) -> datetime.datetime:
    """When the month of an instant began, in the schedule's time zone."""
    here = instant(due).astimezone(ZoneInfo(audit.schedule.timezone))
    return here.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def used_up(cap: Budget, spent: Spent) -> float:
    """The greatest share of a month's caps that is used."""
    caps = (cap.requests, cap.tokens, cap.money)
    return max((one / of for one, of in zip(spent, caps, strict=True) if of), default=0.0)


def _words(keeping: Keeping) -> str:
    month, spent = keeping.audit.budget.month, keeping.spent
    caps = (month.requests, month.tokens, month.money)
    named = zip(spent, caps, ("requests", "tokens", "of money"), strict=True)
    return ", ".join(f"{one:g} of {of:g} {what}" for one, of, what in named if of)
