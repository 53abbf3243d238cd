"""Missing replies: bounds that hold whatever they would have said, and whether they are even."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from harness.counting.counted import ByQuestion
from harness.counting.missing import FEW, Asked, bounds, p_by_arm, p_by_question


def asked(missing, sizes):
    return Asked(np.arange(len(sizes)), np.array(missing), np.array(sizes))


def counts(hits, sizes):
    hits, sizes = np.array(hits), np.array(sizes)
    at = np.flatnonzero(sizes)
    return ByQuestion(at, hits[at], sizes[at])


def test_bounds_are_the_interval_where_nothing_is_missing():
    by = counts([1, 0, 3, 2], [4] * 4)
    assert bounds(by, asked([0] * 4, [4] * 4)) == by.estimate[1:3]


def test_a_question_without_any_reply_left_counts_both_ways():
    by = counts([4] * 12 + [0], [4] * 12 + [0])
    low, high = bounds(by, asked([0] * 12 + [4], [4] * 13))
    assert low < by.estimate.low and high == 1.0


@pytest.mark.parametrize("lost", [0.3, 0.6])
def test_bounds_hold_where_replies_fail_because_of_what_they_say(lost):
    rng, questions, repeats, rate = np.random.default_rng(5), 45, 4, 0.5
    held, held_by_scored = [], []
    for _ in range(200):
        said = rng.binomial(repeats, rng.beta(1, 1, questions))
        gone = rng.binomial(said, lost)
        by = counts(said - gone, repeats - gone)
        low, high = bounds(by, asked(gone, np.full(questions, repeats)))
        held.append(low <= rate <= high)
        held_by_scored.append(by.estimate.low <= rate <= by.estimate.high)
    assert np.mean(held) > 0.95 > 0.8 > np.mean(held_by_scored)


def test_missing_by_arm_is_tested_within_questions():
    few, many = asked([0, 1], [10, 10]), asked([4, 5], [10, 10])
    assert p_by_arm(few, [many]) < 0.01
    assert p_by_arm(few, [few]) == 1.0
    alone = asked([5], [20])
    expected = fisher_exact([[5, 15], [1, 39]]).pvalue
    assert p_by_arm(alone, [asked([1], [20]), asked([0], [20])]) == pytest.approx(expected)
    assert p_by_arm(alone, []) is None
    assert p_by_arm(asked([0], [20]), [asked([0], [20])]) is None


def test_missing_at_one_question_is_seen_however_few_or_many_are_missing():
    for gone in (4, FEW + 20):
        one = asked([gone, *[0] * 19], [60] * 20)
        even = asked([gone // 20 + (at < gone % 20) for at in range(20)], [60] * 20)
        assert p_by_question(one) < 0.001 and p_by_question(even) > 0.2


@pytest.mark.parametrize(("questions", "repeats", "rate"), [(20, 3, 0.06), (15, 20, 0.4)])
def test_missing_at_random_is_seldom_called_uneven(questions, repeats, rate):
    rng, sizes = np.random.default_rng(1), np.full(questions, repeats)
    p = [p_by_question(asked(rng.binomial(sizes, rate), sizes)) for _ in range(400)]
    known = np.array([one for one in p if one is not None])
    assert len(known) > 200
    assert np.mean(known < 0.05) <= 0.08 and np.mean(known < 0.01) <= 0.03


@pytest.mark.parametrize(
    "nothing",
    [asked([0, 0], [4, 4]), asked([4, 4], [4, 4]), asked([3], [9]), asked([1, 1], [1, 1])],
)
def test_nothing_is_tested_where_nothing_can_differ(nothing):
    assert p_by_question(nothing) is None
