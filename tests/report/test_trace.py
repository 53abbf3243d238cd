"""From figures to transcripts: show --where."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.report.trace import marked
from harness.scoring.found import Evidence
from tests.commands import truename
from tests.made_runs import make


def show(results, *conditions):
    return truename(
        "show",
        "made",
        "--results",
        results,
        "--limit",
        1000,
        *(word for c in conditions for word in ("--where", c)),
    )


def test_a_cell_of_the_tally_is_traced_to_its_samples(results):
    tally = pd.read_csv(results / "made/tally.csv", keep_default_na=False, na_values=["NA"])
    for row in (
        tally[(tally["language"] == "all") & (tally["measure"] != "stance")]
        .sample(12, random_state=1)
        .itertuples()
    ):
        said = show(
            results,
            f"target={row.target}",
            f"arm={row.arm}",
            f"probe={row.probe}",
            "language=all",
            f"{row.measure}={row.identity}",
        )
        assert f"{row.hits} samples fit" in said.output, row


def test_conditions_by_absence_and_by_text(results):
    every = show(results, "reply~made by nex")
    assert every.exit_code == 0 and "I am Nex, made by Nex-AGI." in every.output
    nothing = show(results, "target=suspect", "arm=absent", "probe=identity", "names!=rio")
    assert "0 samples fit" in nothing.output


@pytest.mark.parametrize(
    ("condition", "said"),
    [("nam=x", "did you mean 'name'"), ("arm", "is no condition"), ("=x", "is no condition")],
)
def test_conditions_that_are_none(results, condition, said):
    done = show(results, condition)
    assert done.exit_code == 2 and said in done.output and "next:" in done.output


def test_show_says_what_it_needs(results):
    assert truename("show", "made", "--results", results).exit_code == 2
    untallied = truename("show", "again", "--results", results, "--where", "arm=bare")
    assert untallied.exit_code == 2 and "truename tally again" in untallied.output


@pytest.mark.parametrize(
    ("printed", "stored"),
    [
        ("name=Nex", "name=nex"),
        ("name=NEX", "name=nex"),
        ("maker=Nex-AGI", "maker=nex-agi"),
        ("target=Suspect", "target=suspect"),
        ("name!=Rio", "name!=rio"),
    ],
)
def test_values_are_taken_as_they_are_printed(results, printed, stored):
    said, meant = (show(results, condition).output for condition in (printed, stored))
    assert said == meant and "\n0 samples" not in meant


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("arm=bear", "did you mean 'bare'?"),
        ("target=suspekt", "did you mean 'suspect'?"),
        ("name=Nexx", "did you mean 'nex'?"),
        ("question=who_are_yu", "did you mean 'who_are_you'?"),
    ],
)
def test_a_value_that_no_row_has_is_refused_with_a_suggestion(results, condition, said):
    done = show(results, condition)
    assert done.exit_code == 2 and said in done.stderr and "next:" in done.stderr


def test_a_listed_identity_that_nobody_gave_is_a_result(results):
    done = show(results, "name=Claude")
    assert done.exit_code == 0 and "0 samples fit" in done.output


def test_a_sample_is_shown_with_its_verdict_and_the_evidence_in_its_text(results):
    samples = pd.read_csv(results / "made/samples.csv", keep_default_na=False)
    row = samples[(samples["names"] == "nex") & (samples["probe"] == "identity")].iloc[0]
    done = truename("show", "made", f"{row['trial']}/{row['sample']}", "--results", results)
    assert "verdict: claims; names nex; makers nex-agi" in done.output
    marked = next(line for line in done.output.splitlines() if line.startswith("evidence: "))
    assert "I am [Nex = name:nex " in marked and "[Nex-AGI = maker:nex-agi " in marked


def test_a_sample_that_was_not_scored_says_so(tmp_path):
    make(tmp_path / "results", "r", lambda trial, number: None)
    assert truename("tally", "r", folder=tmp_path).exit_code == 0
    trial = pd.read_csv(tmp_path / "results/r/samples.csv")["trial"][0]
    done = truename("show", "r", trial, folder=tmp_path)
    assert "verdict: none: a reply that is failed is not scored" in done.output


def test_marks_of_spans_that_overlap_do_not_repeat_text():
    spans = [Evidence("name", "nex", 5, 8, 0.9), Evidence("maker", "nex-agi", 5, 12, 0.8)]
    assert marked("I am Nex-AGI.", spans) == "I am [Nex-AGI = maker:nex-agi 0.80]."
