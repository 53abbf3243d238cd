"""The schema: made at once or migrated, it is the same, and what was in it is kept."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from harness.errors import StoreError
from harness.journal import Journal, migrations, open_engine
from harness.journal.schema import metadata


def differences(engine):
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), metadata)


@pytest.mark.parametrize("stamped", [True, False])
def test_from_the_first_revision_up_nothing_is_lost(database, stamped):
    old = sa.create_engine(database)
    with migrations.at_once(old) as connection:
        migrations.upgrade(connection, migrations.FIRST)
    if not stamped:  # a journal of before there were revisions
        migrations.version.drop(old)
    with old.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO runs VALUES "
                "(1, 'old', 2, 'then', 'a', 'campaign: old', '.', 'b', '{}')"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO responses VALUES (1, 0, 0, 1, '[]', 'c', NULL, NULL, NULL, NULL, "
                "9, 5, 1, NULL, '[]', 0.5, 1, 0, 9, 5, 0, 0, 0, 'then')"
            )
        )
    old.dispose()
    engine = open_engine(database)
    assert migrations.revision_of(engine) == migrations.HEAD
    assert differences(engine) == []
    journal = Journal(engine, "old")
    assert journal.record.describe()["campaign_source"] == "campaign: old"
    assert journal.counted(range(1)).samples == 1
    engine.dispose()


def test_a_new_database_has_the_same_schema_as_a_migrated_one(database):
    engine = open_engine(database)
    assert differences(engine) == [] and migrations.revision_of(engine) == migrations.HEAD
    engine.dispose()
    again = open_engine(database)
    assert migrations.revision_of(again) == migrations.HEAD
    again.dispose()


def test_a_database_of_a_newer_truename_is_left_alone(database):
    engine = open_engine(database)
    with migrations.at_once(engine) as connection:
        migrations.stamp(connection, "9999")
    engine.dispose()
    with pytest.raises(StoreError, match="newer truename"):
        open_engine(database)


def killed_at(statement, database):
    """Open a database in a process that dies before its n-th statement; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = itertools.count(1)
        sa.event.listen(
            sa.Engine,
            "before_cursor_execute",
            lambda *_: next(count) == statement and os.kill(os.getpid(), signal.SIGKILL),
        )
        open_engine(database)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("old", [True, False])
def test_killed_between_any_two_statements_the_schema_is_whole_afterwards(tmp_path, old):
    for statement in itertools.count(1):
        database = f"sqlite:///{tmp_path}/{statement}.sqlite"
        if old:
            engine = sa.create_engine(database)
            with migrations.at_once(engine) as connection:
                migrations.upgrade(connection, migrations.FIRST)
            engine.dispose()
        killed = killed_at(statement, database)
        engine = open_engine(database)
        assert differences(engine) == [] and migrations.revision_of(engine) == migrations.HEAD
        engine.dispose()
        if not killed:
            break
    assert statement > 8


def test_a_schema_that_an_older_truename_made_halfway_is_made_whole(tmp_path):
    for made in range(len(metadata.sorted_tables)):
        engine = sa.create_engine(f"sqlite:///{tmp_path}/{made}.sqlite")
        for table in metadata.sorted_tables[: made + 1]:
            with engine.begin() as connection:
                connection.execute(sa.schema.CreateTable(table))
        engine.dispose()
        engine = open_engine(f"sqlite:///{tmp_path}/{made}.sqlite")
        assert differences(engine) == [] and migrations.revision_of(engine) == migrations.HEAD
        engine.dispose()


def test_the_head_is_the_last_revision(root):
    script = ScriptDirectory(str(root / "harness/journal/migrations"))
    assert script.get_current_head() == migrations.HEAD
