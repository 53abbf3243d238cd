"""Stopping early against a fixed number of samples, by simulation: error, mean samples, and the ratio to the information-theoretic bound.

The rule: `stop: {below: 0.05, alpha: 0.01}`. The bound for a test of this power is log(1/alpha) / KL(rate, threshold) samples on average (Wald 1945,
doi:10.1214/aoms/1177731118). Fixed: 1,800 samples, 40 of each of 45 questions. Questions differ in their rates (beta, icc 0.3).
"""

from __future__ import annotations

import math
import sys

import numpy as np

from harness.stats import evidence_beyond

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
THRESHOLD, ALPHA, QUESTIONS, ROUNDS, ICC = 0.05, 0.01, 45, 40, 0.3
rng = np.random.default_rng(20261124)
enough, known = math.log(1 / ALPHA), {}


def decide(hits: int, samples: int) -> str | None:
    if (hits, samples) not in known:
        known[hits, samples] = next(
            (
                side
                for side in ("below", "above")
                if evidence_beyond(hits, samples, THRESHOLD, side) >= enough
            ),
            None,
        )
    return known[hits, samples]


def rates_of(rate: float, spread: bool) -> np.ndarray:
    """A rate for each question, whose mean is ``rate`` exactly: the sequence speaks of the questions that are asked."""
    if not spread or rate in (0, 1):
        return np.full(QUESTIONS, rate)
    drawn = rng.beta(rate * (1 - ICC) / ICC, (1 - rate) * (1 - ICC) / ICC, QUESTIONS)
    while abs(drawn.mean() - rate) > 1e-9:  # odds of all questions moved together
        drawn = (
            drawn * rate / drawn.mean()
            if drawn.mean() > rate
            else 1 - (1 - drawn) * (1 - rate) / (1 - drawn.mean())
        )
    return drawn


def divergence(p: float, r: float) -> float:
    return (p * math.log(p / r) if p else 0.0) + (
        (1 - p) * math.log((1 - p) / (1 - r)) if p < 1 else 0.0
    )


print(
    f"{RUNS} runs each; a decision is wrong where the rate is not on the side that is said; at the threshold itself any decision is wrong"
)
print(
    f"{'rate':>6}{'decided':>10}{'wrong':>8}{'mean samples':>14}{'of fixed':>10}{'bound':>8}{'ratio':>7}   one question alone: mean, ratio"
)
for rate in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0):
    decided = wrong = 0
    used = []
    for _ in range(RUNS):
        hits = np.cumsum(rng.binomial(1, rates_of(rate, True), (ROUNDS, QUESTIONS)).sum(1))
        side, number = next(
            (
                (side, n)
                for n in range(1, ROUNDS + 1)
                if (side := decide(int(hits[n - 1]), n * QUESTIONS))
            ),
            (None, ROUNDS),
        )
        used.append(number * QUESTIONS)
        decided += side is not None
        wrong += side is not None and (rate == THRESHOLD or (side == "below") != (rate < THRESHOLD))
    alone = []
    for _ in range(RUNS):
        hits = np.cumsum(rng.random(QUESTIONS * ROUNDS) < rate)
        alone.append(
            next((n for n in range(1, len(hits) + 1) if decide(int(hits[n - 1]), n)), len(hits))
        )
    bound = math.inf if rate == THRESHOLD else enough / divergence(rate, THRESHOLD)
    ratio = "" if math.isinf(bound) else f"{max(np.mean(used), 0) / max(bound, QUESTIONS):.2f}"
    single = (
        ""
        if math.isinf(bound)
        else f"{np.mean(alone):.0f}, {np.mean(alone) / max(1, math.ceil(bound)):.2f}"
    )
    print(
        f"{rate:>6}{decided / RUNS:>10.1%}{wrong / RUNS:>8.1%}{np.mean(used):>14.0f}{np.mean(used) / (QUESTIONS * ROUNDS):>10.1%}{bound:>8.0f}{ratio:>7}   {single}"
    )
print("the ratio is to the bound, or to one whole round of questions where the bound is less")
