"""The database that a journal lies in, its schema kept new.

SQLite by default, PostgreSQL by URL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, Table
from sqlalchemy.dialects import sqlite

from harness.errors import StoreError
from harness.journal import migrations
from harness.journal.schema import metadata


def open_engine(url: str) -> Engine:
    """An engine with the schema in place; SQLite in WAL mode with full durability.

    Raises
    ------
    StoreError
        The database cannot be opened, or was written by a newer truename.
    """
    engine = None
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _sqlite_pragmas)
        try:
            _bring_up(engine)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
            _bring_up(engine)  # another process did the same at the same moment
    except (sa.exc.SQLAlchemyError, ImportError, StoreError) as problem:
        if engine is not None:
            engine.dispose()
        if isinstance(problem, StoreError):
            raise
        raise StoreError(
            f"cannot open the journal: {getattr(problem, 'orig', None) or problem}",
            where=sa.make_url(url).render_as_string(),
            next=(
                "check the path or URL, and that it may be written "
                "(PostgreSQL: pip install 'truename[postgres]')"
            ),
        ) from None
    return engine


def _bring_up(engine: Engine) -> None:
    """The schema of today: made anew, or migrated from the one that is there.

    Whole or not at all, wherever the process dies.
    """
    if migrations.revision_of(engine) == migrations.HEAD:
        return
    with migrations.at_once(engine) as connection:
        there = set(sa.inspect(connection).get_table_names())
        found = migrations.revision_in(connection)
        if found is None and ("responses" not in there or migrations.SECOND_BROUGHT & there):
            # An empty database; one of before the first revision, which is refused when its run is
            # opened; or one whose making was killed halfway, by a truename that did not make it at
            # once. A table that was there is passed over, with its indexes: those are made apart.
            metadata.create_all(connection)
            for table in metadata.sorted_tables:
                for index in table.indexes:
                    index.create(connection, checkfirst=True)
            migrations.stamp(connection, migrations.HEAD)
            return
        if found is None:
            migrations.stamp(connection, migrations.FIRST)
        elif found > migrations.HEAD:
            raise StoreError(
                "the database was written by a newer truename",
                where=engine.url.render_as_string(),
                next="update truename, or give another database",
            )
        migrations.upgrade(connection)


def _sqlite_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


def insert_new(engine: Engine, table: Table) -> Any:
    """An insert that passes over rows which are there already.

    Raises
    ------
    StoreError
        The database is neither SQLite nor PostgreSQL.
    """
    if engine.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing()
    raise StoreError(
        f"no journal can be kept in a database of kind '{engine.dialect.name}'",
        where=engine.url.render_as_string(),
        next="give a SQLite or PostgreSQL URL",
    )
