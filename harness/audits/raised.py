"""Alarms in the database: raised once, acknowledged, over; told once to each channel.

Who tells one holds a lease on it meanwhile, so that another process does not tell it too. All is
in the order in which it was written, whatever the clock said.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from harness.audits.events import Event
from harness.audits.instants import is_gone, stamp, utcnow
from harness.journal.database import insert_new
from harness.journal.schema import alarms, audits, channels, deliveries, silences

#: How long whoever tells an alarm is waited for.
TELLING: Final = datetime.timedelta(seconds=120)
#: What stands beside an alarm that was not told to a channel on purpose.
SILENCED: Final = "silenced"


class Alarm(NamedTuple):
    """An alarm as it stands: its event, and what became of it."""

    number: int
    event: Event
    raised: str
    acked: str | None
    closed: str | None
    closed_by: str | None

    @property
    def is_open(self) -> bool:
        return self.event.opens and self.closed is None


class Pending(NamedTuple):
    """An alarm that a channel does not know yet; ``reminder`` counts how often it was told again.

    ``silenced`` says that it was held back before.
    """

    alarm: Alarm
    channel: str
    reminder: int
    silenced: bool


class Raised:
    """The alarms of all audits in one database."""

    engine: Engine
    holder: str

    def raise_(self, event: Event) -> bool:
        """Store an alarm, and end those that it closes; False where it was raised before."""
        return bool(self.judged([event], []))

    def judged(self, raised: Sequence[Event], numbers: Sequence[int]) -> list[Event]:
        """Store alarms, and that some audits were judged, at once; those that are new."""
        new, now = [], stamp(utcnow())
        with self.engine.begin() as connection:
            for event in raised:
                row = {
                    "event": event.event,
                    "audit": event.audit,
                    "due": event.due,
                    "raised": now,
                    "content": msgspec.json.encode(event).decode(),
                }
                fresh = insert_new(self.engine, alarms).values(row).returning(alarms.c.id)
                if connection.execute(fresh).first() is None:
                    continue
                new.append(event)
                if event.closes:
                    over = alarms.c.event.in_(event.closes)
                    connection.execute(_close(over, now, event.event))
            mine = audits.c.id.in_(list(numbers))
            connection.execute(sa.update(audits).where(mine).values(judged=1))
        return new

    def states(self, audit: str | None = None) -> list[Alarm]:
        """Alarms as they stand, in the order in which they were raised."""
        query = sa.select(alarms).order_by(alarms.c.id)
        if audit is not None:
            query = query.where(alarms.c.audit == audit)
        with self.engine.connect() as connection:
            return [_alarm(row) for row in connection.execute(query).mappings()]

    def alarms(self, audit: str | None = None) -> list[Event]:
        """Alarms raised, oldest first."""
        return [alarm.event for alarm in self.states(audit)]

    def close(self, audit: str, events: Sequence[str], why: str) -> None:
        """Some alarms are over."""
        mine = sa.and_(alarms.c.audit == audit, alarms.c.event.in_(list(events)))
        with self.engine.begin() as connection:
            connection.execute(_close(mine, stamp(utcnow()), why))

    def acknowledge(self, audit: str, events: Sequence[str]) -> None:
        """Somebody knows of some alarms: they are told no more."""
        mine = sa.and_(alarms.c.audit == audit, alarms.c.event.in_(list(events)))
        fresh = sa.update(alarms).where(mine, alarms.c.acked.is_(None))
        with self.engine.begin() as connection:
            connection.execute(fresh.values(acked=stamp(utcnow())))

    def silence(self, audit: str, target: str | None, until: datetime.datetime) -> None:
        """Tell nothing of an audit, or of a target of it, until an instant."""
        row = {"audit": audit, "target": target, "until": stamp(until)}
        with self.engine.begin() as connection:
            connection.execute(sa.insert(silences).values(row | {"begins": stamp(utcnow())}))

    def silenced(self, audit: str, now: datetime.datetime) -> list[tuple[str | None, str]]:
        """The targets (None: all) of which nothing is told now, and until when."""
        query = sa.select(silences.c.target, silences.c.until).where(
            silences.c.audit == audit,
            silences.c.begins <= stamp(now),
            silences.c.until > stamp(now),
        )
        with self.engine.connect() as connection:
            return [(target, until) for target, until in connection.execute(query)]

    def know(self, audit: str, named: Sequence[str]) -> None:
        """Note channels: what was raised before a new one is not told there."""
        if not named:
            return
        last = sa.select(sa.func.coalesce(sa.func.max(alarms.c.id), 0))
        with self.engine.begin() as connection:
            since = connection.execute(last).scalar_one() + 1
            rows = [{"audit": audit, "channel": one, "since": since} for one in named]
            connection.execute(insert_new(self.engine, channels), rows)

    def untold(
        self, audit: str, named: Sequence[str], remind_before: str | None = None
    ) -> Iterator[Pending]:
        """Alarms and the channels that do not know them yet.

        Or are to be reminded, of those that are open and were told up to ``remind_before``.
        """
        with self.engine.connect() as connection:
            mine = sa.select(channels.c.channel, channels.c.since)
            mine = mine.where(channels.c.audit == audit)
            since = {row.channel: row.since for row in connection.execute(mine)}
            query = sa.select(deliveries).where(deliveries.c.channel.in_(list(named)))
            done = {
                (row["event"], row["channel"]): row for row in connection.execute(query).mappings()
            }
        for alarm in self.states(audit):
            for channel in named:
                if alarm.number < since.get(channel, 0):
                    continue
                row = done.get((alarm.event.event, channel))
                if row is None or row["told"] is None:
                    silenced = row is not None and row["problem"] == SILENCED
                    yield Pending(alarm, channel, 0, silenced)
                elif remind_before and _reminds(alarm, row, remind_before):
                    yield Pending(alarm, channel, (row["reminders"] or 0) + 1, False)

    def claim_telling(self, pending: Pending) -> bool:
        """Take the telling of an alarm to a channel; False where another has it, or it is told."""
        until, event = stamp(utcnow() + TELLING), pending.alarm.event.event
        row = {"event": event, "channel": pending.channel, "attempts": 0, "problem": None}
        row |= {"told": None, "leased_until": until, "holder": self.holder, "reminders": 0}
        mine = sa.and_(deliveries.c.event == event, deliveries.c.channel == pending.channel)
        with self.engine.begin() as connection:
            fresh = insert_new(self.engine, deliveries).values(row).returning(deliveries.c.event)
            if connection.execute(fresh).first() is not None:
                return True
            left = connection.execute(sa.select(deliveries).where(mine)).mappings().one()
            if left["leased_until"] and not is_gone(dict(left)):
                return False
            if pending.reminder == 0 and left["told"] is not None:
                return False
            if pending.reminder and (left["reminders"] or 0) >= pending.reminder:
                return False
            same = sa.and_(
                mine,
                deliveries.c.leased_until.is_not_distinct_from(left["leased_until"]),
                deliveries.c.holder.is_not_distinct_from(left["holder"]),
                deliveries.c.told.is_not_distinct_from(left["told"]),
            )
            taken = sa.update(deliveries).where(same)
            taken = taken.values(leased_until=until, holder=self.holder)
            return connection.execute(taken).rowcount == 1

    def note_delivery(
        self, pending: Pending, problem: str | None, at: datetime.datetime, *, done: bool = False
    ) -> None:
        """Write down that an alarm was told, or why it could not be (or needs not: ``done``)."""
        mine = sa.and_(
            deliveries.c.event == pending.alarm.event.event,
            deliveries.c.channel == pending.channel,
        )
        values: dict[str, Any] = {"problem": problem, "leased_until": None}
        values["attempts"] = deliveries.c.attempts + int(problem != SILENCED)
        if problem is None or done:
            values |= {"told": stamp(at), "reminders": pending.reminder}
        with self.engine.begin() as connection:
            connection.execute(sa.update(deliveries).where(mine).values(values))

    def told(self, event: str, channel: str) -> bool:
        """Whether a channel got an alarm."""
        mine = sa.and_(deliveries.c.event == event, deliveries.c.channel == channel)
        query = sa.select(deliveries.c.told).where(mine, deliveries.c.problem.is_(None))
        with self.engine.connect() as connection:
            return connection.execute(query).scalar() is not None


def _reminds(alarm: Alarm, row: Any, before: str) -> bool:
    """Whether an alarm that was told is told again."""
    unknown = alarm.is_open and alarm.acked is None
    return unknown and not row["problem"] and bool(row["told"] <= before)


def _close(which: Any, now: str, why: str) -> Any:
    """End alarms that are open."""
    return (
        sa.update(alarms).where(which, alarms.c.closed.is_(None)).values(closed=now, closed_by=why)
    )


def _alarm(row: Any) -> Alarm:
    event = msgspec.json.decode(row["content"], type=Event)
    return Alarm(row["id"], event, row["raised"], row["acked"], row["closed"], row["closed_by"])
