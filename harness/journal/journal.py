"""The journal of one run's samples: what was asked, what was sent, what came back.

A sample counts once it is committed here (`harness.journal.writer`). The primary key of a block of
samples gives exactly-once: a second row for the same samples cannot be written. Scoring and
counting read this journal alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from harness.errors import StoreError
from harness.journal.address import shown
from harness.journal.checksums import damage
from harness.journal.record import Record
from harness.journal.rows import decode_replies, samples_of
from harness.journal.schema import contexts, responses, trials
from harness.journal.told import Told
from harness.targets import Reply, told_of

#: Blocks that are read together.
BLOCKS: Final = 250
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


class Held(NamedTuple):
    """A stored block: the replies of one request, its id, and what was told of who answered."""

    position: int
    replies: list[Reply]
    response_id: str | None
    backend: str


class Journal:
    """The stored samples of one run, and its record."""

    def __init__(self, engine: Engine, run: str, folder: Path | None = None) -> None:
        self.engine = engine
        self.record = Record(engine, run)
        self.told = Told(folder)

    @property
    def run(self) -> str:
        """The run's name."""
        return self.record.run

    def held(self) -> int:
        """How many samples are stored."""
        query = sa.select(sa.func.coalesce(sa.func.sum(responses.c.samples), 0)).where(self._mine())
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def state(self) -> str | None:
        """The digest of all stored rows, by their checksums; None where one of them has none.

        Whether a row keeps its checksum is seen where it is read (`rows`).
        """
        said = hashlib.sha256()
        c, t, x = responses.c, trials.c, contexts.c
        queries = (
            sa.select(c.checksum, c.position, c.first).order_by(c.position, c.first),
            sa.select(t.checksum, t.position).order_by(t.position),
            sa.select(x.checksum, x.context).order_by(x.context),
        )
        with self.engine.connect() as connection:
            for query, mine in zip(queries, (c.run, t.run, x.run), strict=True):
                found = connection.execution_options(yield_per=10_000).execute(
                    query.where(mine == self.record.id)
                )
                with found:
                    for row in found:
                        if row[0] is None:
                            return None
                        said.update(repr(tuple(row)).encode())
        return said.hexdigest()

    def check_whole(self) -> None:
        """Whether the journal holds what somebody was told that it holds.

        Raises
        ------
        StoreError
            It holds less.
        """
        told = self.told.read()
        if told and (held := self.held()) < told:
            raise StoreError(
                f"a part of the journal is missing: it holds {held} samples of this run, and "
                f"{told} were told of",
                where=f"{self.run}, in {shown(str(self.engine.url))}",
                next=(
                    "put the file that ends in -wal back beside it, or a whole copy (truename "
                    f"bundle makes one); to do without them delete {self.told.path}: then they "
                    "are owed again"
                ),
            )

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

    def replies(self, positions: range) -> Iterator[Held]:
        """Each block in the journal of trials at some places, as they were saved."""
        c = responses.c
        wanted = c.position, c.replies, c.response_id, c.model, c.fingerprint, c.provider
        query = sa.select(*wanted).where(self._mine(positions))
        query = query.order_by(c.saved, c.first, c.position)
        with self.engine.connect() as connection:
            found = connection.execution_options(yield_per=1000).execute(query)
            with found:  # also where nobody wants the rest
                for position, said, response_id, *backend in found:
                    try:
                        replies = decode_replies(said)
                    except (msgspec.MsgspecError, UnicodeError):
                        raise self._damaged("its replies cannot be read", position) from None
                    yield Held(position, replies, response_id, told_of(*backend))

    def rows(self) -> Iterator[dict[str, Any]]:
        """All samples in the order of the plan, however they came.

        That is by target, arm, probe, language, question and number. Of a run that is under way all
        that was committed before, and perhaps some of what is committed meanwhile.

        Raises
        ------
        StoreError
            A row is not as it was written; the message names it.
        """
        for row in self._blocks():
            yield from self._samples(row)

    def _blocks(self) -> Iterator[dict[str, Any]]:
        """The rows of the blocks with their trials and contexts, also where those are missing.

        Some at a time, and no transaction meanwhile: what is written while many are looked at would
        else stay in SQLite's `-wal`, gigabytes of it.
        """
        t, r, c = trials.c, responses.c, contexts.c
        query = (
            sa.select(
                responses,
                *(t[name] for name in _ABOUT),
                c.content,
                t.checksum.label("trial_checksum"),
                c.checksum.label("context_checksum"),
            )
            .join(trials, sa.and_(t.run == r.run, t.position == r.position), isouter=True)
            .join(contexts, sa.and_(c.run == r.run, c.context == r.context), isouter=True)
            .where(self._mine())
            .order_by(r.position, r.first)
            .limit(BLOCKS)
        )
        place, some = sa.tuple_(r.position, r.first), query
        while True:
            with self.engine.connect() as connection:
                found = [dict(row) for row in connection.execute(some).mappings()]
            yield from found
            if len(found) < BLOCKS:
                return
            last = found[-1]["position"], found[-1]["first"]
            if not all(isinstance(number, int) for number in last):
                raise self._damaged("its place is no number", last[0])
            some = query.where(place > last)

    def _samples(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """A block's samples, if it is as it was written."""
        if (found := damage(row, self.record.is_summed)) is not None:
            raise self._damaged(found.why, row["position"], row)
        try:
            return list(samples_of(row))
        except (msgspec.MsgspecError, UnicodeError):
            raise self._damaged("it cannot be read", row["position"], row) from None

    def _damaged(self, why: str, position: int, row: Mapping[str, Any] | None = None) -> StoreError:
        """A damaged row, by its place and by what it says it is."""
        place = f"table responses, position {position}"
        if row is not None:
            last = row["first"] + row["samples"] - 1
            place = f"trial {row['trial']}, samples {row['first']} to {last} ({place})"
        return StoreError(
            f"the journal is damaged: {why}",
            where=f"{self.run}, {place}",
            next=(
                "put back a copy of the journal, or the one in the run's bundle; or truename run "
                f"CAMPAIGN --run {self.run} --retry-failed takes damaged rows out and asks again"
            ),
        )

    def sample(self, trial: str, number: int) -> dict[str, Any] | None:
        """One sample; the trial's key may be shortened as long as it is unique.

        Raises
        ------
        StoreError
            Several trials begin with the key, or the row is not as it was written.
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
                sa.select(responses, c.content, c.checksum.label("context_checksum"))
                .join(contexts, sa.and_(c.run == r.run, c.context == r.context), isouter=True)
                .where(self._mine(), r.position == found[0]["position"], r.first <= number)
                .order_by(r.first.desc())
                .limit(1)
            )
            row = connection.execute(block).mappings().first()
        if row is None:
            return None
        whole = {**found[0], **row, "trial_checksum": found[0]["checksum"]}
        samples = self._samples(whole)
        return next((sample for sample in samples if sample["sample"] == number), None)

    def forget_failed(self) -> int:
        """Take blocks with a failed sample, and damaged ones, out of the journal.

        They are then owed again. Returns how many samples had failed or are damaged.
        """
        failed = sa.and_(self._mine(), responses.c.failed > 0)
        c = responses.c
        with self.engine.connect() as connection:
            gone = {
                (position, first): (size, lost)
                for position, first, size, lost in connection.execute(
                    sa.select(c.position, c.first, c.samples, c.failed).where(failed)
                )
            }
        damaged = [row for row in self._blocks() if self._is_damaged(row)]
        gone |= {(row["position"], row["first"]): (row["samples"],) * 2 for row in damaged}
        # first what is told: a process that dies between has promised too little
        self.told.note(max(0, self.held() - sum(size for size, _ in gone.values())))
        with self.engine.begin() as connection:
            for position, first in gone:
                block = self._mine(range(position, position + 1)), c.first == first
                connection.execute(sa.delete(responses).where(*block))
            for row in damaged:  # all blocks that share it are damaged, and bring it again
                about = damage(row, self.record.is_summed)
                for table, key in ((trials, "position"), (contexts, "context")):
                    if about is not None and about.table is table:
                        mine = table.c.run == self.record.id, table.c[key] == row[key]
                        connection.execute(sa.delete(table).where(*mine))
        return sum(lost for _, lost in gone.values())

    def _is_damaged(self, row: dict[str, Any]) -> bool:
        try:
            self._samples(row)
        except StoreError:
            return True
        return False
