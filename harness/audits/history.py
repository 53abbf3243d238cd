"""The audits' part of the database.

Who works on which audit, what was seen, and since when what is watched (`raised.py`: alarms).
"""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from harness.audits.instants import is_gone, stamp, utcnow
from harness.audits.raised import Raised
from harness.audits.seen import Entry, Seen
from harness.audits.watching import Accepted
from harness.campaign import Budget
from harness.errors import StoreError
from harness.journal.database import insert_new
from harness.journal.forget import forget_samples
from harness.journal.schema import accepted, audits, beginnings, runs

LEASE: Final = datetime.timedelta(seconds=60)
_seen = msgspec.json.Decoder(dict[str, Seen])


class History(Raised):
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
        gone = (row for row in self._unfinished(audit) if row["due"] == due and is_gone(row))
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
        return next((row["holder"] for row in self._unfinished(audit) if not is_gone(row)), None)

    def asked(self) -> None:
        """Ask the database for anything.

        Raises
        ------
        StoreError
            It does not answer.
        """
        with self.engine.connect() as connection:
            connection.execute(sa.select(sa.func.count()).select_from(beginnings))

    def was_begun(self, audit: str, due: str) -> bool:
        """Whether the audit that was due at a time, or a later one, was begun."""
        query = sa.select(audits.c.id).where(audits.c.audit == audit, audits.c.due >= due)
        with self.engine.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def abandoned(self, audit: str) -> list[str]:
        """Times at which an audit was due that a worker began and left."""
        return [row["due"] for row in self._unfinished(audit) if is_gone(row)]

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
        budget_used: float | None = None,
    ) -> None:
        """Write down what was seen, or why nothing was."""
        mine = sa.and_(
            audits.c.audit == audit,
            audits.c.due == due,
            audits.c.holder == self.holder,
            audits.c.status == "running",
        )
        scored = seen is not None and any(one.scored for one in seen.values())
        finished = {
            "status": "ok" if scored else "silent",
            "reason": reason and reason[:4000],
            "ended": stamp(utcnow()),
            "observed": None if seen is None else msgspec.json.encode(seen).decode(),
            "requests": requests,
            "tokens": tokens,
            "money": money,
            "budget_used": budget_used,
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
        """All audits in the order in which they were begun, whatever the clock said then."""
        query = sa.select(audits).order_by(audits.c.id)
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
                row["id"],
                (row["requests"], row["tokens"], row["money"]),
            )
            for row in self.rows(audit)
            if row["status"] in ("ok", "silent")
        ]

    def unjudged(self, audit: str) -> list[int]:
        """The numbers of audits that are over and were not judged yet."""
        over = sa.and_(audits.c.status != "running", audits.c.judged.is_(None))
        query = sa.select(audits.c.id).where(over, audits.c.audit == audit).order_by(audits.c.id)
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def since(self, audit: str, what: Sequence[str]) -> dict[str, int]:
        """From which audit on each thing holds; what is new begins with the first unjudged one.

        What does not hold any more is forgotten, and begins anew if it comes back. An audit of
        before this was written down holds what it holds from its first one on.
        """
        mine = beginnings.c.audit == audit
        with self.engine.begin() as connection:
            found = connection.execute(sa.select(beginnings).where(mine)).mappings()
            known = {row["what"]: row["since"] for row in found}
            judged = sa.select(sa.func.max(audits.c.id)).where(
                audits.c.audit == audit, audits.c.judged.is_not(None)
            )
            last = connection.execute(judged).scalar() or 0
            first = last + 1 if known else 0
            for gone in known.keys() - set(what):
                connection.execute(sa.delete(beginnings).where(mine, beginnings.c.what == gone))
            for fresh in [one for one in what if one not in known]:
                row = {"audit": audit, "what": fresh, "since": first}
                connection.execute(insert_new(self.engine, beginnings), row)
                known[fresh] = first
        return {one: known[one] for one in what}

    def accept(self, audit: str, target: str | None, witness: str | None) -> None:
        """What was seen up to the last audit is wanted: alarms about it are over."""
        last = max((row["id"] for row in self.rows(audit)), default=0)
        row = {"audit": audit, "target": target, "witness": witness, "after": last}
        with self.engine.begin() as connection:
            connection.execute(sa.insert(accepted).values(row | {"at": stamp(utcnow())}))

    def accepted(self, audit: str) -> list[Accepted]:
        query = sa.select(accepted.c.after, accepted.c.target, accepted.c.witness)
        query = query.where(accepted.c.audit == audit).order_by(accepted.c.id)
        with self.engine.connect() as connection:
            return [Accepted(*row) for row in connection.execute(query)]

    def spent(self, audit: str, month_begins: datetime.datetime) -> tuple[int, int, float]:
        """Requests, tokens and money since a month began."""
        columns = (audits.c.requests, audits.c.tokens, audits.c.money)
        sums = [sa.func.coalesce(sa.func.sum(column), 0) for column in columns]
        since = audits.c.due >= stamp(month_begins)
        query = sa.select(*sums).where(audits.c.audit == audit, since)
        with self.engine.connect() as connection:
            requests, tokens, money = connection.execute(query).one()
        return int(requests), int(tokens), float(money)

    def forget_replies(self, before: str, spared: Sequence[str] = ()) -> list[str]:
        """Delete prompts and replies of audits that were due before an instant.

        What was counted stays, and ``spared`` runs do. Returns the others.
        """
        old = sa.and_(audits.c.due < before, audits.c.status != "running")
        with self.engine.begin() as connection:
            found = connection.execute(sa.select(audits.c.run).where(old)).scalars()
            names = [name for name in found if name not in set(spared)]
            stored = sa.select(runs.c.run, runs.c.id).where(runs.c.run.in_(names))
            numbers = {row.run: row.id for row in connection.execute(stored)}
            for number in numbers.values():
                forget_samples(connection, number)
        return [name for name in names if name in numbers]


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
