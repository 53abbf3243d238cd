"""`truename eval-classifier`: how right verdicts are on labels."""

from __future__ import annotations

import json

import pytest

from harness.counting.confusion import NOT_MEASURED, TOO_FEW, Confusion, Errors, confusion, known
from harness.counting.evaluate import confusion_rates, evaluate, macro_f1
from harness.counting.lengths import LENGTHS, named
from tests.commands import truename

LABELS = [
    {
        "id": "1",
        "lang": "en",
        "reply": "I am Qwen, made by Alibaba.",
        "stance": "claims",
        "names": ["qwen"],
        "makers": ["alibaba"],
        "trap": "plain",
    },
    {
        "id": "2",
        "lang": "en",
        "reply": "I am Zorbly.",
        "stance": "claims",
        "names": ["other"],
        "trap": "other-identity",
    },
    {
        "id": "3",
        "lang": "de",
        "reply": "Ich bin nicht Qwen.",
        "stance": "denies",
        "denied": ["qwen"],
        "trap": "negation",
    },
    {"id": "4", "lang": "en", "reply": "I am Claude.", "stance": "none", "trap": "plain"},
]


def test_measures_are_those_of_the_labels(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, LABELS)))
    found = evaluate(path)
    assert (
        found.exact["stance"] == (3, 4)
        and found.exact["names"] == (3, 4)
        and found.exact["denied"] == (4, 4)
    )
    assert found.parts["names"] == (2, 1, 0)
    assert found.unlisted == (1, 0, 0) and found.false_unlisted == (0, 4)
    assert found.traps["plain"] == (1, 2) and found.languages["de"].all_three == (1, 1)
    assert found.confusion["none", "claims"] == 1
    assert macro_f1(found) == pytest.approx((2 * 2 / 5 + 1 + 0) / 3)
    assert sum(claims for *_, claims in found.reliability) == 5


def test_the_errors_that_correct_are_counts_of_replies_by_their_length(tmp_path):
    two = {**LABELS[0], "id": "5", "reply": "I am Qwen." + " One more word." * 20}
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, [*LABELS, two])))
    rates = confusion_rates(evaluate(path))
    name, short, long = rates.measures["name"], "0 to 20", "61 to 150"
    # one reply names Claude and is labelled to name nobody
    assert (name[short].sensitivity, name[short].specificity) == ((2, 2), (3, 4))
    assert (name[long].sensitivity, name[long].specificity) == ((1, 1), (1, 1))
    claims, none = rates.measures["stance claims"][short], rates.measures["stance none"][short]
    assert (claims.sensitivity, claims.specificity) == ((2, 2), (1, 2))
    assert (none.sensitivity, none.specificity) == ((0, 1), (3, 3))
    assert all(of <= 5 for e in name.values() for _, of in (e.sensitivity, e.specificity))


def test_the_shipped_errors_are_of_real_replies_by_length():
    shipped = confusion()
    assert "real replies" in shipped.source and set(shipped.measures["name"]) == {
        named(at) for at in range(len(LENGTHS))
    }
    replies = sum(errors.specificity[1] for errors in shipped.measures["name"].values())
    assert replies == shipped.replies
    even = (0.25,) * 4
    assert known(shipped, "name", even).sensitivity.mean < 1
    assert known(shipped, "recital", even) == NOT_MEASURED
    assert known(shipped, "stance denies", even) == TOO_FEW


def test_a_rate_of_long_replies_is_corrected_by_the_errors_on_long_replies():
    bands = {"0 to 20": Errors((100, 100), (100, 100)), "151 or more": Errors((60, 100), (90, 100))}
    errors = Confusion({"name": bands}, 200, "labels")
    short, long = (known(errors, "name", mix) for mix in ((1, 0, 0, 0), (0, 0, 0, 1)))
    assert short.sensitivity.mean > 0.98 and long.sensitivity.mean == pytest.approx(0.6, abs=0.02)
    assert long.specificity.mean == pytest.approx(0.9, abs=0.02)


def test_measures_are_told_by_length_and_without_ambiguous_labels(tmp_path):
    long = {**LABELS[0], "id": "5", "reply": LABELS[0]["reply"] + " One more word." * 20}
    doubtful = {**LABELS[3], "id": "6", "ambiguous": True}
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, [*LABELS, long, doubtful])))
    found = evaluate(path)
    assert found.ambiguous == 1 and list(found.lengths) == ["0 to 20", "61 to 150"]
    short = found.lengths["0 to 20"]
    assert (short.false_names, short.all_three, short.makers) == ((1, 4), (3, 4), (4, 4))
    assert found.lengths["61 to 150"].stance == (1, 1)


def test_the_command_prints_errors_and_writes_its_files(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, LABELS)))
    done = truename("eval-classifier", path, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "I am Claude." in done.output and "1 replies with an error" in done.output
    assert (tmp_path / "out/reliability.svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "out/confusion.json").read_text())["replies"] == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no labels"),
        ("{}", "this is no label"),
        ('{"id": "1", "lang": "en", "reply": "x", "stance": "claim"}', "is no stance"),
    ],
)
def test_bad_labels_are_named_with_their_line(tmp_path, content, says):
    path = tmp_path / "labels.jsonl"
    path.write_text(content)
    done = truename("eval-classifier", path)
    assert done.exit_code == 2
    assert says in done.output
