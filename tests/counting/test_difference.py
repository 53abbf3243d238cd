"""A difference, its p-value and its interval never contradict each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.counting.counted import ByQuestion
from harness.counting.difference import by_question, difference, score_interval, sides_exchanged
from harness.counting.pairs import adjust, compared
from harness.stats import permutation_within


def side(hits, sizes, questions=None):
    numbers = np.arange(len(hits)) if questions is None else np.array(questions)
    return ByQuestion(numbers, np.array(hits, dtype=np.intp), np.array(sizes, dtype=np.intp))


def tables(seed, many):
    """Two sides of questions, from alike to opposite, asked equally often or not."""
    rng = np.random.default_rng(seed)
    for _ in range(many):
        k = int(rng.integers(1, 30))
        of_question = rng.beta(0.5, 0.5, k)
        other = np.clip(of_question + rng.normal(0, rng.choice([0.01, 0.1, 0.5]), k), 0, 1)
        n = rng.integers(1, 12, k) if rng.random() < 0.5 else np.full(k, rng.integers(1, 12))
        m = rng.integers(1, 12, k) if rng.random() < 0.5 else n
        yield side(rng.binomial(n, of_question), n), side(rng.binomial(m, other), m)


@pytest.mark.parametrize("permuted", ["replies", "questions"])
@pytest.mark.parametrize("level", [0.1, 0.05, 0.01])
def test_p_is_under_its_level_exactly_where_the_interval_leaves_0_out(permuted, level):
    rejected = 0
    for a, b in tables(int(1000 * level), 200):
        found = difference(a, b, permuted, level)
        low, high = (round(end, 6) for end in (found.low, found.high))
        assert (found.p_value < level) == (low > 0 or high < 0), (a, b, found)
        assert found.low - 1e-9 <= found.rate <= found.high + 1e-9
        assert found.low >= -1 and found.high <= 1
        rejected += found.p_value < level
    assert 0 < rejected < 200


def test_rows_of_tables_agree_with_themselves():
    for a, b in tables(7, 300):
        if row := compared(a, b):
            out = row["difference_low"] > 0 or row["difference_high"] < 0
            assert out == (row["p_value"] < 0.05)
            assert row["difference"] == pytest.approx(row["rate_a"] - row["rate_b"], abs=2e-6)
            # a mean of absolute differences is never less than that of the differences
            assert row["by_question"] >= abs(row["difference"]) - 2e-6


def test_the_score_interval_is_the_published_one_and_near_the_test():
    numbers = (np.array([float(x)]) for x in (56, 70, 48, 80))
    # Miettinen and Nurminen's interval in Newcombe 1998, table II, example (a)
    assert score_interval(*numbers, 0.05) == pytest.approx((0.0528, 0.3382), abs=6e-5)
    for a, b in tables(3, 400):
        low, high = score_interval(*(x.astype(float) for x in (*a[1:], *b[1:])), 0.05)
        p = permutation_within(*a[1:], *b[1:])
        if (p < 0.05) != (low > 0 or high < 0):  # the two tests differ, but only at the border
            assert 0.01 < p < 0.2


def test_a_different_mix_of_questions_is_no_difference():
    a, b = side([9, 0], [9, 1]), side([1, 0], [1, 9])  # 90 % and 10 %, but not in any question
    found = difference(a, b)
    assert found.rate == 0 and found.p_value == 1.0 and found.low < 0 < found.high


def test_only_questions_that_both_answered_are_compared_and_the_others_are_counted():
    a = side([5, 5, 0, 0], [5, 5, 5, 5], [0, 1, 2, 3])
    b = side([5, 5, 5], [5, 5, 5], [1, 2, 4])
    row = compared(a, b)
    assert (row["samples_a"], row["hits_a"], row["samples_b"], row["hits_b"]) == (10, 5, 10, 10)
    assert row["difference"] == -0.5
    assert (row["questions_shared"], row["questions_only_a"], row["questions_only_b"]) == (2, 2, 1)
    assert compared(a, side([5], [5], [9])) is None


def test_questions_that_flip_are_seen_though_the_rates_are_equal():
    a, b = side([10, 0] * 5, [10] * 10), side([0, 10] * 5, [10] * 10)
    row = compared(a, b)
    assert row["difference"] == 0 and row["p_value"] == 1.0
    assert row["by_question"] == 1.0 and row["by_question_chance"] < 0.25
    assert row["p_by_question"] < 1e-40


def test_the_distribution_by_question_is_that_of_all_permutations():
    a, n, b, m = [2, 0, 1], [2, 3, 1], [0, 1, 0], [2, 1, 2]
    replies = [[1] * (x + y) + [0] * (s + t - x - y) for x, s, y, t in zip(a, n, b, m, strict=True)]
    sums = []
    for arrangement in itertools.product(*(itertools.permutations(some) for some in replies)):
        away = (
            abs(sum(some[:s]) - s * sum(some) / (s + t))
            for some, s, t in zip(arrangement, n, m, strict=True)
        )
        sums.append(sum(round(12 * x) for x in away))
    seen = sum(
        round(12 * abs(x - s * (x + y) / (s + t))) for x, s, y, t in zip(a, n, b, m, strict=True)
    )
    found = by_question(a, n, b, m)
    assert found.p_value == pytest.approx(np.mean(np.array(sums) >= seen))


def test_sides_are_exchanged_whole_and_repeats_may_be_copies():
    steps = np.array([1.0, -0.5, 2.0, 1.5, 0.0])
    sums = [abs(np.dot(signs, steps)) for signs in itertools.product((1, -1), repeat=5)]
    assert sides_exchanged(steps) == pytest.approx(np.mean(np.array(sums) >= abs(steps.sum())))
    assert sides_exchanged(np.zeros(3)) == 1.0
    rng = np.random.default_rng(5)
    by_replies, by_sides = [], []
    for _ in range(600):  # every reply of a question and side is a copy of the first
        a, b = (10 * rng.binomial(1, 0.5, 30) for _ in range(2))
        one, two = side(a, [10] * 30), side(b, [10] * 30)
        by_replies.append(permutation_within(*one[1:], *two[1:]) < 0.05)
        by_sides.append(difference(one, two, "questions").p_value < 0.05)
    assert np.mean(by_replies) > 0.3 and np.mean(by_sides) < 0.065


def test_changes_by_question_are_seen_where_sides_were_asked_unequally_often():
    """Steps of a quarter of a reply gave 0.4 and 1: what rounding ties cannot be told apart."""
    one = by_question([0, 1, 2, 0], [6, 2, 3, 5], [1, 0, 0, 0], [4, 3, 3, 2])
    assert one.p_value == pytest.approx(0.064, abs=0.02)
    two = by_question(
        [0, 1, 0, 3, 0, 2], [1, 4, 5, 4, 2, 2], [0, 1, 0, 0, 0, 1], [3, 1, 6, 1, 1, 1]
    )
    assert two.p_value == pytest.approx(0.16, abs=0.02)


def test_questions_that_change_both_ways_are_counted_once():
    """A router that keeps each question with one of two backends, on each side anew."""
    rng = np.random.default_rng(12)
    found = []
    for _ in range(200):
        a, b = (rng.binomial(10, rng.choice([0.3, 0.9], 45)) for _ in range(2))
        found.append(difference(side(a, [10] * 45), side(b, [10] * 45)))
    assert np.mean([one.permuted == "questions" for one in found]) > 0.95
    assert np.mean([one.p_value < 0.05 for one in found]) < 0.1  # 0.34 by replies
    assert all(one.p_by_question < 0.001 for one in found)


def test_changes_of_one_sign_are_by_replies_however_much_they_vary():
    a, b = side([10, 9, 10, 6, 3, 1], [10] * 6), side([0, 1, 5, 0, 3, 0], [10] * 6)
    assert difference(a, b).permuted == "replies" and difference(a, b).p_value < 1e-9
    rng, ways = np.random.default_rng(13), []
    for _ in range(300):  # and where nothing differs, hardly ever otherwise
        of_question = rng.beta(0.4, 0.4, 20)
        one, two = (side(rng.binomial(6, of_question), [6] * 20) for _ in range(2))
        ways.append(difference(one, two).permuted)
    assert ways.count("questions") <= 3


def test_where_nothing_can_be_permuted_nothing_is_found():
    found = difference(side([9] * 9, [9] * 9), side([0] * 9, [9] * 9), "nothing")
    assert found.rate == 1.0 and found[2:5] == (-1.0, 1.0, 1.0) and found.p_by_question is None


def test_both_tests_keep_their_level_where_nothing_differs():
    rng = np.random.default_rng(8)
    whole, single = [], []
    for _ in range(800):
        of_question, n = rng.beta(0.6, 0.6, 12), rng.integers(1, 9, 12)
        m = rng.integers(1, 9, 12)
        found = difference(
            side(rng.binomial(n, of_question), n), side(rng.binomial(m, of_question), m)
        )
        whole.append(found.p_value < 0.05)
        single.append(found.p_by_question < 0.05)
    assert np.mean(whole) < 0.066 and np.mean(single) < 0.066


def test_all_p_values_of_a_table_are_one_family():
    rows = [{"p_value": 0.01, "p_by_question": 0.02}, {"p_value": 0.5, "p_by_question": None}]
    adjust(rows)
    assert rows[0]["p_holm"] == 0.03 and rows[0]["p_by_question_holm"] == 0.04
    assert rows[1]["p_holm"] == 0.5 and "p_by_question_holm" not in rows[1]
