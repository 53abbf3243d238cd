"""Repeats of a question: what their order and sameness tell, and what raises no alarm."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from harness.repeats import (
    alike,
    kept,
    letters,
    near,
    neighbours,
    order_of,
    repeats_of_first,
    rounds,
    sketch,
    stretches,
)

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


LONG = "I am a model that was trained on text of many kinds to answer what people ask me. " * 3


def coded(*texts, names=None):
    codes = [hash(letters(text)) for text in texts]
    return near(codes, [sketch(text) for text in texts], names or [0] * len(texts))


def test_a_stamp_and_another_word_hide_no_copy_of_a_long_reply():
    assert coded(LONG, f"{LONG} req-81f3", LONG.replace("trained", "made", 1)) == [0, 0, 0]
    other = " ".join(word if at % 4 else f"other{at}" for at, word in enumerate(LONG.split()))
    assert coded(LONG, other, LONG) == [0, 1, 0]
    # of few words each counts, and another name is another reply
    assert coded("I am Rio.", "I am Nex.") == [0, 1]
    assert coded(LONG, f"{LONG} req-81f3", names=[1, 2]) == [0, 1]


def test_what_is_nearly_the_same_does_not_depend_on_the_order():
    rng = np.random.default_rng(5)
    words = LONG.split()
    texts = [LONG]
    for step in range(6):  # each differs by a word from the one before
        words = [*words[: 7 * step], f"new{step}", *words[7 * step + 1 :]]
        texts.append(" ".join(words))
    shares = {
        tuple(sorted(Counter(coded(*(texts[at] for at in rng.permutation(7)))).values()))
        for _ in range(20)
    }
    assert len(shares) == 1


def timed(rng, backend_at, repeats=6, by_question=False):
    """Names, and the times at which they came: round by round, or question by question."""
    times = np.arange(QUESTIONS * repeats).reshape(repeats, QUESTIONS).T
    if by_question:
        times = np.arange(QUESTIONS * repeats).reshape(QUESTIONS, repeats)
    names = rng.random(times.shape) < np.vectorize(backend_at)(times)
    return names.astype(int).tolist(), times.tolist()


@pytest.mark.parametrize("by_question", [False, True])
def test_an_honest_model_shows_no_stretches_of_time(by_question):
    rng = np.random.default_rng(11)
    found = [stretches(*timed(rng, lambda t: 0.6, 8, by_question)) for _ in range(300)]
    assert np.mean(np.array(found) < 0.05) < 0.08


def test_a_router_that_switches_by_the_clock_is_found_where_no_round_differs():
    """Half of a round each, and rounds begin with another question each time."""
    rng = np.random.default_rng(12)
    numbers = np.arange(40)[:, None]
    rounds_ = np.arange(8)[None, :]
    times = 40 * rounds_ + (numbers + 7 * rounds_) % 40
    names = (rng.random(times.shape) < np.where(times // 20 % 2, 0.95, 0.2)).astype(int).tolist()
    times = times.tolist()
    assert stretches(names, times) < 1e-4 and rounds(names) > 1e-3
    assert order_of(names, names, times).least < 1e-3
    assert stretches(names, [[7] * 8] * 40) == 1.0  # all at one time: nothing is known


def test_a_backend_that_keeps_to_its_questions_is_found_where_the_host_tells_of_it():
    rng = np.random.default_rng(13)
    sticky = [[int(rng.random() < 0.5)] * 4 for _ in range(QUESTIONS)]
    assert kept(sticky) < 1e-6
    assert kept([[3] * 4] * QUESTIONS) == kept([]) == 1.0
    mixed = [kept(rng.integers(0, 2, (QUESTIONS, 4)).tolist()) for _ in range(300)]
    assert np.mean(np.array(mixed) < 0.05) < 0.08
