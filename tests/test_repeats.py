"""Repeats of a question: what their order and sameness tell, and what raises no alarm."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from harness.repeats import alike, letters, neighbours, order_of, repeats_of_first, rounds

QUESTIONS = 45


def said(rng, repeats, cached=0.0, backends=None, wordings=3):
    """Texts and names of some questions; ``backends`` gives each round its rate."""
    own = rng.random((QUESTIONS, 1)) if backends is None else np.array([backends])
    names = (rng.random((QUESTIONS, repeats)) < own).astype(int)
    texts = 2 * rng.integers(0, wordings, (QUESTIONS, repeats)) + names
    again = rng.random((QUESTIONS, repeats)) < cached
    texts, names = (np.where(again, some[:, :1], some).tolist() for some in (texts, names))
    return texts, names


@pytest.mark.parametrize("sizes", [(1, 2), (2, 2), (1, 2, 3), (3, 3), (1, 1, 4), (2, 2, 2)])
def test_chances_of_neighbours_alike_are_those_of_all_orders(sizes):
    codes = [kind for kind, n in enumerate(sizes) for _ in range(n)]
    counts = Counter(
        sum(a == b for a, b in itertools.pairwise(order)) for order in itertools.permutations(codes)
    )
    expected = [counts[n] / sum(counts.values()) for n in range(len(codes))]
    assert alike(sizes) == pytest.approx(expected, abs=1e-12)


def test_p_values_of_small_cases_by_hand():
    # a a b: the first is one of the two that are alike in 2 of 3 orders
    assert repeats_of_first([[1, 1, 2]]) == pytest.approx(2 / 3)
    assert repeats_of_first([[1, 1, 2]] * 4) == pytest.approx((2 / 3) ** 4)
    # of the 6 orders of a a b b, 2 alternate and 2 have both pairs side by side
    assert neighbours([[1, 2, 1, 2]] * 6) == pytest.approx(2 * (1 / 3) ** 6)
    assert neighbours([[1, 1, 2, 2]] * 6) == pytest.approx(2 * (1 / 3) ** 6)
    assert repeats_of_first([[1, 1, 1]]) == neighbours([[1, 1, 1]]) == rounds([]) == 1.0


@pytest.mark.parametrize("wordings", [1, 3, 10**6])
def test_an_honest_model_of_few_words_raises_no_alarm(wordings):
    rng = np.random.default_rng(wordings)
    found = [order_of(*said(rng, 8, wordings=wordings)).least for _ in range(300)]
    assert np.mean(np.array(found) < 0.05) < 0.075


@pytest.mark.parametrize(
    "host",
    [
        {"cached": 0.5},
        {"backends": [0.9, 0.3] * 4},
        {"backends": [0.9] * 4 + [0.3] * 4},
        {"backends": [0.9, 0.9, 0.3, 0.9, 0.3, 0.3, 0.3, 0.9]},
    ],
)
def test_a_cache_and_routers_are_found(host):
    rng = np.random.default_rng(9)
    assert all(order_of(*said(rng, 8, **host)).least < 1e-4 for _ in range(10))


def test_copies_are_nearly_all_the_same_and_enough_of_them():
    assert order_of([[1] * 5] * 3, [[1] * 5] * 3).copies
    assert not order_of([[1, 1]] * 3, [[1, 1]] * 3).copies  # three pairs say nothing
    assert not order_of([[1, 1, 2]] * 9, [[1, 1, 1]] * 9).copies
    assert order_of([], []).least == 1.0


def test_marks_and_spaces_hide_no_copy():
    assert letters("I am Rio.") == letters("i am  RIO!") != letters("I am Nex.")
    assert letters("...") == "..."
