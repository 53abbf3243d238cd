"""The story: what the numbers say, and no more."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.counting.rates import TALLY_COLUMNS
from harness.report.story import short_arm, story
from tests.report.cases import CAMPAIGN


def names(rates):
    """A tally of (target, arm): {identity: (hits, samples)}."""
    rows = []
    for (target, arm), found in rates.items():
        for identity, (hits, samples) in found.items():
            rate, low, high = (
                (hits / samples, max(0, hits / samples - 0.1), min(1, hits / samples + 0.1))
                if samples
                else (None, None, None)
            )
            rows.append(
                {
                    "target": target,
                    "arm": arm,
                    "probe": "identity",
                    "language": "all",
                    "measure": "name",
                    "identity": identity,
                    "samples": samples,
                    "hits": hits,
                    "rate": rate,
                    "rate_low": low,
                }
                | {"rate_high": high, "questions": 9}
            )
    return pd.DataFrame(rows, columns=TALLY_COLUMNS)


@pytest.mark.parametrize(
    ("rates", "outcome", "said"),
    [
        (
            {
                ("t", "absent"): {"rio": (95, 100), "nex": (0, 100)},
                ("t", "bare"): {"rio": (0, 100), "nex": (90, 100)},
            },
            "contradicted",
            "does not call itself Rio: 0 of 100",
        ),
        (
            {("t", "absent"): {"rio": (95, 100)}, ("t", "bare"): {"rio": (95, 100)}},
            "supported",
            "calls itself Rio: 95 of 100",
        ),
        (
            {
                ("t", "absent"): {"rio": (95, 100)},
                ("t", "bare"): {"rio": (5, 100), "nex": (12, 100)},
            },
            "undecided",
            "does not settle",
        ),
        (
            {("t", "absent"): {"rio": (95, 100)}, ("t", "bare"): {"rio": (0, 0)}},
            "undecided",
            "Nothing was scored without a system prompt",
        ),
    ],
)
def test_the_verdict_says_what_the_numbers_say_and_no_more(rates, outcome, said):
    told = story(names(rates), CAMPAIGN, {})
    assert told.outcome == outcome and said in told.verdict
    assert any("not proof" in limit for limit in told.limits)
    assert ("what the host puts before the question" in told.verdict) == (outcome == "contradicted")


def test_a_pool_of_rare_names_is_nobody_and_unlisted_names_are_quoted():
    told = story(
        names(
            {("t", "bare"): {"rio": (0, 100), "other:(rare)": (90, 100), "other:zorbly": (5, 100)}}
        ),
        CAMPAIGN,
        {},
    )
    assert (
        told.outcome == "undecided"
        and '"zorbly" in 5 of 100' in told.verdict
        and "rare" not in told.verdict
    )


def test_the_name_that_is_given_most_is_told_wherever_it_stands_in_the_tally():
    told = story(
        names({("t", "bare"): {"rio": (0, 100), "kimi": (3, 100), "nex": (90, 100)}}), CAMPAIGN, {}
    )
    assert told.outcome == "contradicted" and "It calls itself Nex: 90 of 100" in told.verdict


def test_no_claim_no_verdict():
    free = CAMPAIGN.model_copy(update={"claim": None})
    assert story(names({("t", "bare"): {"nex": (9, 10)}}), free, {}).outcome == "none"


def test_arms_are_shortened_for_the_eye_only():
    assert [short_arm(a) for a in ("absent", "given:system/named.j2")] == ["absent", "given:named"]
