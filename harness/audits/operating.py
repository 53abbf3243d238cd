"""What an operator says of alarms: wanted, known, not now; and whether a test reaches everybody."""

from __future__ import annotations

import datetime

from harness.audits import alarms
from harness.audits.config import Audit
from harness.audits.events import Event
from harness.audits.history import History
from harness.audits.instants import stamp, utcnow
from harness.audits.raised import Alarm
from harness.errors import AuditError, did_you_mean


def accept(history: History, audit: str, event: str | None, target: str | None) -> list[str]:
    """The change is wanted: what is seen now is the baseline from now on.

    Of the target and witness of one event, or of all of a target, or of the audit. Lines that say
    what is over.

    Raises
    ------
    AuditError
        There is no such event, or nothing was seen yet.
    """
    rows = history.rows(audit)
    if not rows:
        raise AuditError("nothing was seen yet", where=audit, next=f"truename audit run {audit}")
    witness = None
    if event is not None:
        wanted = _named(history, audit, event).event
        target, witness = wanted.target, wanted.witness or None
    elif target is not None:
        _known(history, audit, target)
    over = [
        alarm.event
        for alarm in history.states(audit)
        if alarm.is_open
        and target in (None, alarm.event.target)
        and witness in (None, alarm.event.witness)
    ]
    history.accept(audit, target, witness)
    history.close(audit, [one.event for one in over], "accepted")
    of = " ".join(filter(None, (audit, target, witness)))
    return [f"{of}: what was seen last is what it should be"] + [
        f"over: {one.headline}" for one in over
    ]


def acknowledge(history: History, audit: str, event: str | None) -> list[str]:
    """Somebody knows: open alarms, or one of them, are told no more; lines that say which."""
    known = [_named(history, audit, event)] if event else history.states(audit)
    fresh = [alarm.event for alarm in known if alarm.is_open and alarm.acked is None]
    history.acknowledge(audit, [one.event for one in fresh])
    said = [f"acknowledged: {one.headline}" for one in fresh]
    return said or ["no alarm is open that is not acknowledged"]


def silence(
    history: History, audit: str, target: str | None, lasts: datetime.timedelta
) -> list[str]:
    """Nobody is told for a while; what is open at its end is told then."""
    if target is not None:
        _known(history, audit, target)
    until = utcnow() + lasts
    history.silence(audit, target, until)
    of = f"{audit}, {target}" if target else audit
    return [f"{of}: nobody is told until {stamp(until)}; what is open then is told then"]


def test_alarm(audit: Audit, where: str) -> list[tuple[str, str | None]]:
    """Tell a test to every channel; each one's kind, and what went wrong."""
    alarms.check(audit)
    now = stamp(utcnow())
    event = Event(
        *(f"{audit.audit}/{now}/test", audit.audit, "test", None, now, now, ""),
        witness="test",
        severity="info",
        next="nothing",
    )
    return alarms.test(audit, event, where)


def _named(history: History, audit: str, event: str) -> Alarm:
    """An event by its name."""
    known = {alarm.event.event: alarm for alarm in history.states(audit)}
    if event not in known:
        open_ones = [name for name, alarm in known.items() if alarm.is_open]
        raise AuditError(
            f"the audit has no event '{event}'",
            where=audit,
            next=f"open are: {', '.join(open_ones) or 'none'}; truename audit status lists them",
        )
    return known[event]


def _known(history: History, audit: str, target: str) -> None:
    """Check that a target was seen.

    Raises
    ------
    AuditError
        It was not.
    """
    names = sorted({name for entry in history.entries(audit) for name in entry.seen})
    if target not in names:
        raise AuditError(
            f"the audit has seen no target '{target}': {did_you_mean(target, names)}",
            where=audit,
            next="name one that it has seen",
        )
