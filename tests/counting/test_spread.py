"""Heavy questions and languages: what carries a rate, and what so few languages say of others."""

from __future__ import annotations

import numpy as np

from harness.counting.spread import by_language, half_from
from harness.stats import clustered


def test_the_fewest_questions_that_give_half_of_the_hits():
    assert half_from(np.array([40, 0, 40, 0, 1])) == 2
    assert half_from(np.array([100, 1, 1])) == 1
    assert half_from(np.array([5] * 20)) == 10
    assert half_from(np.array([0, 0])) == 0 == half_from(np.array([], dtype=int))


def test_an_interval_by_question_holds_where_one_question_in_many_always_says_the_name():
    rng, sizes = np.random.default_rng(2), np.full(120, 40)
    for every in (30, 120):
        truth = 1 / every + 0.02 * (1 - 1 / every)
        held = []
        for _ in range(150):
            rates = np.where(rng.random(120) < 1 / every, 1.0, 0.02)
            found = clustered(rng.binomial(sizes, rates), sizes)
            held.append(found.low <= truth <= found.high)
        assert np.mean(held) >= 0.92, (every, np.mean(held))


def test_intervals_by_language_hold_for_other_languages_and_those_by_question_do_not():
    rng = np.random.default_rng(3)
    held, by_question = [], []
    for _ in range(200):
        languages = rng.beta(1, 1, 5)
        hits = rng.binomial(4, np.repeat(languages, 15))
        found = clustered(hits, np.full(75, 4))
        low, high = by_language(found, hits.reshape(5, 15).sum(1), np.full(5, 60))
        held.append(low <= 0.5 <= high)
        by_question.append(found.low <= 0.5 <= found.high)
    assert np.mean(held) >= 0.95 and np.mean(by_question) < 0.8


def test_two_languages_that_agree_say_little_of_a_third():
    hits, sizes = np.array([20, 24]), np.array([60, 60])
    found = clustered(np.array([2] * 22 + [0] * 8), np.full(30, 4))
    low, high = by_language(found, hits, sizes)
    assert high - low > 0.9
