"""From figures to transcripts: show --where."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.commands import truename


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
