"""The journal of one run's samples: what was asked, what was sent, what came back.

A sample counts once it is committed here (`harness.journal.writer`). The primary key of a block of
samples gives exactly-once: a second row for the same samples cannot be written. Scoring and
counting read this journal alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Engine

from harness.errors import StoreError
from harness.journal.record import Record
from harness.journal.rows import decode_replies, samples_of
from harness.journal.schema import contexts, responses, trials
from harness.targets import Reply

_ABOUT: Final = ("trial", "target", "arm", "probe", "language", "question", "messages")


class Counted(NamedTuple):
    """What the journal holds of one target."""

    samples: int = 0
    failed: int = 0
    unsupported: int = 0
    truncated: int = 0
    requests: int = 0
    unknown_usage: int = 0
    booked_prompt: int = 0
    booked_completion: int = 0


class Journal:
    """The stored samples of one run, and its record."""

    def __init__(self, engine: Engine, run: str) -> None:
        self.engine = engine
        self.record = Record(engine, run)

    @property
    def run(self) -> str:
        """The run's name."""
        return self.record.run

    def _mine(self, positions: range | None = None) -> sa.ColumnElement[bool]:
        c = responses.c
        if positions is None:
            return c.run == self.record.id
        inside = c.position >= positions.start, c.position < positions.stop
        return sa.and_(c.run == self.record.id, *inside)

    def done(self, positions: range) -> dict[int, list[range]]:
        """The numbers of the stored samples, block by block, of the trials at some places."""
        c = responses.c
        query = sa.select(c.position, c.first, c.samples).where(self._mine(positions))
        found: dict[int, list[range]] = {}
        with self.engine.connect() as connection:
            for position, first, samples in connection.execute(query):
                found.setdefault(position, []).append(range(first, first + samples))
        return found

    def counted(self, positions: range) -> Counted:
        """What the journal holds of the trials at some places."""
        sums = [sa.func.coalesce(sa.func.sum(responses.c[name]), 0) for name in Counted._fields]
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(*sums).where(self._mine(positions))).one()
        return Counted(*map(int, row))

    def replies(self, positions: range) -> Iterator[tuple[int, list[Reply]]]:
        """(position, replies) of each block in the journal, of trials at some places."""
        c = responses.c
        query = sa.select(c.position, c.replies).where(self._mine(positions))
        query = query.order_by(c.position, c.first)
        with self.engine.connect() as connection:
            for position, said in connection.execution_options(yield_per=1000).execute(query):
                yield position, decode_replies(said)

    def rows(self) -> Iterator[dict[str, Any]]:
        """All samples in the order of the plan, however they came.

        That is by target, arm, probe, language, question and number.
        """
        t, r, c = trials.c, responses.c, contexts.c
        query = (
            sa.select(responses, *(t[name] for name in _ABOUT), c.content)
            .join(trials, sa.and_(t.run == r.run, t.position == r.position))
            .join(contexts, sa.and_(c.run == r.run, c.context == r.context))
            .where(self._mine())
            .order_by(r.position, r.first)
            .execution_options(yield_per=1000)
        )
        with self.engine.connect() as connection:
            for row in connection.execute(query).mappings():
                yield from samples_of(dict(row))

    def sample(self, trial: str, number: int) -> dict[str, Any] | None:
        """One sample; the trial's key may be shortened as long as it is unique.

        Raises
        ------
        StoreError
            Several trials begin with the key.
        """
        t, r, c = trials.c, responses.c, contexts.c
        mine = t.run == self.record.id, t.trial.startswith(trial, autoescape=True)
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(trials).where(*mine).limit(2)).mappings().all()
            if len(found) > 1:
                raise StoreError(
                    f"several trials begin with '{trial}'",
                    where=self.run,
                    next="give more of the key",
                )
            if not found:
                return None
            block = (
                sa.select(responses, c.content)
                .join(contexts, sa.and_(c.run == r.run, c.context == r.context))
                .where(self._mine(), r.position == found[0]["position"], r.first <= number)
                .order_by(r.first.desc())
                .limit(1)
            )
            row = connection.execute(block).mappings().first()
        samples = samples_of({**found[0], **row}) if row else iter(())
        return next((sample for sample in samples if sample["sample"] == number), None)

    def forget_failed(self) -> int:
        """Take blocks with a failed sample out of the journal, so that they are owed again.

        Returns how many samples had failed.
        """
        mine = sa.and_(self._mine(), responses.c.failed > 0)
        failed = sa.select(sa.func.coalesce(sa.func.sum(responses.c.failed), 0)).where(mine)
        with self.engine.begin() as connection:
            samples = connection.execute(failed).scalar_one()
            connection.execute(sa.delete(responses).where(mine))
        return int(samples)
