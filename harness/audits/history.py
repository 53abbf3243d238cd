"""The audits' part of the database.

Who works on which audit, what was seen, which alarms were raised and told.
"""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from harness.audits.seen import Entry, Seen
from harness.audits.watching import Event
from harness.campaign import Budget
from harness.errors import StoreError
from harness.journal.database import insert_over
from harness.journal.forget import forget_samples
from harness.journal.schema import alarms, audits, deliveries, runs

LEASE: Final = datetime.timedelta(seconds=60)
_seen = msgspec.json.Decoder(dict[str, Seen])


def stamp(at: datetime.datetime) -> str:
    """An instant as it is stored: UTC, sorts as text."""
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class History:
    """The history of all audits in one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.holder = f"{socket.gethostname()}/{os.getpid()}"

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    def claim(self, audit: str, due: str, run: str) -> bool:
        """Take an audit that is due, or one whose worker is gone.

        False where another has it, or it is over.
        """
        until = stamp(utcnow() + LEASE)
        row = {
            "audit": audit,
            "due": due,
            "run": run,
            "status": "running",
            "started": stamp(utcnow()),
            "leased_until": until,
            "holder": self.holder,
            "requests": 0,
            "tokens": 0,
            "money": 0.0,
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(audits).values(row))
            return True
        except sa.exc.IntegrityError:
            pass
        gone = (row for row in self._unfinished(audit) if row["due"] == due and _is_gone(row))
        left = next(gone, None)
        if left is None:
            return False
        same = sa.and_(
            audits.c.id == left["id"],
            audits.c.holder == left["holder"],
            audits.c.leased_until == left["leased_until"],
            audits.c.status == "running",
        )
        mine = sa.update(audits).where(same).values(leased_until=until, holder=self.holder)
        with self.engine.begin() as connection:
            return connection.execute(mine).rowcount == 1

    def _unfinished(self, audit: str) -> list[dict[str, Any]]:
        return [row for row in self.rows(audit) if row["status"] == "running"]

    def running(self, audit: str) -> str | None:
        """The holder of an audit that is being worked on, whatever time it was due at."""
        return next((row["holder"] for row in self._unfinished(audit) if not _is_gone(row)), None)

    def abandoned(self, audit: str) -> list[str]:
        """Times at which an audit was due that a worker began and left."""
        return [row["due"] for row in self._unfinished(audit) if _is_gone(row)]

    def renew(self, audit: str, due: str) -> None:
        self._lease(audit, due, utcnow() + LEASE)

    def release(self, audit: str, due: str) -> None:
        """Give an audit that is not over to whoever comes next."""
        self._lease(audit, due, utcnow() - LEASE)

    def _lease(self, audit: str, due: str, until: datetime.datetime) -> None:
        mine = sa.and_(audits.c.audit == audit, audits.c.due == due, audits.c.holder == self.holder)
        leased = sa.update(audits).where(mine).values(leased_until=stamp(until))
        with self.engine.begin() as connection:
            connection.execute(leased)

    def finish(
        self,
        audit: str,
        due: str,
        *,
        seen: dict[str, Seen] | None,
        reason: str | None,
        requests: int,
        tokens: int,
        money: float,
    ) -> None:
        """Write down what was seen, or why nothing was."""
        mine = sa.and_(
            audits.c.audit == audit,
            audits.c.due == due,
            audits.c.holder == self.holder,
            audits.c.status == "running",
        )
        finished = {
            "status": "silent" if seen is None else "ok",
            "reason": reason and reason[:4000],
            "ended": stamp(utcnow()),
            "observed": None if seen is None else msgspec.json.encode(seen).decode(),
            "requests": requests,
            "tokens": tokens,
            "money": money,
        }
        with self.engine.begin() as connection:
            done = connection.execute(sa.update(audits).where(mine).values(finished))
        if done.rowcount != 1:
            raise StoreError(
                "another process took this audit over",
                where=f"{audit} due {due}",
                next="nothing: the other one finishes it",
            )

    def rows(self, audit: str | None = None) -> list[dict[str, Any]]:
        """All audits, oldest first."""
        query = sa.select(audits).order_by(audits.c.due, audits.c.id)
        if audit is not None:
            query = query.where(audits.c.audit == audit)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def entries(self, audit: str) -> list[Entry]:
        """Audits that are over, as they are judged."""
        return [
            Entry(
                row["due"],
                row["run"],
                row["reason"],
                _seen.decode(row["observed"]) if row["observed"] else {},
            )
            for row in self.rows(audit)
            if row["status"] in ("ok", "silent")
        ]

    def spent(self, audit: str, month_begins: datetime.datetime) -> tuple[int, int, float]:
        """Requests, tokens and money since a month began."""
        columns = (audits.c.requests, audits.c.tokens, audits.c.money)
        sums = [sa.func.coalesce(sa.func.sum(column), 0) for column in columns]
        since = audits.c.due >= stamp(month_begins)
        query = sa.select(*sums).where(audits.c.audit == audit, since)
        with self.engine.connect() as connection:
            requests, tokens, money = connection.execute(query).one()
        return int(requests), int(tokens), float(money)

    def raise_(self, event: Event) -> bool:
        """Store an alarm; False where it was raised before."""
        row = {
            "event": event.event,
            "audit": event.audit,
            "due": event.due,
            "raised": stamp(utcnow()),
            "content": msgspec.json.encode(event).decode(),
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(alarms).values(row))
        except sa.exc.IntegrityError:
            return False
        return True

    def alarms(self, audit: str | None = None) -> list[Event]:
        """Alarms raised, oldest first."""
        query = sa.select(alarms.c.content).order_by(alarms.c.due, alarms.c.id)
        if audit is not None:
            query = query.where(alarms.c.audit == audit)
        with self.engine.connect() as connection:
            said = connection.execute(query).scalars()
            return [msgspec.json.decode(content, type=Event) for content in said]

    def untold(self, audit: str, channels: list[str]) -> Iterator[tuple[Event, str]]:
        """Alarms and the channels that they were not told to yet."""
        delivered = sa.select(deliveries.c.event, deliveries.c.channel)
        delivered = delivered.where(deliveries.c.told.is_not(None))
        with self.engine.connect() as connection:
            told = {(event, channel) for event, channel in connection.execute(delivered)}
        for event in self.alarms(audit):
            for channel in channels:
                if (event.event, channel) not in told:
                    yield event, channel

    def forget_replies(self, before: str) -> list[str]:
        """Delete prompts and replies of audits that were due before an instant.

        What was counted stays. Returns their runs.
        """
        old = sa.and_(audits.c.due < before, audits.c.status != "running")
        with self.engine.begin() as connection:
            names = list(connection.execute(sa.select(audits.c.run).where(old)).scalars())
            stored = sa.select(runs.c.run, runs.c.id).where(runs.c.run.in_(names))
            numbers = {row.run: row.id for row in connection.execute(stored)}
            for number in numbers.values():
                forget_samples(connection, number)
        return [name for name in names if name in numbers]

    def note_delivery(self, event: str, channel: str, problem: str | None) -> None:
        """Write down that an alarm was told, or why it could not be."""
        row = {"event": event, "channel": channel, "attempts": 1, "problem": problem}
        row["told"] = None if problem else stamp(utcnow())
        again = deliveries.c.attempts + 1
        with self.engine.begin() as connection:
            connection.execute(insert_over(self.engine, deliveries, row, attempts=again))


def _is_gone(row: dict[str, Any]) -> bool:
    """Whether nobody works on an unfinished audit any more.

    Its lease is over, or its holder was a process of this machine that has ended.
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


def left(cap: Budget, spent: tuple[int, int, float]) -> Budget | None:
    """What a month's budget leaves; None where a cap is used up."""
    requests, tokens, money = spent
    rest = {
        "requests": None if cap.requests is None else cap.requests - requests,
        "tokens": None if cap.tokens is None else cap.tokens - tokens,
        "money": None if cap.money is None else cap.money - money,
    }
    if any(value is not None and value <= 0 for value in rest.values()):
        return None
    return Budget.model_validate(rest)


def least(one: Budget, other: Budget) -> Budget:
    """The tighter of two budgets, cap by cap."""
    tighter = {}
    for name in ("requests", "tokens", "money"):
        caps = [cap for cap in (getattr(one, name), getattr(other, name)) if cap is not None]
        tighter[name] = min(caps, default=None)
    return Budget.model_validate(tighter)
