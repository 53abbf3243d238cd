"""The database that a journal lies in, its schema kept new.

SQLite by default, PostgreSQL by URL. Whatever the database refuses is a `StoreError`, wherever it
is asked, but for a row that breaks a key: that is for whoever writes it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Engine, Table
from sqlalchemy.dialects import sqlite

from harness.errors import StoreError
from harness.journal import migrations
from harness.journal.address import passwords, shown, without_passwords
from harness.journal.schema import metadata
from harness.masking import know

#: What SQLite says of a file that is damaged.
_DAMAGED: Final = ("malformed", "not a database", "corrupt")
#: Characters that are told of what a database says.
_TOLD: Final = 400


def open_engine(url: str) -> Engine:
    """An engine with the schema in place; SQLite in WAL mode with full durability.

    Raises
    ------
    StoreError
        The database cannot be opened, or was written by a newer truename.
    """
    engine = None
    try:
        engine = sa.create_engine(url, hide_parameters=True)
        for password in passwords(url):
            know(password)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _sqlite_pragmas)
        try:
            _bring_up(engine)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
            _bring_up(engine)  # another process did the same at the same moment
    except StoreError:
        if engine is not None:
            engine.dispose()
        raise
    except Exception as problem:  # addresses that no driver can read raise whatever they like
        if engine is not None:
            engine.dispose()
        raise _unopened(problem, url) from None
    sa.event.listen(engine, "handle_error", partial(_refuse, url))
    return engine


def _unopened(problem: Exception, url: str) -> StoreError:
    said = without_passwords(str(getattr(problem, "orig", None) or problem), url).strip()[:_TOLD]
    check = (
        "check the path or URL, and that it may be written "
        "(PostgreSQL: pip install 'truename[postgres]')"
    )
    damaged = any(sign in said for sign in _DAMAGED)
    return StoreError(
        f"cannot open the journal: {said}",
        where=shown(url),
        next=_RESTORE if damaged else check,
    )


_RESTORE: Final = (
    "put back a copy of the journal, or the one in the run's bundle (a ZIP file), or begin the run "
    "again with --anew"
)


def _refuse(url: str, context: Any) -> None:
    """Say what a database refuses, in place of SQLAlchemy's own error."""
    problem = context.sqlalchemy_exception
    if problem is None or isinstance(problem, sa.exc.IntegrityError):
        return
    said = without_passwords(str(context.original_exception), url).strip()[:_TOLD]
    if any(sign in said for sign in _DAMAGED):
        raise StoreError(f"the journal is damaged: {said}", where=shown(url), next=_RESTORE)
    reads = (context.statement or "").lstrip().upper().startswith("SELECT")
    raise StoreError(
        f"the journal cannot be {'read' if reads else 'written'}: {said}",
        where=shown(url),
        next=(
            "start or mend the database, then do the same again"
            if reads
            else "free space or mend the database, then run again: what was saved is kept"
        ),
    )


def checkpoint(engine: Engine) -> bool:
    """Bring all that SQLite holds in its `-wal` into the one file, as far as nobody reads it.

    True where the file alone is now the whole database; of PostgreSQL that is always so.
    """
    if engine.dialect.name != "sqlite":
        return True
    with engine.connect() as connection:
        _, frames, done = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
    return bool(frames == done)


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
            if not there:
                migrations.stamp(connection, migrations.HEAD)
                return
            found = migrations.HALFWAY
            migrations.stamp(connection, found)
        if found is None:
            migrations.stamp(connection, migrations.FIRST)
        elif found > migrations.HEAD:
            raise StoreError(
                "the database was written by a newer truename",
                where=shown(str(engine.url)),
                next="update truename, or give another database",
            )
        migrations.upgrade(connection)


def _sqlite_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    # bytes that are no text are found by the row's checksum, which names the row
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")


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
    return _insert(engine, table).on_conflict_do_nothing()


def insert_over(engine: Engine, table: Table, row: dict[str, Any], **changed: Any) -> Any:
    """An insert of a row that takes the place of the one with its primary key.

    ``changed`` are values that are made of what was there.
    """
    key = [column.name for column in table.primary_key]
    new = {name: value for name, value in row.items() if name not in key} | changed
    return _insert(engine, table).values(row).on_conflict_do_update(index_elements=key, set_=new)


def _insert(engine: Engine, table: Table) -> Any:
    """The dialect's own insert."""
    if engine.dialect.name == "sqlite":
        return sqlite.insert(table)
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    raise StoreError(
        f"no journal can be kept in a database of kind '{engine.dialect.name}'",
        where=shown(str(engine.url)),
        next="give a SQLite or PostgreSQL URL",
    )
