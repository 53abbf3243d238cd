"""Stopping early against a fixed number of samples, by simulation.

Error, mean samples, and the ratio to the information-theoretic bound. The rule: `stop: {below:
0.05, alpha: 0.01}`. The bound for a test of this power is log(1/alpha) / KL(rate, threshold)
samples on average (Wald 1945, doi:10.1214/aoms/1177731118). Fixed: 1,800 samples, 40 of each of
45 questions. Questions differ in their rates (beta, icc 0.3).
"""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import NamedTuple

import numpy as np

from harness.counting.early import Design, unbiased
from harness.repeats import FEWEST_ROUNDS
from harness.stats import evidence_beyond

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
THRESHOLD, ALPHA, QUESTIONS, ROUNDS, ICC = 0.05, 0.01, 45, 40, 0.3
OF = Design(THRESHOLD, ALPHA, QUESTIONS, ROUNDS)
rng = np.random.default_rng(20261124)
enough, known = math.log(1 / ALPHA), {}


def decide(hits: int, samples: int) -> str | None:
    if (hits, samples) not in known:
        clear = (
            side
            for side in ("below", "above")
            if evidence_beyond(hits, samples, THRESHOLD, side) >= enough
        )
        known[hits, samples] = next(clear, None)
    return known[hits, samples]


def rates_of(rate: float, spread: bool) -> np.ndarray:
    """A rate for each question, whose mean is ``rate`` exactly.

    The sequence speaks of the questions that are asked.
    """
    if not spread or rate in (0, 1):
        return np.full(QUESTIONS, rate)
    drawn = rng.beta(rate * (1 - ICC) / ICC, (1 - rate) * (1 - ICC) / ICC, QUESTIONS)
    while abs(drawn.mean() - rate) > 1e-9:  # odds of all questions moved together
        mean, misses = drawn.mean(), 1 - drawn
        drawn = drawn * rate / mean if mean > rate else 1 - misses * (1 - rate) / (1 - mean)
    return drawn


def divergence(p: float, r: float) -> float:
    hit = p * math.log(p / r) if p else 0.0
    miss = (1 - p) * math.log((1 - p) / (1 - r)) if p < 1 else 0.0
    return hit + miss


class Stopped(NamedTuple):
    """The side that was decided for, if any, and the looks that it took."""

    side: str | None
    looks: int


def stopped(hits: np.ndarray, each: int, fewest: int = 1) -> Stopped:
    """Look at sums of hits one after the other, each of so many samples more.

    Nothing is decided before look ``fewest``.
    """
    for look, so_far in enumerate(hits, 1):
        side = decide(int(so_far), look * each) if look >= fewest else None
        if side:
            return Stopped(side, look)
    return Stopped(None, len(hits))


@cache
def without_bias(rate: float) -> float:
    return unbiased(rate, OF)


def line(rate: float) -> str:
    decided = wrong = 0
    used, shown = [], []
    for _ in range(RUNS):
        hits = rng.binomial(1, rates_of(rate, True), (ROUNDS, QUESTIONS)).sum(1)
        side, looks = stopped(np.cumsum(hits), QUESTIONS, FEWEST_ROUNDS)
        used.append(looks * QUESTIONS)
        shown.append(float(hits[:looks].sum() / used[-1]))
        decided += side is not None
        wrong += side is not None and (rate == THRESHOLD or (side == "below") != (rate < THRESHOLD))
    alone = [
        stopped(np.cumsum(rng.random(QUESTIONS * ROUNDS) < rate), 1).looks for _ in range(RUNS)
    ]
    bound = math.inf if rate == THRESHOLD else enough / divergence(rate, THRESHOLD)
    ratio = single = ""
    if not math.isinf(bound):
        ratio = f"{max(np.mean(used), 0) / max(bound, FEWEST_ROUNDS * QUESTIONS):.2f}"
        single = f"{np.mean(alone):.0f}, {np.mean(alone) / max(1, math.ceil(bound)):.2f}"
    return (
        f"{rate:>6}{decided / RUNS:>10.1%}{wrong / RUNS:>8.1%}{np.mean(used):>14.0f}"
        f"{np.mean(used) / (QUESTIONS * ROUNDS):>10.1%}{bound:>8.0f}{ratio:>7}   {single:20}"
        f"{np.mean(shown):>10.4f}{np.mean([without_bias(rate) for rate in shown]):>14.4f}"
    )


print(
    f"{RUNS} runs each; a decision is wrong where the rate is not on the side that is said; "
    "at the threshold itself any decision is wrong"
)
print(f"{'rate':>6}{'decided':>10}{'wrong':>8}{'mean samples':>14}{'of fixed':>10}", end="")
print(f"{'bound':>8}{'ratio':>7}   one question alone: mean, ratio  hits / samples, unbiased")
for rate in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0):
    print(line(rate))
print(
    f"the ratio is to the bound, or to {FEWEST_ROUNDS} whole rounds of questions where it is less"
)
