"""Tests that may be looked at for ever, by simulation and by other counts of the same."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from harness.audits import drift
from harness.audits.drift import Counts, Series, odds_between
from harness.audits.states import FAMILY


def asked(hits, samples=3):
    """An audit's counts by question."""
    sizes = np.broadcast_to(samples, len(hits))
    return {
        f"q{i}": (int(h), int(n)) for i, (h, n) in enumerate(zip(hits, sizes, strict=True)) if n
    }


def series(*audits):
    made = Series()
    for audit in audits:
        made.add(audit)
    return made


def counted(hits, samples):
    return Counts(np.array(hits), np.array(samples))


def test_for_one_question_the_test_is_fishers():
    before, since = counted([19], [20]), counted([9], [20])
    fisher = stats.fisher_exact([[19, 1], [9, 11]], alternative="greater").pvalue
    assert drift.p_value(before, since) == pytest.approx(2 * fisher)
    assert drift.p_value(since, before) == pytest.approx(2 * fisher)
    noncentral = stats.nchypergeom_fisher(40, 28, 20, 1 / 2).cdf(9)
    assert drift.p_value(before, since, 2.0) == pytest.approx(2 * noncentral)


def test_for_some_questions_the_chance_is_that_of_every_way_to_share_out_the_hits():
    before, since = counted([3, 6, 3, 6], [4, 6, 4, 8]), counted([0, 0, 0, 1], [4, 2, 4, 3])
    ways = [
        [(x, math.comb(n, x) * math.comb(m, h - x)) for x in range(h + 1)]
        for m, n, h in zip(before.samples, since.samples, before.hits + since.hits, strict=True)
    ]
    spread = [
        (sum(x for x, _ in one), math.prod(w for _, w in one)) for one in itertools.product(*ways)
    ]
    few = sum(w for x, w in spread if x <= 1) / sum(w for _, w in spread)
    assert drift.p_value(before, since) == pytest.approx(2 * few, rel=1e-9)


@pytest.mark.parametrize("histories", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_it_holds_under_endless_looking_whatever_questions_are_missing(histories):
    rng, alarmed = np.random.default_rng(1), 0
    for _ in range(histories):
        rates, watched, first = rng.beta(0.4, 0.4, 15), Series(), True
        found = []
        for audit in range(60):
            left = np.ones(15) if first else rng.random(15) < (2 / 3 if audit < 40 else 1 / 3)
            watched.add(asked(rng.binomial(3, rates), 3 * left))
            first = False
            found.append(watched.change().p_value)
        alarmed += min(found) < 0.01
    assert alarmed <= histories / 100


def test_another_mix_of_questions_is_no_change():
    easy, hard = [3] * 5 + [0] * 10, [3] * 5 + [0] * 10
    watched = series(*[asked(easy)] * 5, *[asked(hard, [0] * 5 + [3] * 10)] * 20)
    assert watched.change().p_value == 1.0
    assert series(asked([3, 3]), {"other": (0, 30)}).change().p_value == 1.0


def test_it_finds_a_swap_at_once_and_says_since_when():
    quiet = [asked([3] * 14 + [1])] * 20
    swapped = series(*quiet, asked([0] * 15)).change()
    assert swapped.p_value < 1e-6 and swapped.since == 19
    assert series(quiet[0]).change() == drift.NONE == Series().change()
    assert series({}, *quiet).change().p_value == 1.0


def test_a_fifth_of_the_traffic_swapped_is_found():
    rng = np.random.default_rng(2)
    delays = []
    for _ in range(40):
        watched = series(asked([3] * 14 + [1]))
        for _ in range(10):
            watched.add(asked(rng.binomial(3, 0.95, 15)))
        delays.append(0)
        while watched.change().p_value >= 0.01 and delays[-1] < 40:
            watched.add(asked(rng.binomial(3, 0.76, 15)))
            delays[-1] += 1
    assert np.percentile(delays, 95) <= 6 and FAMILY >= 10


def test_rates_that_wander_in_a_band_are_no_change_and_those_that_leave_it_are():
    rng, band = np.random.default_rng(3), odds_between(0.75, 0.95)
    assert band == pytest.approx(19 / 3)
    wandering, left = Series(), []
    for audit in range(40):
        wandering.add(asked(rng.binomial(3, (0.95, 0.75)[audit % 2], 15)))
        left.append(wandering.change(band).p_value)
    assert min(left) > 0.5
    wandering.add(asked([0] * 15))
    assert wandering.change(band).p_value < 0.01 and wandering.change().p_value < 0.01


def test_counts_as_large_as_a_year_of_them_are_compared():
    before, since = counted([23_000] * 3, [26_000] * 3), counted([22_700] * 3, [26_000] * 3)
    z = 900 / math.sqrt(3 * 26_000 * 2 * (45_700 / 52_000) * (6_300 / 52_000))
    assert drift.p_value(before, since) == pytest.approx(2 * stats.norm.sf(z), rel=0.05)
    assert drift.p_value(counted([26_000], [26_000]), counted([0], [26_000])) <= 1e-29
