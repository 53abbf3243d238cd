"""What a database knows of a run beside its samples: the campaign, and what each target can do."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Engine

from harness.errors import StoreError
from harness.journal.database import checkpoint, insert_over
from harness.journal.schema import SCHEMA_VERSION, SUMMED_FROM, runs, targets
from harness.journal.text import now, to_json
from harness.masking import hide

#: What databases say of a table that has no such column.
_NO_COLUMN: Final = ("no such column", "no such table", "does not exist")


class Record:
    """One run by name. It is there once it was begun."""

    def __init__(self, engine: Engine, run: str) -> None:
        self.engine, self.run = engine, run
        self._known: tuple[int, int] | None = None

    @property
    def id(self) -> int:
        """The run's number in this database; -1 before it was begun."""
        return self._numbers()[0]

    @property
    def is_summed(self) -> bool:
        """Whether each of the run's rows was written with a checksum."""
        return self._numbers()[1] >= SUMMED_FROM

    def _numbers(self) -> tuple[int, int]:
        """The run's number, and the version that it was begun as."""
        if self._known is None:
            query = sa.select(runs.c.id, runs.c.schema_version).where(runs.c.run == self.run)
            with self.engine.connect() as connection:
                found = connection.execute(query).first()
            if found is None:
                return -1, SCHEMA_VERSION
            self._known = int(found[0]), int(found[1])
        return self._known

    def describe(self) -> dict[str, Any] | None:
        """The run's row, or None where the database does not know it.

        Raises
        ------
        StoreError
            The run was sampled by another version of truename, whose tables differ.
        """
        query = sa.select(runs).where(runs.c.run == self.run)
        try:
            with self.engine.connect() as connection:
                row = connection.execute(query).mappings().first()
        except StoreError as problem:
            if not any(sign in problem.what for sign in _NO_COLUMN):
                raise
            raise StoreError(
                "the journal was written by another version of truename",
                where=self.run,
                next="use that version for this run, or start anew with --run ANOTHER-NAME",
            ) from None
        return dict(row) if row else None

    def begin(
        self,
        campaign_sha256: str,
        source: str,
        folder: str,
        plan_sha256: str,
        versions: dict[str, str],
    ) -> None:
        """Write the run down.

        Raises
        ------
        StoreError
            Another process has just done so.
        """
        row = {
            "run": self.run,
            "schema_version": SCHEMA_VERSION,
            "created": now(),
            "campaign_sha256": campaign_sha256,
            "campaign_source": hide(source),
            "campaign_folder": folder,
            "plan_sha256": plan_sha256,
            "versions": to_json(versions),
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(runs).values(row))
        except sa.exc.IntegrityError:
            raise StoreError(
                "another process began this run at the same moment",
                where=self.run,
                next="leave it to that one, or choose another name with --run",
            ) from None
        checkpoint(self.engine)  # a copy of the file knows the run from now on

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self._change(run=name)
        self.run = name

    def renew(self, source: str, folder: str) -> None:
        """Keep the campaign's newest text.

        What decides the samples is the same; budget and pace may differ.
        """
        self._change(campaign_source=hide(source), campaign_folder=folder)

    def _change(self, **values: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.update(runs).where(runs.c.run == self.run).values(values))

    def remember_target(self, target: str, capabilities: Any) -> None:
        """Store what a target can do; the newest preflight stands.

        Notes of earlier ones stay: they are of samples that were taken then.
        """
        said = msgspec.json.decode(to_json(capabilities), type=dict[str, Any])
        before: list[str] = []
        with suppress(StoreError):  # what is damaged is written anew
            before = self.capabilities().get(target, {}).get("notes") or []
        said["notes"] = list(dict.fromkeys((*before, *said.get("notes", ()))))
        row = {"run": self.id, "target": target, "capabilities": to_json(said)}
        with self.engine.begin() as connection:
            connection.execute(insert_over(self.engine, targets, row))

    def capabilities(self) -> dict[str, dict[str, Any]]:
        """What each target can do, as its preflight found.

        Raises
        ------
        StoreError
            A row is damaged.
        """
        query = sa.select(targets.c.target, targets.c.capabilities).where(targets.c.run == self.id)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {target: self._decoded(target, text) for target, text in rows}

    def _decoded(self, target: str, text: str) -> dict[str, Any]:
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError):
            raise StoreError(
                f"the journal is damaged: what target '{target}' can do is not to be read",
                where=f"{self.run} (table targets, target {target})",
                next=f"truename run CAMPAIGN --run {self.run} writes it anew",
            ) from None

    def notes(self) -> list[str]:
        """What everybody has to know of the targets."""
        known = self.capabilities().values()
        return sorted({note for can in known for note in can.get("notes", ())})
