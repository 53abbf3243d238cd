"""Tests that may be looked at for ever, by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from harness.audits import drift, watching
from harness.audits.drift import Counts


@pytest.mark.parametrize("histories", [30, pytest.param(150, marks=pytest.mark.slow)])
def test_the_test_for_a_change_holds_under_endless_looking(histories):
    rng, alarmed = np.random.default_rng(1), 0
    for _ in range(histories):
        rates = rng.beta(1, 1, 15)
        hits = [Counts(int(rng.binomial(3, rates).sum()), 45) for _ in range(121)]
        alarmed += any(drift.change(hits[0], hits[1:n]).log_e >= np.log(100) for n in range(2, 122))
    assert alarmed <= 1


def test_the_test_for_a_change_finds_a_swap_at_once():
    quiet = [Counts(43, 45)] * 20
    swapped = drift.change(quiet[0], [*quiet[1:], Counts(0, 45)])
    assert swapped.log_e > np.log(100) and swapped.since == 19
    assert drift.change(Counts(43, 45), []).log_e == 0.0
    assert drift.change(Counts(0, 0), quiet).log_e == 0.0
    assert drift.adjusted([swapped, drift.Change(0.0, 0)])[1] == 1.0


def test_a_fifth_of_the_traffic_swapped_is_found():
    rng = np.random.default_rng(2)
    delays = []
    for _ in range(60):
        later = [Counts(int(rng.binomial(45, 0.95)), 45) for _ in range(10)]
        delay = 0
        while delay < 40:
            delay += 1
            later.append(Counts(int(rng.binomial(45, 0.76)), 45))
            if drift.change(Counts(43, 45), later).log_e >= np.log(100):
                break
        delays.append(delay)
    assert np.percentile(delays, 95) <= 10 and watching.FAMILY >= 10
