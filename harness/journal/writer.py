"""Blocks of samples into the database: all of a batch or none, and each block once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from harness.errors import StoreError
from harness.journal.checksums import summed
from harness.journal.database import insert_new
from harness.journal.journal import Journal
from harness.journal.rows import Sampled, context_key, response_row, trial_row
from harness.journal.schema import RESPONSE_COLUMNS, contexts, responses, trials
from harness.journal.text import now, to_json
from harness.targets import Context

_PLACES = ", ".join("?" * len(RESPONSE_COLUMNS))
_INSERT_RESPONSES = f"INSERT INTO responses VALUES ({_PLACES})"  # noqa: S608  (nobody's text in it)
#: Trials and contexts that a writer remembers to have written; what it forgets is offered again
#: and changes nothing.
KNOWN_AT_MOST = 100_000


class Writer:
    """Writes the samples of one run."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.engine = journal, journal.engine
        self._trials: set[int] = set()
        self._contexts: dict[int, tuple[Context, str]] = {}
        self._new_trial = insert_new(self.engine, trials)
        self._new_context = insert_new(self.engine, contexts)
        self._held = journal.held()

    def save(self, batch: Sequence[Sampled]) -> None:
        """Commit the blocks of some trials, all or none.

        Raises
        ------
        StoreError
            A block is there already, or the database cannot be written. Nothing of the batch is
            then in it.
        """
        saved, run = now(), self.journal.record.id
        asked = {done.trial.position: done.trial for done in batch}
        new_trials = {at: trial for at, trial in asked.items() if at not in self._trials}
        new_contexts: dict[str, Context] = {}
        keys = [self._context(done.response.context, new_contexts) for done in batch]
        rows = [response_row(run, *block, saved) for block in zip(batch, keys, strict=True)]
        try:
            with self.engine.begin() as connection:
                if new_trials:
                    found = [trial_row(run, trial) for trial in new_trials.values()]
                    connection.execute(self._new_trial, found)
                if new_contexts:
                    connection.execute(self._new_context, _context_rows(run, new_contexts))
                self._insert(connection, rows)
        except sa.exc.IntegrityError:
            raise StoreError(
                "a sample is in the journal already: another process works on this run",
                where=self.journal.run,
                next="wait for it to end, then run again",
            ) from None
        self._held += sum(len(done.response.replies) for done in batch)
        self.journal.told.note(self._held)
        if len(self._trials) > KNOWN_AT_MOST:
            self._trials.clear()
        self._trials.update(new_trials)

    def _insert(self, connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
        if self.engine.dialect.name == "sqlite":  # a third of the time of the same through Core
            connection.exec_driver_sql(_INSERT_RESPONSES, rows)
        else:
            named = [dict(zip(RESPONSE_COLUMNS, row, strict=True)) for row in rows]
            connection.execute(sa.insert(responses), named)

    def _context(self, context: Context, new: dict[str, Context]) -> str:
        """The key of a context; it is put into ``new`` unless it was written before."""
        known = self._contexts.get(id(context))
        if known is not None and known[0] is context:
            return known[1]
        key = context_key(context)
        if len(self._contexts) > KNOWN_AT_MOST // 10:
            self._contexts.clear()
        self._contexts[id(context)] = context, key
        new[key] = context
        return key


def _context_rows(run: int, found: dict[str, Context]) -> list[dict[str, Any]]:
    rows = ({"run": run, "context": key, "content": to_json(c)} for key, c in found.items())
    return [summed(contexts, row) for row in rows]
