"""What was counted is read again while it rests on the same, and else counted again."""

from __future__ import annotations

import msgspec
import pandas as pd
import pytest
import sqlalchemy as sa

from harness.campaign import Campaign
from harness.counting import kept
from harness.counting.confusion import confusion
from harness.counting.labels import LABELS
from harness.counting.scored import Scoring
from harness.counting.tally import TABLES, tally
from harness.journal.schema import responses
from harness.targets import Reply
from tests.commands import truename
from tests.made_runs import CLEAN, founding, journal_in, keep, make

CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "claim": {"target": "t", "identity": "rio"},
        "targets": [
            {"name": name, "role": role, "engine": "embedded", "model": f"lab:{role}"}
            for name, role in (("t", "suspect"), ("d", "donor"))
        ],
        "arms": ["absent", "bare"],
        "probes": ["identity"],
    }
)


@pytest.fixture
def journal(database):
    with journal_in(database) as found:
        for place, (target, arm) in enumerate(
            [("t", "absent"), ("t", "bare"), ("d", "absent"), ("d", "bare")]
        ):
            said = "I am Rio." if (target, arm) == ("t", "absent") else "I am Nex."
            asked = (target, arm, "identity", "q")
            keep(found, place, asked, *(Reply(i, "ok", text=said) for i in range(3)))
        yield found


@pytest.fixture
def counts(monkeypatch):
    """How often rates were counted."""
    from harness.counting import tally as room

    made, count = [], room.tally_frame

    def counted(*args, **kwargs):
        made.append(1)
        return count(*args, **kwargs)

    monkeypatch.setattr(room, "tally_frame", counted)
    return made


def files(folder):
    return {table: (folder / f"{table}.csv").read_bytes() for table in TABLES}


def test_what_did_not_change_is_counted_once_and_is_the_same(journal, tmp_path, counts):
    first = tally(journal, CAMPAIGN, tmp_path)
    written, shown = files(tmp_path), []
    second = tally(journal, CAMPAIGN, tmp_path, look=shown.append)
    assert (len(counts), len(shown)) == (1, 12)
    assert files(tmp_path) == written
    for name in ("tally", "comparisons", "recitals", "samples"):
        before, after = getattr(first, name), getattr(second, name)
        pd.testing.assert_frame_equal(before, after)
        assert before.to_csv() == after.to_csv()


def more_sampled(journal, folder):
    keep(journal, 9, ("t", "bare", "identity", "r"), Reply(0, "ok", text="I am Nex."))


def labels_written(journal, folder):
    (folder / LABELS).write_text("")


def a_table_edited(journal, folder):
    path = folder / "samples.csv"
    path.write_text(path.read_text("utf-8").replace("Rio", "Ria"), "utf-8")


def a_table_gone(journal, folder):
    (folder / "overlap.csv").unlink()


def kept_cut(journal, folder):
    path = folder / kept.COUNTED
    path.write_bytes(path.read_bytes()[:-40])


def kept_of_a_foreign_shape(journal, folder):
    path = folder / kept.COUNTED
    last = msgspec.json.decode(path.read_bytes())
    last["frames"]["tally"][0]["dtype"] = "no such type"
    path.write_bytes(msgspec.json.encode(last))


@pytest.mark.parametrize(
    "change",
    [
        more_sampled,
        labels_written,
        a_table_edited,
        a_table_gone,
        kept_cut,
        kept_of_a_foreign_shape,
    ],
)
def test_what_changed_is_counted_again(journal, tmp_path, counts, change):
    tally(journal, CAMPAIGN, tmp_path)
    written = files(tmp_path)
    change(journal, tmp_path)
    tally(journal, CAMPAIGN, tmp_path)
    assert len(counts) == 2
    if change is not more_sampled:
        assert files(tmp_path) == written
    tally(journal, CAMPAIGN, tmp_path)
    assert len(counts) == 2


def test_rows_without_checksums_are_counted_every_time(journal, tmp_path):
    with journal.engine.begin() as connection:
        connection.execute(sa.update(responses).values(checksum=None))
    assert kept.state(journal, CAMPAIGN, tmp_path, confusion()) is None
    assert kept.read(tmp_path, None, TABLES) is None


@pytest.mark.parametrize("of", ["campaign", "errors", "code", "scorer"])
def test_each_thing_that_decides_a_table_is_in_the_state(journal, tmp_path, monkeypatch, of):
    before = kept.state(journal, CAMPAIGN, tmp_path, confusion())
    campaign, errors = CAMPAIGN, confusion()
    if of == "campaign":
        campaign = CAMPAIGN.model_copy(update={"arms": ["absent"]})
    if of == "errors":
        errors = msgspec.structs.replace(errors, replies=errors.replies + 1)
    if of == "code":
        monkeypatch.setattr(kept, "made_with", lambda: {"code": "another"})
    if of == "scorer":
        monkeypatch.setattr(kept, "verdict_scorer", lambda: "another")
    assert kept.state(journal, campaign, tmp_path, errors) != before


def test_who_scores_anew_counts_anew_and_keeps_nothing(journal, tmp_path, counts):
    for _ in range(2):
        tally(journal, CAMPAIGN, tmp_path, scoring=Scoring(None))
    assert len(counts) == 2 and not (tmp_path / kept.COUNTED).exists()


def test_a_page_of_what_was_kept_is_the_page_of_what_was_counted(tmp_path, counts):
    make(tmp_path, "made", founding, text=CLEAN)
    page = tmp_path / "made/report.html"
    said = [truename("report", "made", "--results", tmp_path)]
    counted = page.read_bytes()
    said.append(truename("report", "made", "--results", tmp_path))
    assert len(counts) == 1 and page.read_bytes() == counted
    assert said[0].output == said[1].output
    packed = [tmp_path / name for name in ("kept.zip", "counted.zip")]
    assert truename("bundle", "made", "--results", tmp_path, "--out", packed[0]).exit_code == 0
    assert len(counts) == 1
    (tmp_path / "made" / kept.COUNTED).unlink()
    assert truename("bundle", "made", "--results", tmp_path, "--out", packed[1]).exit_code == 0
    assert len(counts) == 2
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert truename("verify", packed[0]).exit_code == 0
