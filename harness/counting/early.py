"""A rate whose sampling could stop early, with the bias of stopping taken out.

Sampling stops when the rate looks clear, so a run that stopped has seen a rate farther from the
threshold than the true one: on average .02 reads .016, and .1 reads .112. `unbiased` gives the rate
under which the rule would show, on average, what was seen.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from harness import special, stats
from harness.campaign import Stop
from harness.repeats import FEWEST_ROUNDS


class Design(NamedTuple):
    """What stops an arm: a rule that is looked at after each round of all its questions.

    It may stop from `harness.repeats.FEWEST_ROUNDS` on.
    """

    threshold: float
    alpha: float
    questions: int
    rounds: int


def design(rule: Stop, questions: int, rounds: int) -> Design:
    return Design(rule.threshold, rule.alpha, questions, rounds)


def unbiased(rate: float, of: Design) -> float:
    """The rate whose mean estimate under the rule is ``rate`` (Whitehead 1986, Biometrika 73(3),
    doi:10.1093/biomet/73.3.573), to six digits.

    All replies count as independent with one rate; where questions differ, hits of a round vary
    less, and so does the bias.
    """
    if rate in (0.0, 1.0):
        return rate
    low, high = 0.0, 1.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if mean_seen(middle, of) < rate else (low, middle)
    return (low + high) / 2


def mean_seen(rate: float, of: Design) -> float:
    """The mean of hits / samples where an arm ends, if the rate is ``rate``."""
    each = np.arange(of.questions + 1)
    round_of = special.binom(of.questions, each) * rate**each * (1 - rate) ** (of.questions - each)
    going, mean = np.ones(1), 0.0
    for number, (low, high) in enumerate(_bounds(of), 1):
        going = np.convolve(going, round_of)
        hits = np.arange(len(going))
        ends = (hits <= low) | (hits >= high)
        if number < FEWEST_ROUNDS:
            ends[:] = False
        if number == of.rounds:
            ends[:] = True
        mean += float((going * hits)[ends].sum()) / (number * of.questions)
        going = np.where(ends, 0.0, going)
        if going.sum() < 1e-12:
            break
    return mean


@lru_cache(maxsize=64)
def _bounds(of: Design) -> tuple[tuple[int, int], ...]:
    """After each round: up to how many hits the rule says below, and from how many above."""
    enough, made = math.log(1 / of.alpha), []
    low, high = -1, 0
    for number in range(1, of.rounds + 1):
        samples = number * of.questions

        def clear(hits: int, side: str, samples: int = samples) -> bool:
            return stats.evidence_beyond(hits, samples, of.threshold, side) >= enough

        # both bounds rise with the rounds
        while low < samples and clear(low + 1, "below"):
            low += 1
        while high <= samples and not clear(high, "above"):
            high += 1
        made.append((low, high))
    return tuple(made)
