"""The journal: exactly once, in one order, whatever the text; a run is locked."""

from __future__ import annotations

import multiprocessing

import pytest

from harness.campaign import Trial, parse_arm
from harness.errors import StoreError
from harness.journal import Lock, Sampled, Writer, open_engine, sqlite_url
from harness.targets import Booked, Context, Reply, Response
from tests.commands import PATIENCE_S
from tests.made_runs import journal_in


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


def test_rows_come_in_one_order_whatever_the_order_of_arrival(journal):
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
