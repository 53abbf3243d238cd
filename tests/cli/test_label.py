"""`truename label`: people read replies in the terminal, and the report rests on it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from harness import counting
from harness.cli import main
from harness.cli.labels import _completing
from harness.journal import campaign_of, find_run
from tests.commands import truename
from tests.made_runs import founding, make

NEX = "c\nNex\nNex-AGI\n\n\n\n"


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "results", "r", founding)
    return tmp_path


def typed(folder, said, *options):
    """What the command says to keys that are typed."""
    where = ["--results", str(folder / "results")]
    done = CliRunner().invoke(main, ["label", "r", *options, *where], input=said)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


def kept(folder):
    path = folder / "results/r/labels.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_each_answer_is_saved_at_once_and_the_command_goes_on_where_it_was(folder):
    done = typed(folder, NEX + "n\nq\n", "--n", "6", "--labeller", "ana")
    assert done.exit_code == 0 and "6 of 6 drawn replies to read, as ana" in done.output
    assert [(x["labeller"], x["stance"], x["names"], x["makers"]) for x in kept(folder)] == [
        ("ana", "claims", ["nex"], ["nex-agi"]),
        ("ana", "none", [], []),
    ]
    assert "read: 2 of 6 drawn replies (ana 2)" in done.output and "to go on:" in done.output
    again = typed(folder, "n\n" * 4, "--n", "6", "--labeller", "ana")
    assert "3 of 6   arm" in again.output and "to go on:" not in again.output
    assert "has read all 6" in typed(folder, "", "--n", "6", "--labeller", "ana").output
    other = typed(folder, NEX, "--n", "6", "--labeller", "ben")  # the input ends: so does he
    assert "1 of 6   arm" in other.output and "ana and ben both read 1" in other.output


def test_the_verdict_is_not_shown(folder):
    """What the screen says of each reply is its place, arm, question and text, and nothing else."""
    shown = typed(folder, "q\n", "--n", "60").output.split("1 of 60")[1].split("[c]laims")[0]
    about, asked, panel = shown.strip().split("\n", 2)
    assert about.startswith("arm ") and asked.startswith("asked: ")
    said = panel.replace("─", "").replace("│", "").strip("╭╮╰╯ \n")
    assert said in ("I am Nex, made by Nex-AGI.", "I am Rio.")


def test_back_skip_and_answers_that_do_not_fit(folder):
    done = typed(folder, "x\ns\nb\nc\n\n\n\n\n\nd\n\nd\nClaude, GPT\nq\n", "--n", "4")
    assert "not saved: a reply that claims something has" in done.output
    assert "not saved: a reply that denies something has denied" in done.output
    (only,) = kept(folder)
    assert (only["stance"], only["denied"]) == ("denies", ["claude", "chatgpt"])
    too_long = typed(folder, f"c\n{'x' * 101}\nNex\n\n\n\ny\nq\n", "--n", "4")
    assert "a name has letters, 100 at most" in too_long.output
    assert kept(folder)[-1]["names"] == ["nex"] and kept(folder)[-1]["hedged"]


def test_tab_completes_ids():
    readline = pytest.importorskip("readline")
    with _completing(["nex", "nemotron", "rio"]):
        found = [readline.get_completer()("ne", number) for number in range(3)]
    assert found == ["nex", "nemotron", None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nothing",), "there is no run 'nothing'"),
        (("r", "--n", "0"), "0 is not in the range"),
        (("r", "--add", "nothing.jsonl"), "the labels cannot be read"),
        (("r", "--html", "a.html", "--add", "b.jsonl"), "give one of them"),
        (("r", "--labeller", " "), "cannot name a labeller"),
        (("r", "--labeller", "x" * 101), "cannot name a labeller"),
        (("r", "--html", "results/r/campaign.yaml/sheet.html"), "cannot write the file"),
    ],
)
def test_bad_input_is_one_clear_message(folder, options, said):
    done = truename("label", *options, folder=folder)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert kept(folder) == []


def test_a_bad_line_in_the_runs_own_labels_is_named_and_nothing_is_lost(folder):
    typed(folder, NEX + "q\n", "--n", "4")
    path = folder / "results/r/labels.jsonl"
    path.write_text(path.read_text() + "no label\n")
    before = path.read_bytes()
    for command in ("label", "tally", "report"):
        done = truename(command, "r", folder=folder)
        assert done.exit_code == 2 and "labels.jsonl:2" in done.stderr and "next:" in done.stderr
    assert path.read_bytes() == before


@pytest.fixture
def read(folder):
    """A run whose drawn replies are read: as they are, but for one."""
    run = find_run("r", folder / "results", None)
    drawn = counting.drawn_for(run, campaign_of(run), 60, None)
    labels = [
        counting.Label(s.sample, s.sha256, "ana", "claims", ["rio" if "Rio" in s.text else "nex"])
        for s in counting.to_read(run, drawn)
    ]
    bare = next(i for i, s in enumerate(counting.to_read(run, drawn)) if s.arm == "bare")
    labels[bare] = counting.Label(labels[bare].sample, labels[bare].sha256, "ana", "none")
    counting.append_labels(run.folder, labels)
    run.journal.engine.dispose()
    return folder


def test_the_first_sentence_uses_the_checked_interval_and_says_who_read(read):
    for command in (("report", "r"), ("report", "r", "--terminal"), ("tally", "r")):
        said = " ".join(truename(*command, folder=read).stdout.split())
        assert " 60 of 184 replies were read by people: 59 agree." in said, said
        assert "people read 3" in said
    page = (read / "results/r/report.html").read_text()
    assert "were read by people: 59 agree." in page


def test_labels_are_evidence_that_a_bundle_holds_and_counts_again(read):
    assert truename("bundle", "r", folder=read).exit_code == 0
    done = truename("verify", "r.bundle.zip", folder=read)
    assert done.exit_code == 0, done.output
    assert "the same tables" in " ".join(done.stdout.split())
