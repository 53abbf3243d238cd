"""A stranger's database, looked at before it is used: only tables that truename makes, of rows.

A definition is compared with a form, not run: plain columns and keys. Views, triggers, virtual
tables, computed columns and defaults, checks and indexes of expressions can hold programs, and are
refused. SQLite then checks its pages against each other, and the rows are checked for what the
tables cannot promise: one run, no reply without its trial, no sample twice.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from harness.console import plain
from harness.journal import schema

_NAME: Final = r'(?:"?[a-z][a-z0-9_]{0,62}"?)'
_NAMES: Final = rf"\( ?{_NAME}(?: ?, ?{_NAME})* ?\)"
_TYPE: Final = r"(?:INTEGER|BIGINT|SMALLINT|TEXT|FLOAT|BLOB|BOOLEAN|VARCHAR\(\d{1,5}\))"
_FIXED: Final = r"DEFAULT (?:-?\d{1,18}|'[^']{0,40}'|NULL)"
_COLUMN: Final = rf"{_NAME} {_TYPE}(?: {_FIXED})?(?: NOT NULL)?(?: PRIMARY KEY)?"
_KEY: Final = rf"(?:CONSTRAINT {_NAME} )?(?:PRIMARY KEY|UNIQUE) {_NAMES}"
_TABLE: Final = re.compile(
    rf"CREATE TABLE (?P<name>{_NAME}) ?\( ?{_COLUMN}(?: ?, ?(?:{_COLUMN}|{_KEY}))* ?\)"
    r"(?: ?WITHOUT ROWID)?"
)
_INDEX: Final = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (?P<name>{_NAME}) ON (?P<table>{_NAME}) ?{_NAMES}"
)
KNOWN: Final = frozenset({*schema.metadata.tables, "alembic_version"})
#: Tables that a bundle's journal cannot be without.
NEEDED: Final = ("runs", "targets", "trials", "contexts", "responses")
#: Bytes that one value of a stranger's database may have.
LONGEST: Final = 256 << 20


def check_database(path: Path) -> int:
    """Look at a database's definitions, then at its pages and rows, without changing it.

    How many samples it holds.

    Raises
    ------
    ValueError
        It is not a database as truename makes them; the message says why.
    """
    with path.open("rb") as source:
        if source.read(16) != b"SQLite format 3\0":
            raise ValueError("its journal is no SQLite database")
    url = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(url, uri=True)) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
            database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            database.execute("PRAGMA trusted_schema=OFF")
            database.execute("PRAGMA cell_size_check=ON")
            check_definitions(database)
            _check_pages(database)
            return _check_rows(database)
    except sqlite3.Error as problem:
        raise ValueError(f"its journal cannot be read: {plain(str(problem))}") from None


def check_definitions(database: sqlite3.Connection) -> None:
    """Every object of a database is a table or an index of truename's."""
    found = set()
    rows = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 200")
    for kind, name, table, sql in rows:
        if problem := _strange(kind, name, table, sql):
            raise ValueError(f"its journal holds {problem}, which truename does not make")
        found.add(name)
    if missing := set(NEEDED) - found:
        raise ValueError(f"its journal has no table {min(missing)}")


def _strange(kind: object, name: object, table: object, sql: object) -> str | None:
    """What a row of the schema is, unless it is a table or an index as truename makes them."""
    said = f"a {plain(str(kind))[:20]} '{plain(str(name))[:60]}'"
    if kind == "index" and sql is None:
        automatic = f"sqlite_autoindex_{table}_"
        return None if table in KNOWN and str(name).startswith(automatic) else said
    form = {"table": _TABLE, "index": _INDEX}.get(str(kind))
    if form is None or not isinstance(sql, str) or len(sql) > 10_000 or table not in KNOWN:
        return said
    defined = form.fullmatch(" ".join(sql.split()))
    if defined is None or defined["name"].strip('"') != name:
        return f"{said} of a strange form"
    on = defined["name"] if kind == "table" else defined["table"]
    return None if on.strip('"') == table else said


def _check_pages(database: sqlite3.Connection) -> None:
    """No page is of two tables, no index tells otherwise than its table."""
    said = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise ValueError(f"its journal is damaged: {plain(str(said))[:200]}")


def _check_rows(database: sqlite3.Connection) -> int:
    if database.execute("SELECT count(*) FROM (SELECT 1 FROM runs LIMIT 2)").fetchone()[0] != 1:
        raise ValueError("its journal does not hold one run, but none or several")
    lost = """SELECT count(*) FROM responses r
        LEFT JOIN trials t ON t.run = r.run AND t.position = r.position
        LEFT JOIN contexts c ON c.run = r.run AND c.context = r.context
        WHERE t.run IS NULL OR c.run IS NULL OR r.run NOT IN (SELECT id FROM runs)"""
    if count := database.execute(lost).fetchone()[0]:
        raise ValueError(f"{count} rows of its journal belong to no trial of the run")
    for table, odd in _odd_values(database):
        raise ValueError(f"its journal holds a value of a strange kind in {table}.{odd}")
    for table, key in (("targets", "target"), ("trials", "position"), ("contexts", "context")):
        twins = f"SELECT 1 FROM {table} GROUP BY run, {key} HAVING count(*) > 1 LIMIT 1"  # noqa: S608
        if database.execute(twins).fetchone():  # its replies would count twice
            raise ValueError(f"its journal holds a row of {table} twice")
    end = before = None
    held = 0
    blocks = """SELECT position, first, samples, length(replies) FROM responses
        ORDER BY run, position, first"""
    for position, first, samples, size in database.execute(blocks):
        if first < 0 or samples < 1 or (position == before and first < end):
            raise ValueError(f"its journal holds a sample twice, at place {position}")
        if samples > size:  # a reply takes some letters
            raise ValueError(f"its journal counts more samples than it holds, at place {position}")
        before, end = position, first + samples
        held += samples
    return held


def _odd_values(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Columns that hold values of another kind than truename writes, which SQLite allows."""
    for table in NEEDED:
        own = schema.metadata.tables[table].columns
        for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
            allowed = "'text'"
            if kind.startswith(("INTEGER", "BIGINT", "SMALLINT", "BOOLEAN")):
                allowed = "'integer'"
            elif kind.startswith("FLOAT"):
                allowed = "'real','integer'"
            elif kind == "BLOB":
                allowed = "'blob'"
            if column not in own or own[column].nullable:
                allowed += ",'null'"
            odd = f'SELECT 1 FROM {table} WHERE typeof("{column}") NOT IN ({allowed}) LIMIT 1'  # noqa: S608
            if database.execute(odd).fetchone():
                yield table, column
