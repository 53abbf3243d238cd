"""A checksum of each row of what was sampled, and what is wrong with a row that does not keep it.

Disks and copies flip bits, people edit: a row is believed if its checksum, written with it, is that
of what it says. It shows accidents, not forgers, who can write checksums too. Of a run that was
begun before there were checksums, rows without are believed if they can be read; of others, none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from harness.journal.schema import contexts, responses, trials

#: Columns that a checksum is of: not the run's number, which is another in another database.
SUMMED: Final = {
    table.name: tuple(c.name for c in table.columns if c.name not in ("run", "checksum"))
    for table in (trials, contexts, responses)
}


def checksum(values: Iterable[Any]) -> str:
    """64 bits of BLAKE2b of a row's values."""
    plain = [int(value) if isinstance(value, bool) else value for value in values]
    return hashlib.blake2b(msgspec.json.encode(plain), digest_size=8).hexdigest()


def summed(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table with its checksum."""
    return row | {"checksum": checksum(row[name] for name in SUMMED[table.name])}


class Damage(NamedTuple):
    """What is wrong with a stored block: in which table, and why it is not believed."""

    table: sa.Table
    why: str


def damage(row: Mapping[str, Any], owed: bool) -> Damage | None:
    """What is wrong with a stored block, its trial and its context; None if nothing is.

    ``owed``: every row of this run was written with a checksum. Those of trial and context are in
    the columns ``trial_checksum`` and ``context_checksum``.
    """
    if row["trial"] is None:
        return Damage(trials, "its trial is missing")
    if row["content"] is None:
        return Damage(contexts, "what it was asked with is missing")
    for table, told in (
        (trials, row["trial_checksum"]),
        (contexts, row["context_checksum"]),
        (responses, row["checksum"]),
    ):
        if told is None and owed:
            return Damage(table, f"a row of the table {table.name} has lost its checksum")
        if not _keeps(table, row, told):
            return Damage(table, f"a row of the table {table.name} has not the checksum it had")
    return None


def _keeps(table: sa.Table, row: Mapping[str, Any], told: str | None) -> bool:
    """Whether what a row says has the checksum that was written with it, if one was."""
    try:
        found = checksum(row[name] for name in SUMMED[table.name])
    except UnicodeEncodeError:  # bytes that are no text
        return False
    return told is None or told == found
