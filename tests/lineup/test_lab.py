"""From end to end on the lab: who is who in at most 80 requests, as a run like any other."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.journal import find_run


def lineup(*arguments):
    result = CliRunner().invoke(main, ["lineup", "--json", *arguments], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("model", ["suspect", "donor", "base", "control"])
def test_each_of_the_lab_is_told_apart_in_80_requests(model):
    code, found = lineup(f"lab:{model}", "--budget", "80")
    assert (code, found["said"]) == (0, "is it")
    assert found["ranked"][0]["model"] == f"lab:{model}"
    assert found["asked"] <= 80
    if model == "suspect":
        assert found["ranked"][1]["model"] == "lab:donor"


def test_a_false_claim_ends_with_exit_code_1_and_leaves_a_run(tmp_path):
    code, found = lineup("lab:control", "--claims", "lab:donor")
    assert (code, found["said"], found["claim"]) == (1, "is not", "lab:donor")
    run = find_run(found["run"], tmp_path / "results", None)
    assert run.journal.held() == found["asked"] < 80


def test_the_same_command_asks_nothing_twice(tmp_path):
    first = lineup("lab:control", "--claims", "lab:donor")
    run = find_run(first[1]["run"], tmp_path / "results", None)
    held = run.journal.held()
    assert lineup("lab:control", "--claims", "lab:donor") == first
    assert run.journal.held() == held


def test_two_targets_are_compared_by_fresh_questions():
    assert lineup("lab:donor", "--against", "lab:donor", "--seed", "1")[1]["said"] != "is not"
    code, found = lineup("lab:control", "--against", "lab:donor", "--seed", "1", "--run", "two")
    assert (code, found["said"]) == (1, "is not")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lab:donor", "--claims", "lab:doner"], "did you mean 'lab:donor'"),
        (["lab:donor", "--references", "nobody"], "there are no references 'nobody'"),
        (["there-is-no-such-file"], "nothing that can be asked"),
        (["http://127.0.0.1:1/v1"], "add --model"),
    ],
)
def test_a_mistake_is_one_message(arguments, said):
    result = CliRunner().invoke(main, ["lineup", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_references_are_made_shown_exported_and_used(tmp_path):
    made = ["references", "make", "lab:control", "--name", "mine", "--as", "my-model"]
    steps = [
        [*made, "--samples", "1"],
        ["references", "list"],
        ["references", "show", "mine"],
        ["references", "show", "mine", "my-model"],
        ["references", "export", "mine", "handed-on.json"],
    ]
    said = [CliRunner().invoke(main, step) for step in steps]
    assert [one.exit_code for one in said] == [0] * len(steps), [one.output for one in said]
    assert "mine: 1 models: my-model" in said[1].stdout
    code, found = lineup("lab:donor", "--claims", "my-model", "--references", "handed-on.json")
    assert (code, found["said"]) == (1, "is not")
