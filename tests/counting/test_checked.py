"""The checked rate: it holds whatever the classifier errs in, and is honest at 0 and 100 %."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.checked import Setting, simulate
from harness.counting.checked import by_question, checked, strata

NOBODY = np.array([], dtype=np.intp)


def replies(words, questions=None):
    """What the classifier says of replies, and their questions (each its own by default)."""
    said = np.array(words, dtype=bool)
    return said, np.arange(len(said)) if questions is None else np.array(questions)


def test_nobody_read_anything_and_nothing_is_said():
    assert checked(*replies([1, 0, 1]), NOBODY, np.array([])) is None


def test_it_is_the_classifiers_rate_plus_what_people_correct_by_stratum():
    """The stratified estimate of prediction-powered inference."""
    rng = np.random.default_rng(1)
    said, questions = replies(rng.random(400) < 0.4)
    read = rng.permutation(400)[:50]
    yes = np.where(rng.random(50) < 0.2, ~said[read], said[read]).astype(float)
    corrected = said.mean() + sum(
        np.mean(said == word) * (yes - said[read])[said[read] == word].mean()
        for word in (False, True)
    )
    found = checked(said, questions, read, yes)
    assert found.rate == pytest.approx(corrected) and found.read == 50
    assert 0 <= found.low < found.rate < found.high <= 1


def test_where_all_is_read_it_is_the_interval_of_what_people_say():
    rng = np.random.default_rng(2)
    said, questions = replies(rng.random(120) < 0.5, np.repeat(np.arange(30), 4))
    yes = (rng.random(120) < 0.3).astype(float)
    found, plain = checked(said, questions, np.arange(120), yes), by_question(questions, yes)
    assert found.rate == pytest.approx(plain.rate)
    assert found.low <= plain.low + 1e-9 and plain.high - 1e-9 <= found.high
    assert found.high - found.low < 1.1 * (plain.high - plain.low)


@pytest.mark.parametrize("word", [0, 1])
@pytest.mark.parametrize("read", [1, 5, 60, 180])
def test_no_interval_is_a_point_where_nobody_saw_an_error(word, read):
    said, questions = replies([word] * 180, np.repeat(np.arange(45), 4))
    found = checked(said, questions, np.arange(read), np.full(read, float(word)))
    assert found.rate == word
    assert found.high - found.low > 0.07  # 45 questions bound it by 8 % at best
    few = checked(said, questions, np.arange(1), np.ones(1) * word)
    assert few.high - few.low > 0.9


def test_what_nobody_read_may_be_anything():
    said, questions = replies([1] * 30 + [0] * 70)
    read = np.arange(30, 100)  # all that it says no to, and none that it says yes to
    found = checked(said, questions, read, np.zeros(70))
    assert found.rate == pytest.approx(0.3)
    assert found.low == 0.0 and found.high > 0.3
    no, there = strata(said, questions, read, np.zeros(70))
    assert (no.low, no.high) == (0, 0) and (there.low, there.high) == (0, 1)


def test_readers_who_differ_count_for_their_share():
    said, questions = replies([1] * 10)
    halves = checked(said, questions, np.arange(10), np.full(10, 0.5))
    assert halves.rate == pytest.approx(0.5)


#: Rates, errors (also of one arm alone), labels; replies to one question alike or not.
SIMULATED = [
    Setting(rate, missed, invented, icc, 45, 4, labels)
    for rate, missed, invented, icc, labels in (
        *((0, 0, 0.2, 0, 20), (0, 0, 0, 0.8, 20), (0.05, 0.1, 0.1, 0.3, 60)),
        *((0.2, 0.4, 0, 0.3, 60), (0.5, 0.4, 0.4, 0, 20), (0.5, 0.2, 0.2, 0.8, 60)),
        *(
            (0.8, 0, 0.4, 0.3, 60),
            (0.95, 0.02, 0.02, 0, 60),
            (1, 0.4, 0, 0.3, 20),
            (1, 0, 0, 0, 60),
        ),
    )
]


@pytest.mark.parametrize("setting", SIMULATED, ids=str)
def test_it_holds_whatever_the_classifier_errs_in(setting):
    seen = simulate(setting, 150, seed=1)
    # of 150 runs at a true 95 %, fewer than 91 % hold once in fifty times; the seed is fixed
    assert seen.held[0] >= 0.94 - 0.03


def test_together_they_hold_and_are_narrower_than_labels_alone():
    good = [Setting(r, 0.02, 0.02, 0, 120, 4, n) for r in (0.05, 0.5, 0.9) for n in (20, 60)]
    seen = [simulate(setting, 100, seed=2) for setting in good]
    assert np.mean([s.held[0] for s in seen]) >= 0.94
    assert np.mean([s.width[0] / s.width[1] for s in seen]) < 0.9
    poor = simulate(Setting(0.2, 0.2, 0.2, 0, 120, 4, 60), 100, seed=2)
    assert poor.held[0] >= 0.94 and poor.held[2] < 0.2  # where the classifier alone is far off
