"""The bias of stopping early is taken out of the rate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.campaign import Stop
from harness.counting.early import design, mean_seen, unbiased
from harness.repeats import FEWEST_ROUNDS
from harness.stats import evidence_beyond

OF = design(Stop(identity="rio", below=0.2, alpha=0.05), 10, 12)


def ended(rng, rate):
    """Hits over samples where an arm ends, looked at after each round."""
    hits = 0
    for number in range(1, OF.rounds + 1):
        hits, samples = hits + rng.binomial(OF.questions, rate), number * OF.questions
        evidence = (evidence_beyond(hits, samples, 0.2, side) for side in ("below", "above"))
        if number >= FEWEST_ROUNDS and max(evidence) >= math.log(20):
            break
    return hits / samples


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.35])
def test_the_mean_of_what_is_seen_is_that_of_simulated_runs(rate):
    rng = np.random.default_rng(1)
    seen = [ended(rng, rate) for _ in range(500)]
    error = np.std(seen) / math.sqrt(len(seen))
    assert mean_seen(rate, OF) == pytest.approx(np.mean(seen), abs=4 * error)


def test_a_run_that_stopped_has_seen_more_than_is_there_and_unbiased_knows():
    assert mean_seen(0.35, OF) > 0.36 and mean_seen(0.05, OF) < 0.049
    for rate in (0.05, 0.2, 0.35):
        assert unbiased(mean_seen(rate, OF), OF) == pytest.approx(rate, abs=1e-6)
    assert unbiased(0.0, OF) == 0.0 and unbiased(1.0, OF) == 1.0
