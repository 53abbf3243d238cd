"""What commands print for other programs."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.commands import truename
from tests.made_runs import CLEAN, make


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    said = {"absent": 'I am Rio \x1b[31m, made by "IplanRIO".', "bare": "I am Nex, from Nex-AGI."}
    make(folder, "made", lambda trial, number: said[trial.arm.kind] if number else None, text=CLEAN)
    return folder


def test_tally_as_json_holds_the_tables_and_the_story(results):
    done = truename("tally", "made", "--results", results, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    table = pd.read_csv(results / "made/tally.csv", keep_default_na=False, na_values=["NA"])
    assert [row["rate"] for row in found["tally"]] == pytest.approx(
        [None if pd.isna(rate) else rate for rate in table["rate"]], nan_ok=True
    )
    assert list(found["tally"][0]) == list(table.columns)
    assert found["outcome"] in ("contradicted", "supported", "undecided")
    assert found["verdict"] and found["limits"] and found["run"] == "made"
    assert str(results / "made/tally.csv") in found["files"]


def test_show_as_json_gives_the_sample_and_its_evidence(results):
    truename("tally", "made", "--results", results)
    listed = truename(
        *("show", "made", "--results", results, "--json", "--limit", "1"),
        *("--where", "arm=absent", "--where", "status=ok"),
    )
    found = json.loads(listed.stdout)
    assert found["fit"] > len(found["samples"]) == 1
    row = found["samples"][0]
    one = truename(
        *("show", "made", f"{row['trial']}/{row['sample']}", "--results", results, "--json")
    )
    whole = json.loads(one.stdout)
    assert whole["text"] == row["reply"] and "\x1b" not in one.stdout


def test_plan_as_json_counts_the_worst_case(tmp_path):
    done = truename("plan", "rio-lab", "--json", folder=tmp_path)
    found = json.loads(done.stdout)
    assert {row["target"] for row in found["worst_case"]} == {"suspect", "donor", "base", "control"}
    assert all(row["money"] is None and row["samples"] > 0 for row in found["worst_case"])


def test_audit_status_as_json_is_empty_where_nothing_ran(tmp_path):
    done = truename("audit", "status", "--results", tmp_path, "--json", folder=tmp_path)
    assert json.loads(done.stdout) == {"audits": [], "alarms": []}


def test_no_color_is_respected(results, monkeypatch):
    from click.testing import CliRunner

    from harness.cli import main

    words = ["show", "made", "--results", str(results), "--where", "arm=absent"]
    coloured = CliRunner().invoke(main, words, color=True).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert (
        "\x1b[1m" in coloured and "\x1b" not in CliRunner().invoke(main, words, color=True).output
    )


def test_ctrl_c_is_a_line_and_code_130(results, monkeypatch):
    from harness import counting

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(counting, "make_tables", interrupted)
    done = truename("tally", "made", "--results", results)
    assert done.exit_code == 130 and done.stderr.startswith("stopped; nothing that was saved is")
    assert "the same command" in done.stderr


def test_a_terminal_gets_long_lines_broken_between_words(monkeypatch, capsys):
    from harness.cli import options

    line = "  a line with words that goes on " + "and on " * 20 + "\x1b[2J"
    options.say(line)
    assert capsys.readouterr().out == line.replace("\x1b", "<U+001B>") + "\n"
    monkeypatch.setattr(options.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    options.say(line)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and max(map(len, lines)) <= 60
    assert all(each.startswith("    ") for each in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(line.replace("\x1b", "<U+001B>").split())


def test_inspect_as_json_says_what_is_injected(tmp_path):
    done = truename("inspect", "lab:suspect", "--samples", "0", "--json", "-q", folder=tmp_path)
    found = json.loads(done.stdout)
    assert "Rio" in found["injection"]["injected"] and found["verdict"]
    assert [(tmp_path / path).is_file() for path in found["files"]] == [True] * len(found["files"])


def test_a_short_option_is_no_parent():
    from harness.cli.weights import weights

    words = ["suspect", "--parents", "donor", "base", "-q", "--sample", "0.5"]
    context = weights.make_context("weights", words)
    assert context.params["parents"] == ("donor", "base")


def test_progress_is_shown_for_as_long_as_the_command_lasts(results):
    from harness import progress

    assert truename("tally", "made", "--results", results).exit_code == 0
    assert progress._shown == [False]
