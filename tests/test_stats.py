"""Intervals and tests against published and independent values, and by simulation."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from harness.stats import (
    Clustered,
    Share,
    clopper_pearson,
    clustered,
    cohens_h,
    corrected,
    difference,
    evidence_beyond,
    holm,
    permutation_within,
    sequence,
    share,
    wilson,
)


def test_the_published_case_95_of_120():
    low, high = wilson(95, 120)
    assert (round(low, 3), round(high, 3)) == (0.711, 0.855)


@pytest.mark.parametrize(
    ("hits", "samples"), [(0, 1), (0, 120), (1, 3), (50, 100), (120, 120), (999, 1000)]
)
def test_wilson_agrees_with_scipy(hits, samples):
    expected = binomtest(hits, samples).proportion_ci(0.95, method="wilson")
    assert wilson(hits, samples) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("hits", "samples"), [(0, 0), (2, 1), (-1, 5)])
def test_no_rate_without_samples(hits, samples):
    with pytest.raises(ValueError, match="no rate"):
        wilson(hits, samples)


def drawn(rng, rate, icc, sizes, runs):
    """Hits by question, beta-binomial; ``icc`` correlates two samples of one question."""
    shape = (runs, len(sizes))
    if rate in (0, 1) or icc == 0:
        of_question = np.full(shape, float(rate))
    elif icc == 1:
        of_question = (rng.random(shape) < rate).astype(float)
    else:
        of_question = rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, shape)
    return rng.binomial(sizes, of_question)


#: Each number of questions and each number of repeats once; the other pairs are slow.
PAIRS = [(3, "uneven"), (6, 15), (24, 2)]


@pytest.mark.parametrize(
    ("questions", "repeats"),
    [
        pair if pair in PAIRS else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product((3, 6, 24), (2, 15, "uneven"))
    ],
)
def test_intervals_by_question_hold_their_level_at_any_rate_and_correlation(questions, repeats):
    rng = np.random.default_rng(questions)
    sizes = rng.integers(1, 20, questions) if repeats == "uneven" else np.full(questions, repeats)
    for rate in (0, 0.02, 0.1, 0.5, 0.95, 1):
        for icc in (0, 0.2, 0.6, 1):
            found = [clustered(hits, sizes) for hits in drawn(rng, rate, icc, sizes, 1500)]
            held = np.mean([f.low - 1e-12 <= rate <= f.high + 1e-12 for f in found])
            assert held >= 0.94, (rate, icc, held)
            assert all(f.low < f.high for f in found)


def test_the_published_case_by_question_bounds_less_than_it_seems():
    whole = clustered([0] * 24, [5] * 24)
    assert whole.effective_n == 24 and whole.design_effect == 5
    assert whole.high > 4 * wilson(0, 120).high > 0
    assert clustered([1, 0, 1, 1], [1] * 4)[1:3] == clopper_pearson(3, 4)
    assert clustered([0], [50]).high > 0.9  # one question says little of others
    with pytest.raises(ValueError, match="no rate"):
        clustered([3], [2])


def test_the_design_effect_is_kishs_where_there_is_much_to_measure_it_by():
    rng = np.random.default_rng(4)
    found = clustered(drawn(rng, 0.5, 0.3, np.full(3000, 10), 1)[0], np.full(3000, 10))
    assert found.design_effect == pytest.approx(1 + 9 * 0.3, rel=0.06)


def test_permutation_within_questions_against_fisher_and_against_drawing():
    assert permutation_within([8], [10], [1], [6]) == pytest.approx(
        fisher_exact([[8, 2], [1, 5]]).pvalue
    )
    a, b, n = [3, 5, 9, 0], [1, 5, 4, 0], [10, 6, 10, 8]
    rng, at_least = np.random.default_rng(0), 0
    draws = np.zeros(40_000)
    for hits_a, hits_b, size in zip(a, b, n, strict=True):
        draws += rng.hypergeometric(hits_a + hits_b, 2 * size - hits_a - hits_b, size, 40_000)
    values, counts = np.unique(draws, return_counts=True)
    seen = counts[values == sum(a)][0]
    at_least = counts[counts <= seen * 1.02].sum() / 40_000
    assert permutation_within(a, n, b, n) == pytest.approx(at_least, abs=0.01)
    assert permutation_within([5], [5], [5], [5]) == 1.0
    assert permutation_within([5], [5], [0], [0]) == 1.0


def test_permutation_p_values_are_not_too_small_under_the_null():
    rng = np.random.default_rng(2)
    of_question = rng.random(8)
    p = [
        permutation_within(
            rng.binomial(6, of_question), [6] * 8, rng.binomial(6, of_question), [6] * 8
        )
        for _ in range(2000)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.055


def test_holm_against_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_differences_against_newcombes_published_example():
    first, second = (Clustered(h / n, *wilson(h, n), 1.0, n) for h, n in ((56, 70), (48, 80)))
    assert difference(first, second) == pytest.approx(
        (0.0524, 0.3339), abs=5e-5
    )  # Newcombe 1998, table II, method 10
    assert cohens_h(1.0, 0.0) == pytest.approx(np.pi)


def test_correction_for_errors_recovers_the_rate_and_carries_their_uncertainty():
    rng = np.random.default_rng(1)
    sure, asked = Share(1.0, 0.0), np.full(2000, 5)
    found = clustered(drawn(rng, 0.9 * 0.3 + 0.05 * 0.7, 0.2, asked, 1)[0], asked)
    assert corrected(found, sure, sure) == pytest.approx(found[:3])
    assert corrected(found, share(900, 1000), share(950, 1000)).rate == pytest.approx(0.3, abs=0.02)
    narrow = corrected(found, share(9000, 10_000), share(9500, 10_000))
    wide = corrected(found, share(18, 20), share(19, 20))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert corrected(found, share(5, 10), share(5, 10)) is None


def test_the_specificity_of_all_names_together_leaves_one_name_between_two_corrections():
    found, errors = clustered([4, 5, 3, 4, 5, 2], [5] * 6), (share(45, 50), share(90, 100))
    least, most = corrected(found, *errors), corrected(found, errors[0], Share(1.0, 0.0))
    both = corrected(found, *errors, at_least=True)
    assert (both.low, both.high) == (least.low, most.high)
    assert both.rate == pytest.approx((least.rate + most.rate) / 2)


@pytest.mark.parametrize(("questions", "labelled"), [(6, 40), (24, 150)])
def test_corrected_intervals_hold_where_the_true_sensitivity_is_less_than_all(questions, labelled):
    rng, sizes = np.random.default_rng(questions), np.full(questions, 4)
    for rate in (0.05, 0.5, 0.95):
        shown = rate * 0.9 + (1 - rate) * 0.04
        held = []
        for hits in drawn(rng, shown, 0.3, sizes, 400):
            errors = (rng.binomial(labelled, 0.9), rng.binomial(labelled, 0.96))
            found = corrected(clustered(hits, sizes), *(share(right, labelled) for right in errors))
            held.append(found.low - 1e-9 <= rate <= found.high + 1e-9)
        assert np.mean(held) >= 0.94, (rate, np.mean(held))


def test_sequences_hold_at_every_look():
    rng = np.random.default_rng(3)
    evidence = functools.cache(evidence_beyond)  # runs meet at the same counts again and again
    ever = 0
    # The mean rate is the threshold itself: below it is false.
    questions, threshold = np.array([0.0, 0.02, 0.18]), 0.0667
    for _ in range(400):
        hits = np.cumsum(rng.binomial(1, questions, (300, 3)).sum(1))
        ever += any(
            evidence(int(h), 3 * (i + 1), threshold - 1e-4, "below") >= np.log(20)
            for i, h in enumerate(hits)
        )
    assert ever / 400 <= 0.05


def test_sequences_stop_close_to_the_bound():
    needed = next(n for n in range(1, 1000) if evidence_beyond(0, n, 0.05, "below") >= np.log(100))
    assert needed <= 1.15 * np.log(100) / -np.log(0.95)
    assert sequence(0, 0) == (0.0, 1.0)
    low, high = sequence(50, 100)
    assert low < wilson(50, 100).low < wilson(50, 100).high < high
    assert sequence(0, 100).low == 0.0 and sequence(100, 100).high == 1.0
