"""Two runs side by side: drift is named, and nothing else is drift."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.commands import truename


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
