"""A stranger's database is looked at before it is used."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from harness.journal import open_engine, sqlite_url
from harness.report.evidence.definitions import check_database
from tests.made_runs import journal_in, keep


@pytest.fixture
def journal(tmp_path):
    """A small honest journal."""
    from harness.campaign import from_text
    from harness.journal import begin_run
    from harness.sampling import prepare
    from harness.targets import Reply
    from tests.made_runs import TEXT

    run = begin_run(from_text(TEXT, "made.yaml", tmp_path), "c", tmp_path, None)
    prepare(from_text(TEXT, "made.yaml", tmp_path), run.journal)
    run.journal.engine.dispose()
    path = tmp_path / "c" / "journal.sqlite"
    with journal_in(sqlite_url(path)) as opened:
        said = [Reply(i, "ok", text="I am Rio.") for i in range(4)]
        for place in (0, 1):
            keep(opened, place, ("suspect", "bare", "identity", "who"), *said)
        with opened.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
    return path


def changed(path, *statements):
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_an_honest_journal_is_taken(journal):
    check_database(journal)


def test_a_journal_of_every_revision_is_taken(tmp_path):
    """Tables are defined a little otherwise where they came by migrations."""
    from harness.journal import migrations, schema

    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.commit()
    import sqlalchemy as sa

    engine = sa.create_engine(sqlite_url(path))
    with migrations.at_once(engine) as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
        migrations.upgrade(connection)
        row = {c.name: 1 if c.type.python_type is int else "x" for c in schema.runs.columns}
        connection.execute(sa.insert(schema.runs).values(row))
    engine.dispose()
    check_database(path)
    open_engine(sqlite_url(path)).dispose()
    changed(path, "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")
    check_database(path)


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT"
COLUMNS = "run INTEGER, position INTEGER"


@pytest.mark.parametrize(
    "statements",
    [
        (f"CREATE VIEW more AS {ENDLESS} x FROM c",),
        ("ALTER TABLE contexts RENAME TO scores2",),
        ("DROP TABLE targets", f"CREATE VIEW targets AS {ENDLESS} 1 run, 'a' target FROM c"),
        ("CREATE TRIGGER t AFTER INSERT ON scores BEGIN DELETE FROM responses; END",),
        ("CREATE TABLE more (x)",),
        ("ANALYZE",),
        ("CREATE INDEX more ON trials (lower(trial))",),
        ("CREATE INDEX more ON trials (trial) WHERE position > 3",),
        ("CREATE INDEX more ON trials (trial COLLATE NOCASE)",),
        ("CREATE VIRTUAL TABLE more USING rtree(id, a, b)",),
        (
            "DROP TABLE scores",
            "CREATE TABLE scores (scorer TEXT, more TEXT AS (hex(zeroblob(9))))",
        ),
        ("DROP TABLE scores", "CREATE TABLE scores (scorer TEXT DEFAULT (random()))"),
        ("DROP TABLE scores", "CREATE TABLE scores (scorer TEXT CHECK (length(scorer) > 3))"),
        ("DROP TABLE scores", "CREATE TABLE scores (scorer TEXT REFERENCES runs (run))"),
        ("DROP TABLE scores", "CREATE TABLE scores AS SELECT 1 x"),
        ("DROP TABLE scores", "CREATE TABLE scores (scorer TEXT /* a comment */)"),
        ("DROP TABLE scores", "CREATE TABLE scores (scorer TEXT COLLATE NOCASE)"),
        ("DROP TABLE responses",),
    ],
)
def test_only_tables_that_truename_makes_are_taken(journal, statements):
    changed(journal, *statements)
    with pytest.raises(ValueError, match=r"does not make|has no table"):
        check_database(journal)


def test_the_real_table_under_a_view_is_found(journal):
    """An endless view in the place of the replies: no query is made of it."""
    endless = f"{ENDLESS} 1 run, 0 position, x first, 1 samples, '[]' replies FROM c"
    changed(
        journal, "ALTER TABLE responses RENAME TO scores2", f"CREATE VIEW responses AS {endless}"
    )
    with pytest.raises(ValueError, match="does not make"):
        check_database(journal)


def test_two_tables_on_one_page_are_found(journal):
    changed(
        journal,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
        "WHERE name = 'trials') WHERE name = 'targets'",
    )
    with pytest.raises(ValueError, match="journal"):
        check_database(journal)


def test_an_index_that_hides_rows_is_found(journal):
    changed(
        journal,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'ix_trials_trial'",
    )
    with pytest.raises(ValueError, match="journal"):
        check_database(journal)


@pytest.mark.parametrize("table", ["targets", "trials", "contexts"])
def test_a_row_that_stands_twice_where_no_key_forbids_it_is_found(journal, table):
    """Each reply of a trial that stands twice would be counted twice."""
    with closing(sqlite3.connect(journal)) as database:
        columns = database.execute(f"PRAGMA table_info({table})").fetchall()
        plain = ", ".join(f"{column[1]} {column[2]}" for column in columns)
        database.execute(f"CREATE TABLE other ({plain})")
        if table == "targets":
            nothing = ", ".join("'t'" if c[2] != "INTEGER" else "1" for c in columns)
            database.execute(f"INSERT INTO other VALUES ({nothing})")
        database.execute(f"INSERT INTO other SELECT * FROM {table}")
        database.execute("INSERT INTO other SELECT * FROM other")
        database.execute(f"DROP TABLE {table}")
        database.execute(f"ALTER TABLE other RENAME TO {table}")
        database.commit()
    with pytest.raises(ValueError, match=f"holds a row of {table} twice"):
        check_database(journal)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM trials WHERE position = 1", "belong to no trial"),
        ("DELETE FROM contexts", "belong to no trial"),
        ("UPDATE responses SET run = 7", "belong to no trial"),
        ("DELETE FROM runs", "one run"),
        (
            "INSERT INTO runs SELECT 2, 'other', schema_version, created, campaign_sha256, "
            "campaign_source, campaign_folder, plan_sha256, versions FROM runs",
            "one run",
        ),
        ("UPDATE responses SET samples = -1", "twice"),
        ("UPDATE responses SET replies = x'00'", "strange kind"),
        ("UPDATE responses SET seconds = 'long'", "strange kind"),
        ("UPDATE responses SET samples = 'many'", "strange kind"),
        ("UPDATE responses SET samples = 1000000000 WHERE position = 1", "than it holds"),
    ],
)
def test_rows_that_truename_does_not_write_are_found(journal, statement, said):
    changed(journal, statement)
    with pytest.raises(ValueError, match=said):
        check_database(journal)


def test_a_sample_that_stands_twice_is_found(journal):
    with closing(sqlite3.connect(journal)) as database:
        row = list(database.execute("SELECT * FROM responses LIMIT 1").fetchone())
        row[2] = 3  # of four samples the last, as a block of its own
        database.execute(f"INSERT INTO responses VALUES ({','.join('?' * len(row))})", row)
        database.commit()
    with pytest.raises(ValueError, match="twice"):
        check_database(journal)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 5000])
def test_what_is_no_database(tmp_path, content):
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(ValueError, match="journal"):
        check_database(tmp_path / "j")


def test_a_damaged_database_is_refused_and_never_crashes(journal, tmp_path):
    import random

    whole, rng, refusals = journal.read_bytes(), random.Random(3), 0
    for _ in range(150):
        body = bytearray(whole)
        for _ in range(20):
            body[rng.randrange(len(body))] = rng.randrange(256)
        (tmp_path / "j").write_bytes(body)
        try:
            check_database(tmp_path / "j")
        except ValueError:
            refusals += 1
    assert refusals > 75
