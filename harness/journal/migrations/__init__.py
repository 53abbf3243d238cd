"""The database's schema from the first version on, for Alembic.

`harness.journal.database.open_engine` brings any database up to the last one. A change of tables is
a new file in `versions/`, and the last revision's name in `HEAD`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

HEAD: Final = "0005"
#: The journal as it was before its schema had revisions.
FIRST: Final = "0001"
#: The last one that may have been made halfway, by a truename that did not make it at once.
HALFWAY: Final = "0003"
#: Tables that came with the second: where they are, the journal is not of before there were
#: revisions.
SECOND_BROUGHT: Final = frozenset({"audits", "alarms", "deliveries"})
version = sa.Table(
    "alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True)
)


def revision_of(engine: Engine) -> str | None:
    """The revision of a database; None where it has none."""
    try:
        with engine.connect() as connection:
            return revision_in(connection)
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        return None


@contextmanager
def at_once(engine: Engine) -> Iterator[Connection]:
    """One transaction for all that changes the schema, which no other process changes meanwhile.

    SQLite's driver begins no transaction before statements of that kind: each would be kept as it
    came, and a process killed between two would leave half a schema.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def revision_in(connection: Connection) -> str | None:
    """The revision of a database, within a transaction."""
    if not sa.inspect(connection).has_table(version.name):
        return None
    return connection.execute(sa.select(version.c.version_num)).scalar()


def stamp(connection: Connection, revision: str) -> None:
    """Write down the revision of a database."""
    version.create(connection, checkfirst=True)
    connection.execute(sa.delete(version))
    connection.execute(sa.insert(version).values(version_num=revision))


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Bring a database up to a revision."""
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    settings.attributes["connection"] = connection
    command.upgrade(settings, to)
