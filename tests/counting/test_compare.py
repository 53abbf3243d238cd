"""Two runs side by side: drift is named, and nothing else is drift."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.commands import truename
from tests.made_runs import make


def test_nothing_changed_is_not_drift(results):
    done = truename("compare", "made", "again", "--results", results, "--fail-on", "drift")
    assert done.exit_code == 0, done.output
    assert "0 of " in done.output


def test_a_swapped_model_is_drift_named_and_machine_readable(results, tmp_path):
    done = truename(
        "compare",
        results / "made/samples.csv",
        "swapped",
        "--results",
        results,
        "--fail-on",
        "drift",
        "--junit",
        tmp_path / "j.xml",
        "--out",
        tmp_path / "c.csv",
    )
    assert done.exit_code == 1, done.output
    assert "suspect absent identity: name rio from 30 of 30 (100.0 %) to 0 of 30" in done.output
    assert "suspect: model: m-1 -> m-2" in done.output
    assert "donor absent identity: name" not in done.output
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    failed = [case.get("classname") for case in suite if len(case)]
    assert int(suite.get("failures")) == len(failed) > 0 and set(failed) == {
        "suspect.absent",
        "suspect.bare",
    }
    assert (
        (tmp_path / "c.csv").read_text().startswith("target,arm,probe,measure,identity,samples_a")
    )
    assert truename("compare", "made", "swapped", "--results", results).exit_code == 0


@pytest.mark.parametrize("baseline", ["no-such-run", "no-such.csv", "other.csv"])
def test_a_baseline_that_is_none(results, tmp_path, baseline):
    if baseline == "other.csv":
        baseline = tmp_path / baseline
        baseline.write_text("a,b\n1,2\n")
    done = truename("compare", baseline, "made", "--results", results)
    assert done.exit_code == 2 and "next:" in done.output


def test_a_flip_of_every_question_is_drift_and_unshared_questions_are_told(tmp_path):
    def half(name):
        """Half of the questions say Rio, which half depends on the run; one is not answered."""

        def said(trial, number):
            if name == "turned" and trial.question == "who_are_you" and trial.target == "donor":
                return None
            rio = (trial.position % 2 == 0) == (name == "straight")
            return f"I am {'Rio' if rio else 'Nex'}. This is answer {number}."

        return said

    for name in ("straight", "turned"):
        make(tmp_path, name, half(name))
    done = truename("compare", "straight", "turned", "--results", tmp_path)
    assert done.exit_code == 0, done.output
    assert "by question it differs by 100 points on average" in done.output
    assert "1 that only the first run answered and 0 that only the second did" in done.output
