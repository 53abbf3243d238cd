"""`truename eval-classifier`: how right verdicts are on labels."""

from __future__ import annotations

import json

import pytest

from harness.counting.evaluate import confusion_rates, evaluate, macro_f1
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
    assert found.traps["plain"] == (1, 2) and found.languages["de"].all_three == (1, 1)
    assert found.confusion["none", "claims"] == 1
    assert macro_f1(found) == pytest.approx((2 * 2 / 5 + 1 + 0) / 3)
    assert sum(claims for *_, claims in found.reliability) == 5
    rates = confusion_rates(found)
    assert rates.measures["name"].sensitivity == (2, 2) and rates.measures[
        "stance"
    ].sensitivity == (3, 4)
    right, of = rates.measures["name"].specificity
    assert of - right == 1


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
