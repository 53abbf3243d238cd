"""What people are asked to read, what they say, and what the tables make of it."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from harness import counting
from harness.counting.agreement import _kappa
from harness.counting.drawn import PLAN, Whole, digest, draw, numbers, spread, stored_draw
from harness.counting.drawn import shares as shares_of
from harness.counting.labels import Label, append_labels, identity_of, read_labels
from harness.errors import RunError, ScoreError
from harness.journal import campaign_of, find_run
from tests.made_runs import founding, make

CELLS = [("suspect", "bare", "identity"), ("donor", "absent", "identity")]


@pytest.fixture
def run(tmp_path):
    make(tmp_path, "r", founding)
    found = find_run("r", tmp_path, None)
    yield found
    found.journal.engine.dispose()


@pytest.fixture
def campaign(run):
    return campaign_of(run)


def label(drawn, who="ana", **said):
    said = {"stance": "claims", "names": ["nex"], "makers": ["nex-agi"]} | said
    return Label(drawn.sample, drawn.sha256, who, **said)


def tallied(run, campaign, **wanted):
    tables = counting.make_tables(run.journal, campaign, run.folder)
    frame = tables.tally
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return tables, frame


RIO_BARE = {
    "target": "suspect",
    "arm": "bare",
    "probe": "identity",
    "language": "all",
    "measure": "name",
}


# what is drawn


def test_each_part_gets_its_share_rounded_at_random():
    rng = np.random.default_rng(0)
    sizes = [70, 25, 4, 1]
    given = np.array([spread(sizes, 10, rng) for _ in range(4000)])
    assert set(given.sum(1)) == {10} and (given <= sizes).all()
    assert given.mean(0) == pytest.approx([7, 2.5, 0.4, 0.1], abs=0.03)
    assert spread(sizes, 100, rng) == sizes and spread([0, 0], 0, rng) == [0, 0]


def test_half_is_read_where_the_first_sentence_stands(run, campaign):
    drawn = counting.drawn_for(run, campaign, 40, None)
    cells = Counter(drawn.cell_of(one) for one in drawn.samples)
    # their half and quarter, and what they get of the rest as others do
    assert 20 <= cells["suspect", "bare", "identity"] <= 23
    assert 10 <= cells["suspect", "absent", "identity"] <= 13
    assert len(drawn.samples) == len({one.sample for one in drawn.samples}) == 40
    assert {(s.target, s.arm) for s in drawn.strata} >= {("donor", "absent"), ("donor", "bare")}
    assert sum(s.size for s in drawn.strata) == drawn.replies
    assert Counter(one.stratum for one in drawn.samples) == {
        at: s.drawn for at, s in enumerate(drawn.strata) if s.drawn
    }


def test_without_a_claim_all_targets_and_arms_give_alike(campaign):
    free = campaign.model_copy(update={"claim": None})
    sizes = {
        (target, arm, probe): size
        for target in ("suspect", "donor")
        for arm in ("absent", "bare")
        for probe, size in (("identity", 30), ("backstory", 10))
    }
    wanted = shares_of(sizes, free)
    assert sum(wanted.values()) == pytest.approx(1)
    assert wanted["donor", "bare", "identity"] == pytest.approx(0.25 * 0.75)
    few = numbers(dict.fromkeys(sizes, 2), shares_of(sizes, campaign), 14)
    assert sum(few.values()) == pytest.approx(14) and max(few.values()) <= 2


def test_every_reply_of_a_cell_has_the_same_chance_whatever_is_said_of_it(campaign):
    found = [
        Whole(f"{cell[0]}/{at}", cell, "claims nex" if at < 27 else "none")
        for cell in CELLS
        for at in range(30)
    ]
    seen = Counter()
    for seed in range(1500):
        _, order = draw(found, campaign, 8, seed)
        seen.update(sample for sample, _ in order)
    in_cell = np.array([seen[f"suspect/{at}"] for at in range(30)]) / 1500
    assert in_cell.mean() == pytest.approx(8 * 0.75 / 30, abs=0.01)
    assert abs(in_cell - in_cell.mean()).max() < 0.05  # five standard errors
    assert in_cell[27:].mean() == pytest.approx(in_cell[:27].mean(), abs=0.025)


def test_the_same_seed_draws_the_same_and_more_keeps_what_was_drawn(run, campaign):
    first = counting.drawn_for(run, campaign, 10, 7)
    (run.folder / PLAN).unlink()
    assert counting.drawn_for(run, campaign, 10, 7) == first
    assert counting.drawn_for(run, campaign, 5, None) == first
    more = counting.drawn_for(run, campaign, 25, None)
    assert more.samples[:10] != [] and len(more.samples) == 25
    assert [one.sample for one in more.samples[:10]] == [one.sample for one in first.samples]
    assert stored_draw(run.folder) == more
    with pytest.raises(RunError, match="drawn with seed 7, not 8"):
        counting.drawn_for(run, campaign, 25, 8)
    every = counting.drawn_for(run, campaign, 10**6, None)
    assert len(every.samples) == every.replies


def test_a_plan_that_is_none_is_said_to_be(run, campaign):
    (run.folder / PLAN).write_text('{"format": 1}')
    with pytest.raises(RunError, match="cannot be used"):
        counting.drawn_for(run, campaign, 10, None)


# what is said


@pytest.mark.parametrize(
    ("said", "kind", "identity"),
    [
        ("nex", "name", "nex"),
        (" NEX ", "name", "nex"),
        ("Nex-AGI", "maker", "nex-agi"),
        ("通义千问", "name", "qwen"),
        ("Emily  Carter", "name", "other:emily carter"),
        ("other:Emily Carter", "name", "other:emily carter"),
        ("other:Nex", "name", "nex"),
        ("OpenAI", "any", "openai"),
        ("Claude", "any", "claude"),
    ],
)
def test_what_a_person_types_is_an_identity_of_the_book_or_another_name(said, kind, identity):
    assert identity_of(said, kind) == identity == identity_of(identity, kind)


def test_labels_are_kept_at_once_and_the_last_word_counts(run, campaign):
    one, two, *_ = counting.drawn_for(run, campaign, 10, None).samples
    append_labels(run.folder, [label(one), label(two)])
    append_labels(run.folder, [label(one, stance="none", names=[], makers=[])])
    assert [x.stance for x in read_labels(run.folder)] == ["none", "claims"]
    path = run.folder / "labels.jsonl"
    path.write_bytes(path.read_bytes() + b'{"sample": "torn')  # the machine went off here
    assert len(read_labels(run.folder)) == 2
    append_labels(run.folder, [label(two, who="ben")])
    assert [x.labeller for x in read_labels(run.folder)] == ["ana", "ana", "ben"]


BAD = [
    ({"stance": "perhaps"}, "Invalid enum value 'perhaps'"),
    ({"verdict": "claims"}, "unknown field `verdict`"),
    ({"names": []}, "claims something has names, makers or base"),
    ({"stance": "denies", "names": []}, "denies something has denied"),
    ({"stance": "none"}, "of stance none has no names"),
    ({"names": ["x" * 101]}, "longer than 100 letters"),
    ({"names": ["\u202exen"]}, "not readable"),
    ({"names": ["nex"] * 51}, "more than 50 identities"),
    ({"labeller": ""}, "labeller's name is empty"),
    ({"labeller": "\x1b[31m"}, "not readable"),
    ({"sha256": "0" * 64}, "has another text in this run"),
    ({"sample": "nothing/0"}, "was not drawn to be read in this run"),
]


@pytest.mark.parametrize(("wrong", "said"), BAD)
def test_nothing_is_taken_of_a_file_with_a_bad_line(run, campaign, tmp_path, wrong, said):
    drawn = counting.drawn_for(run, campaign, 10, None)
    good, bad = (
        {"sample": d.sample, "sha256": d.sha256, "labeller": "ana", "stance": "claims"}
        | {"names": ["Nex"]}
        for d in drawn.samples[:2]
    )
    file = tmp_path / "added.jsonl"
    file.write_text(json.dumps(good) + "\n" + json.dumps(bad | wrong) + "\n")
    with pytest.raises(ScoreError, match=said) as caught:
        counting.add_labels(run.folder, drawn, file)
    assert caught.value.next and str(file) in str(caught.value.where)
    assert read_labels(run.folder) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 90_000, b"{}", b'{"a":1}\n' * 2])
def test_a_hostile_file_of_labels_is_one_clear_message(run, campaign, tmp_path, content):
    file = tmp_path / "added.jsonl"
    file.write_bytes(content)
    drawn = counting.drawn_for(run, campaign, 10, None)
    with pytest.raises(ScoreError):
        counting.add_labels(run.folder, drawn, file)


def test_a_file_is_taken_once(run, campaign, tmp_path):
    drawn = counting.drawn_for(run, campaign, 10, None)
    one = drawn.samples[0]
    file = tmp_path / "added.jsonl"
    said = {"sample": one.sample, "sha256": one.sha256, "labeller": "ana", "stance": "claims"}
    file.write_text(json.dumps(said | {"names": ["Nex", "nex"]}))
    assert counting.add_labels(run.folder, drawn, file) == 1
    assert counting.add_labels(run.folder, drawn, file) == 0
    assert read_labels(run.folder)[0].names == ["nex"]


# what is made of it


def test_without_labels_nothing_is_checked(run, campaign):
    tables, frame = tallied(run, campaign)
    assert tables.read is None
    assert frame[["checked_rate", "checked_low", "checked_high", "checked_n"]].isna().all(axis=None)


def test_labels_make_checked_rates_of_the_rows_that_they_stand_in(run, campaign):
    drawn = counting.drawn_for(run, campaign, 40, None)
    read = [one for one in drawn.samples if drawn.cell_of(one)[:2] == ("suspect", "bare")]
    append_labels(run.folder, [label(one) for one in read])
    tables, frame = tallied(run, campaign, **RIO_BARE)
    of = frame.set_index("identity")
    names = sum(drawn.cell_of(one)[2] == "identity" for one in read)
    assert of.loc["nex", "checked_n"] == names and of.loc["nex", "checked_rate"] == 1
    assert of.loc["rio", "checked_rate"] == 0 and of.loc["rio", "checked_low"] == 0
    assert of.loc["rio", "checked_high"] > of.loc["rio", "rate_high"]
    others = tables.tally[tables.tally["arm"] == "absent"]
    recitals = tables.tally[tables.tally["measure"] == "recital"]
    assert others["checked_rate"].isna().all() and recitals["checked_rate"].isna().all()
    assert (tables.read.read, tables.read.agree) == (len(read), len(read))
    assert str(tables.read).endswith(f"replies were read by people: {len(read)} agree.")


def test_what_people_see_otherwise_moves_the_rate(run, campaign):
    drawn = counting.drawn_for(run, campaign, 40, None)
    cell = [one for one in drawn.samples if drawn.cell_of(one) == CELLS[0]]
    nobody = {"stance": "none", "names": [], "makers": []}
    odd = {"names": ["Emily Carter"], "makers": []}
    said = [label(one, **(nobody if at < 5 else {})) for at, one in enumerate(cell)]
    said[-1] = label(cell[-1], **odd)
    append_labels(run.folder, said)
    append_labels(run.folder, [label(cell[0], who="ben")])  # who sees a name where ana sees none
    tables, frame = tallied(run, campaign, **RIO_BARE)
    nex = frame.set_index("identity").loc["nex"]
    assert nex["checked_rate"] == pytest.approx((len(cell) - 5.5) / len(cell), abs=1e-5)
    assert nex["checked_low"] < nex["checked_rate"] < nex["checked_high"]
    assert tables.read.agree == len(cell) - 6


def test_where_the_run_has_grown_nothing_is_checked_and_it_is_said(run, campaign):
    drawn = counting.drawn_for(run, campaign, 40, None)
    append_labels(run.folder, [label(one) for one in drawn.samples])
    plan = json.loads((run.folder / PLAN).read_text())
    grown = next(s for s in plan["strata"] if (s["target"], s["arm"]) == ("suspect", "bare"))
    grown["size"] -= 1
    (run.folder / PLAN).write_text(json.dumps(plan))
    tables, frame = tallied(run, campaign, **RIO_BARE)
    assert frame["checked_rate"].isna().all() == (grown["probe"] == "identity")
    assert any("other replies than when they were drawn" in note for note in tables.read.notes)
    with pytest.raises(RunError, match="other ones now"):
        counting.drawn_for(run, campaign, 50, None)


def test_a_label_of_another_text_is_not_used(run, campaign):
    drawn = counting.drawn_for(run, campaign, 5, None)
    one = drawn.samples[0]
    append_labels(run.folder, [Label(one.sample, digest("another"), "ana", "none")])
    assert tallied(run, campaign)[0].read is None


def test_agreement_is_with_the_classifier_and_between_people(run, campaign):
    drawn = counting.drawn_for(run, campaign, 12, None)
    rows = counting.make_tables(run.journal, campaign, run.folder).samples
    assert len(rows)
    texts = {s.sample: s.text for s in counting.to_read(run, drawn)}
    said = {
        key: {"names": ["rio"], "makers": []} if "Rio" in text else {}
        for key, text in texts.items()
    }
    every = [label(one, **said[one.sample]) for one in drawn.samples]
    append_labels(run.folder, every)
    nobody = {"stance": "none", "names": [], "makers": []}
    append_labels(run.folder, [label(one, "ben", **nobody) for one in drawn.samples[:3]])
    append_labels(run.folder, [label(one, "ben", **said[one.sample]) for one in drawn.samples[3:6]])
    found = counting.agreement_of_labels(run, drawn)
    assert found.labellers == {"ana": 12, "ben": 6} and (found.read, found.drawn) == (12, 12)
    assert found.both == (9, 12) and found.stance == (9, 12)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.both) == ("ana", "ben", 6) and pair.stance == 0
    lines = counting.agreement_lines(found)
    assert any("both    9 of 12: 75.0 (47-91)" in line for line in lines)
    assert "ana and ben both read 6: kappa of stance 0.00" in lines[-1]


def test_kappa_is_that_of_its_paper_and_none_where_chance_would_agree():
    first, second = list("aabbabbbba"), list("ababbbbbba")
    seen, chance = 0.7, 0.4 * 0.3 + 0.6 * 0.7
    assert _kappa(first, second) == pytest.approx((seen - chance) / (1 - chance))
    assert _kappa(["a"] * 4, ["a"] * 4) is None and _kappa([], []) is None


def test_the_pool_of_rare_names_holds_what_has_no_row(run, campaign):
    """A name that people read and the classifier never found is in nobody's row but the pool's."""
    from harness.counting.readings import _shows

    seen = label(counting.drawn_for(run, campaign, 5, None).samples[0], names=["other:emily"])
    assert _shows(seen, "name", "other:(rare)", {"nex"})
    assert not _shows(seen, "name", "other:(rare)", {"other:emily"})
    assert _shows(seen, "name", "other:emily", {"other:emily"})
    assert not pd.isna(seen.stance)
