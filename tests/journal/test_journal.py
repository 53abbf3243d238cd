"""The journal: exactly once, in one order, whatever the text; a run is locked."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
import sqlite3

import pytest
import sqlalchemy as sa

from harness.campaign import Trial, parse_arm
from harness.errors import StoreError
from harness.journal import (
    Journal,
    Lock,
    Sampled,
    Scores,
    Writer,
    checkpoint,
    find_run,
    open_engine,
    sqlite_url,
)
from harness.journal.address import shown
from harness.targets import Booked, Context, Reply, Response
from tests.commands import PATIENCE_S
from tests.made_runs import founding, journal_in, make


@pytest.fixture
def journal(database):
    with journal_in(database) as found:
        yield found


def save(journal, batch):
    Writer(journal).save(batch)


def sampled(key, *indices, text="x"):
    trial = Trial(
        "t",
        parse_arm("absent"),
        "identity",
        "en",
        "q",
        ({"role": "user", "content": "?"},),
        9,
        key,
        int(key[-1], 36),
    )
    response = Response(
        [Reply(i, "ok", text=text) for i in indices],
        Context({"max_tokens": 9}, rendered_prompt=text),
        raw=text,
        attempts=("ok",),
    )
    return Sampled(trial, response, Booked(1, 0, 5, 7))


def test_a_sample_cannot_be_written_twice_and_the_batch_is_all_or_none(journal):
    save(journal, [sampled("a", 0, 1)])
    with pytest.raises(StoreError, match="in the journal already"):
        save(journal, [sampled("b", 0), sampled("a", 0)])
    assert journal.done(range(40)) == {10: [range(2)]}
    assert journal.counted(range(40)).samples == 2


@pytest.mark.parametrize("together", [1, 2, 3, 100])
def test_rows_come_in_one_order_whatever_the_order_of_arrival(journal, monkeypatch, together):
    monkeypatch.setattr("harness.journal.journal.BLOCKS", together)
    save(journal, [sampled("b", 1)])
    save(journal, [sampled("a", 0), sampled("b", 0)])
    save(journal, [sampled("c", 0, 1)])
    assert [(r["trial"], r["sample"]) for r in journal.rows()] == [
        ("a", 0),
        ("b", 0),
        ("b", 1),
        ("c", 0),
        ("c", 1),
    ]


def test_what_is_written_while_rows_are_read_comes_into_the_file(journal, monkeypatch):
    monkeypatch.setattr("harness.journal.journal.BLOCKS", 1)
    save(journal, [sampled("a", 0), sampled("b", 0)])
    rows = journal.rows()
    assert next(rows)["trial"] == "a"
    Scores(journal.engine, "scorer").keep({b"0" * 16: "found"})
    assert checkpoint(journal.engine)
    assert [row["trial"] for row in rows] == ["b"]


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\u202e", "=1+1", "é" * 100_000])
def test_any_text_can_be_kept(journal, text):
    save(journal, [sampled("a", 0, text=text)])
    (kept,) = journal.rows()
    assert (
        kept["text"]
        == kept["raw"]
        == kept["rendered_prompt"]
        == text.replace("\ud800", "\ufffd").replace("\0", "\ufffd")
    )


def test_a_shortened_key_must_be_unique(journal):
    save(journal, [sampled("abc1", 0), sampled("abc2", 0)])
    save(journal, [sampled("xyz9", 0, 1), sampled("xyz9", 2)])
    assert [journal.sample("xyz", n)["sample"] for n in range(3)] == [0, 1, 2]
    assert journal.sample("xyz", 3) is None
    with pytest.raises(StoreError, match="several trials"):
        journal.sample("abc", 0)
    assert journal.sample("abc1", 0)["trial"] == "abc1"
    assert journal.sample("zzz", 0) is None
    assert journal.sample("%", 0) is None


def _hold(folder, ready, leave):
    with Lock(folder):
        ready.set()
        leave.wait()


def test_a_second_process_is_refused_with_the_holder_named(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, leave))
    holder.start()
    assert ready.wait(PATIENCE_S)
    with pytest.raises(StoreError, match=f"process {holder.pid}"), Lock(tmp_path):
        pass
    leave.set()
    holder.join()
    with Lock(tmp_path):
        pass


def test_a_journal_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot open the journal"):
        open_engine(sqlite_url(tmp_path / "no" / "such" / "folder.sqlite"))


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "j.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="cannot open the journal"):
        open_engine(sqlite_url(tmp_path / "j.sqlite"))


def test_a_journal_that_is_damaged_through_and_through_is_named(tmp_path):
    with journal_in(sqlite_url(tmp_path / "j.sqlite")) as journal:
        save(journal, [sampled(f"k{n}", 0, text="x" * 500) for n in "abcdefghij"])
    whole = bytearray((tmp_path / "j.sqlite").read_bytes())
    for at in range(4096, len(whole)):  # all but the first page
        whole[at] ^= 0x55
    (tmp_path / "j.sqlite").write_bytes(whole)
    with pytest.raises(StoreError, match=r"damaged|cannot open|malformed") as caught:  # noqa: SIM117
        with journal_in(sqlite_url(tmp_path / "j.sqlite")) as journal:
            list(journal.rows())
    assert "put back a copy" in caught.value.next


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE responses SET replies = replace(replies, 'ok', 'no') WHERE position = 11",
        "UPDATE responses SET replies = substr(replies, 1, 9) WHERE position = 11",
        "UPDATE responses SET replies = '' WHERE position = 11",
        "UPDATE responses SET model = 'another' WHERE position = 11",
        "UPDATE responses SET first = 7 WHERE position = 11",
        "UPDATE trials SET question = 'p' WHERE position = 11",
        "DELETE FROM trials WHERE position = 11",
        "UPDATE contexts SET content = replace(content, 'b-text', 'c-text')"
        " WHERE content LIKE '%b-text%'",
        "DELETE FROM contexts WHERE content LIKE '%b-text%'",
        "UPDATE responses SET replies = CAST(replies || x'ff' AS TEXT) WHERE position = 11",
        "UPDATE responses SET checksum = NULL WHERE position = 11",
        "UPDATE trials SET checksum = NULL, question = 'p' WHERE position = 11",
        "UPDATE contexts SET checksum = NULL WHERE content LIKE '%b-text%'",
    ],
)
def test_a_damaged_row_is_named_and_asked_again_where_one_wants(tmp_path, change):
    with journal_in(sqlite_url(tmp_path / "j.sqlite")) as journal:
        save(journal, [sampled("a", 0, 1, text="a-text"), sampled("b", 0, 1, text="b-text")])
        assert len(list(journal.rows())) == 4
        with journal.engine.begin() as connection:
            assert connection.exec_driver_sql(change).rowcount == 1
        with pytest.raises(StoreError, match="the journal is damaged") as caught:
            list(journal.rows())
        assert "position 11" in caught.value.where and "--retry-failed" in caught.value.next
        if "trials WHERE" not in change:  # without its trial nobody finds it
            with pytest.raises(StoreError, match="damaged"):
                journal.sample("b", 7 if "first" in change else 0)
        assert journal.forget_failed() == 2
        assert [row["text"] for row in journal.rows()] == ["a-text"] * 2
        save(journal, [sampled("b", 0, 1, text="b-text")])
        assert [row["text"] for row in journal.rows()] == ["a-text"] * 2 + ["b-text"] * 2


@pytest.fixture
def of_before(journal):
    """A journal whose run was begun before there were checksums."""
    journal.record.begin("a", "campaign: c", ".", "b", {})
    save(journal, [sampled("a", 0, 1)])
    with journal.engine.begin() as connection:
        for table in ("trials", "contexts", "responses"):
            connection.execute(sa.text(f"UPDATE {table} SET checksum = NULL"))
        connection.execute(sa.text("UPDATE runs SET schema_version = 2"))
    return Journal(journal.engine, journal.run)


def test_rows_of_before_there_were_checksums_stay_readable(of_before):
    save(of_before, [sampled("b", 0, 1)])  # it is gone on with
    assert len(list(of_before.rows())) == 4 and of_before.forget_failed() == 0


@pytest.mark.parametrize("change", ["'[{]'", "CAST(replies || x'ff' AS TEXT)"])
def test_rows_of_before_there_were_checksums_are_damaged_where_they_cannot_be_read(
    of_before, change
):
    if of_before.engine.dialect.name == "postgresql":
        change = "'[{]'"
    with of_before.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE responses SET replies = {change}")
    with pytest.raises(StoreError, match="the journal is damaged"):
        list(of_before.rows())


def test_what_a_target_can_do_is_damaged_and_written_anew(journal):
    journal.record.begin("a", "campaign: c", ".", "b", {})
    journal.record.remember_target("t", {"notes": []})
    with journal.engine.begin() as connection:
        connection.execute(sa.text("UPDATE targets SET capabilities = '{'"))
    with pytest.raises(StoreError, match="target 't'"):
        journal.record.capabilities()
    journal.record.remember_target("t", {"notes": ["n"]})
    assert journal.record.notes() == ["n"]


def test_numbers_and_names_are_kept_however_large(journal):
    done = sampled("a", 0)
    arm = parse_arm("given:" + "x" * 300)
    trial = dataclasses.replace(done.trial, arm=arm, question="q" * 500, target="t" * 100)
    response = done.response
    response.prompt_tokens = response.completion_tokens = 3_000_000_000
    save(journal, [Sampled(trial, response, Booked(2**40, 0, 2**62, 2**62))])
    (kept,) = journal.rows()
    assert kept["prompt_tokens"] == 3_000_000_000 and kept["arm"] == arm.label
    assert journal.counted(range(40)).requests == 2**40


def test_two_processes_cannot_begin_one_run(journal):
    about = ("a", "campaign: c", ".", "b", {})
    journal.record.begin(*about)
    other = Journal(journal.engine, journal.run)
    with pytest.raises(StoreError, match="another process began this run"):
        other.record.begin(*about)


def test_rows_that_nobody_reads_to_the_end_leave_nothing_open(journal):
    save(journal, [sampled(f"k{n}", 0) for n in "abcdefghij"])
    for read in (journal.rows(), journal.replies(range(40))):
        assert next(read)
        read.close()  # an open cursor would warn, which is an error here
    assert journal.engine.pool.checkedout() == 0
    with journal.engine.begin() as connection:  # nor does one keep a lock
        connection.execute(sa.text("DELETE FROM responses"))


def test_a_database_that_goes_away_is_one_message(new_database):
    url = new_database("postgresql")
    with journal_in(url) as journal:
        save(journal, [sampled("a", 0)])
        name = journal.engine.url.database
        admin = sa.create_engine(journal.engine.url.set(database="postgres"))
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            gone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            connection.execute(sa.text(gone), {"name": name})
        admin.dispose()
        for ask in (lambda: save(journal, [sampled("b", 0)]), lambda: list(journal.rows())):
            with pytest.raises(StoreError, match="journal cannot be"):
                ask()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret@127.0.0.1:notaport/db",
        "postgresql+psycopg://me:s3cret@127.0.0.1:99999999/db",
        "postgresql+psycopg://me:s3cret@127.0.0.1:1/db",
        "postgresql+psycopg://me@127.0.0.1:1/db?password=s3cret",
        "postgresql+psycopg://me@127.0.0.1:1/db?nosuch=1&password=s3cret",
        "nonsense://me:s3cret@h/db",
        "s3cret",
        "mysql://me:s3cret@h/db",
    ],
)
def test_an_address_that_leads_nowhere_is_one_message_without_its_password(url):
    with pytest.raises(StoreError) as caught:
        open_engine(url)
    assert ("s3cret" in str(caught.value)) == (url == "s3cret")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:[key]@h/d"),
        ("postgresql://u:p@q:r@h/d", "postgresql://u:[key]@h/d"),
        (
            "postgresql://u@h/d?password=p&sslmode=off",
            "postgresql://u@h/d?password=[key]&sslmode=off",
        ),
        (
            "postgresql://u@h/d?sslpassword=p&PASSWORD=p",
            "postgresql://u@h/d?sslpassword=[key]&PASSWORD=[key]",
        ),
        ("sqlite:////a/b.sqlite", "sqlite:////a/b.sqlite"),
    ],
)
def test_a_password_is_masked_in_every_form(url, said):
    assert shown(url) == said


def test_a_journal_that_cannot_be_written_is_told(tmp_path):
    path = tmp_path / "j.sqlite"
    with journal_in(sqlite_url(path)) as journal:
        save(journal, [sampled("a", 0)])
    with journal_in(f"sqlite:///file:{path}?mode=ro&uri=true") as journal:
        assert len(list(journal.rows())) == 1
        with pytest.raises(StoreError, match="cannot be written") as caught:
            save(journal, [sampled("b", 0)])
        assert "readonly" in caught.value.what
        with pytest.raises(StoreError, match="cannot be written"):
            journal.record.begin("a", "campaign: c", ".", "b", {})


def beyond_the_plan():
    """Two samples at a place that no other run of the tests has."""
    done = sampled("z", 0, 1)
    return done._replace(trial=dataclasses.replace(done.trial, position=10**6))


def test_a_copy_without_its_wal_says_what_is_missing(tmp_path):
    make(tmp_path, "made", founding)
    run = find_run("made", tmp_path, None)
    with run.journal.engine.connect() as connection:  # a reader, so that the -wal is kept
        connection.execute(sa.text("SELECT count(*) FROM responses"))
        save(run.journal, [beyond_the_plan()])
        shutil.copytree(run.folder, tmp_path / "copied")
        shutil.copytree(run.folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*-wal"))
        rename = "UPDATE runs SET run = ?"
        for name in ("copied", "bare"):
            with sqlite3.connect(tmp_path / name / "journal.sqlite") as copy:
                copy.execute(rename, (name,))
            copy.close()
    held = run.journal.held()
    run.journal.engine.dispose()
    copied = find_run("copied", tmp_path, None)
    assert copied.journal.held() == held
    copied.journal.engine.dispose()
    with pytest.raises(
        StoreError, match=f"holds {held - 2} samples of this run, and {held}"
    ) as caught:
        find_run("bare", tmp_path, None)
    assert "-wal" in caught.value.next and "journal.told" in caught.value.next
    (tmp_path / "bare/journal.told").unlink()
    find_run("bare", tmp_path, None).journal.engine.dispose()


def test_after_a_checkpoint_the_file_alone_is_the_run(tmp_path):
    make(tmp_path, "made", founding)
    run = find_run("made", tmp_path, None)
    save(run.journal, [beyond_the_plan()])
    assert checkpoint(run.journal.engine)
    (tmp_path / "copy").mkdir()
    shutil.copy(run.folder / "journal.sqlite", tmp_path / "copy")
    with sqlite3.connect(tmp_path / "copy/journal.sqlite") as copy:
        (held,) = copy.execute("SELECT sum(samples) FROM responses").fetchone()
    copy.close()
    assert held == run.journal.held()
    run.journal.engine.dispose()
