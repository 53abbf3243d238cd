"""Whether a target answers: silence and degradation, of a target and of each of its arms.

A target that fails to answer is told once, with the share that failed, and once more when it is
back; what happens between is one outage, however its share moves. What is scored meanwhile is
judged by the other witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from harness.audits import events
from harness.audits.config import Audit
from harness.audits.events import Event
from harness.audits.seen import ArmSeen, Entry, Seen
from harness.audits.states import share

#: Samples that fail at least before an audit counts as degraded.
FAILED: Final = 5
#: Audits in a row without any reply after which an outage in part is one of the whole.
WORSE: Final = 3
Health = Literal["good", "between", "degraded", "silence"]


class Looked(NamedTuple):
    """How one audit found a target or an arm, and why in words; None is known of nothing."""

    health: Health | None
    said: str = ""


class Reach:
    """A target (or one arm of it): whether it can be audited."""

    def __init__(self, audit: Audit, target: str | None, arm: str = "") -> None:
        self.audit, self.target, self.arm = audit, target, arm
        self.out: Literal["degraded", "silence"] | None = None
        #: Audits in a row that were bad, and silent; since when they are.
        self.bad, self.silent, self.since = 0, 0, ""
        self.open: list[str] = []

    def of(self, entry: Entry, looked: Looked) -> Iterator[Event]:
        """The events of one more audit."""
        health = looked.health
        if health is None or health == "between":
            return
        if health == "good":
            self.bad = self.silent = 0
            if self.out and self.open:
                yield self._event(entry, "recovered", [], self.open)
            self.open, self.out = [], None
            return
        self.since = self.since if self.bad else entry.due
        self.bad += 1
        self.silent = self.silent + 1 if health == "silence" else 0
        if self.out is None and self.bad >= self.audit.alarm.after:
            self.out = "silence" if self.silent == self.bad else "degraded"
            yield from self._goes_out(entry, looked, self.since)
        elif self.out == "degraded" and self.silent >= max(WORSE, self.audit.alarm.after):
            self.out = "silence"
            yield from self._goes_out(entry, looked, self.since)

    def _goes_out(self, entry: Entry, looked: Looked, since: str) -> Iterator[Event]:
        assert self.out is not None
        watched = "silence" if self.out == "silence" else "failures"
        if watched in self.audit.alarm.watch:
            told = self._event(entry, self.out, [looked.said], self.open, since)
            self.open = [told.event]
            yield told

    def _event(
        self,
        entry: Entry,
        kind: Literal["degraded", "silence", "recovered"],
        changes: list[str],
        closes: list[str],
        since: str | None = None,
    ) -> Event:
        return events.make(
            *(self.audit, entry, kind, "failures" if self.out == "degraded" else "silence"),
            target=self.target,
            part=self.arm,
            since=since,
            changes=changes or ([f"under {self.arm}"] if self.arm else []),
            closes=closes,
        )


def looked_at(seen: Seen, failed_share: float) -> Looked:
    """How an audit found a target."""
    arms = seen.arms.values()
    asked, failed = sum(one.asked for one in arms), sum(one.failed for one in arms)
    errors = list(dict.fromkeys(said for one in arms for said in one.errors))
    if seen.problem:
        errors = [*errors, f"given up: {seen.problem}"]
    if not seen.scored and not failed and not seen.problem:
        return Looked(None)  # it was not asked, as where a budget ended the audit
    return _looked(asked, failed, seen.scored, bool(seen.problem), errors, failed_share)


def arm_looked_at(label: str, arm: ArmSeen, failed_share: float) -> Looked:
    """How an audit found an arm."""
    if not arm.replies and not arm.failed:
        return Looked(None)
    found = _looked(arm.asked, arm.failed, bool(arm.replies), False, list(arm.errors), failed_share)
    return found._replace(said=f"under {label}, {found.said}")


def _looked(
    asked: int, failed: int, scored: bool, given_up: bool, errors: list[str], failed_share: float
) -> Looked:
    said = f"{share(failed, asked)} of the samples failed" if asked else "nothing was answered"
    said = "; ".join([said, *errors[:3]])
    if not scored:
        return Looked("silence", said)
    if given_up or (failed >= FAILED and failed >= failed_share * asked):
        return Looked("degraded", said)
    return Looked("good" if failed <= failed_share / 2 * asked else "between", said)
