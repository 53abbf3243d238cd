"""What was found in a text, kept by the digest of the text and of the scorer that found it.

A text is scored once, whatever runs, audits and commands meet it again. Where the scorer differs
(its weights, the identity book, the references, its code), its digest differs, and what it finds is
kept beside what others found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Engine

from harness.errors import StoreError
from harness.journal.database import insert_new
from harness.journal.schema import scores

#: Texts that are asked for in one query, well under what SQLite binds in one.
AT_ONCE = 500


def text_key(text: str) -> bytes:
    """128 bits of SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


class Scores:
    """What one scorer found, in one database."""

    def __init__(self, engine: Engine, scorer: str) -> None:
        self.engine, self.scorer = engine, scorer
        self._new = insert_new(engine, scores)

    def known(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """What was found in the texts of ``keys``, where they were scored before."""
        found: dict[bytes, str] = {}
        mine = scores.c.scorer == self.scorer
        with self.engine.connect() as connection:
            for at in range(0, len(keys), AT_ONCE):
                these = scores.c.text.in_(keys[at : at + AT_ONCE])
                rows = connection.execute(
                    sa.select(scores.c.text, scores.c.found).where(mine, these)
                )
                found.update((bytes(text), said) for text, said in rows)
        return found

    def keep(self, found: Mapping[bytes, str]) -> bool:
        """Keep what was found; False where the database cannot be written.

        That loses time and no result, so it stops nobody.
        """
        rows = [{"scorer": self.scorer, "text": key, "found": said} for key, said in found.items()]
        try:
            if rows:
                with self.engine.begin() as connection:
                    connection.execute(self._new, rows)
        except (StoreError, sa.exc.DBAPIError):
            return False
        return True


def forget(connection: sa.Connection, keys: Iterable[bytes]) -> None:
    """Delete what any scorer found in some texts."""
    wanted = list(keys)
    for at in range(0, len(wanted), AT_ONCE):
        these = scores.c.text.in_(wanted[at : at + AT_ONCE])
        connection.execute(sa.delete(scores).where(these))
