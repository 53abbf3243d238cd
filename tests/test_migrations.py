"""The schema: made at once or migrated from the first revision, it is the same, and what was in it is kept."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from harness import migrations
from harness.errors import StoreError
from harness.store import Journal, metadata, open_engine


def differences(engine):
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), metadata)


@pytest.mark.parametrize("stamped", [True, False])
def test_from_the_first_revision_up_nothing_is_lost(database, stamped):
    old = sa.create_engine(database)
    migrations.upgrade(old, migrations.FIRST)
    if not stamped:  # a journal of before there were revisions
        migrations.version.drop(old)
    with old.begin() as connection:
        connection.execute(sa.text("INSERT INTO runs VALUES (1, 'old', 2, 'then', 'a', 'campaign: old', '.', 'b', '{}')"))
        connection.execute(sa.text("INSERT INTO responses VALUES (1, 0, 0, 1, '[]', 'c', NULL, NULL, NULL, NULL, 9, 5, 1, NULL, '[]', 0.5, 1, 0, 9, 5, 0, 0, 0, 'then')"))
    old.dispose()
    engine = open_engine(database)
    assert migrations.revision_of(engine) == migrations.HEAD
    assert differences(engine) == []
    journal = Journal(engine, "old")
    assert journal.describe()["campaign_source"] == "campaign: old"
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
    migrations.stamp(engine, "9999")
    engine.dispose()
    with pytest.raises(StoreError, match="newer truename"):
        open_engine(database)


def test_the_head_is_the_last_revision(root):
    script = ScriptDirectory(str(root / "harness/migrations"))
    assert script.get_current_head() == migrations.HEAD
