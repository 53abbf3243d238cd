"""Two sides that answered the same questions: one set of questions, one difference, one test.

All figures are over the questions that both sides answered, and weigh them alike, so that the
difference, its p-value and its interval cannot contradict each other:

- the difference, ``sum w_q (a_q/n_q - b_q/m_q) / sum w_q`` with ``w_q = n_q m_q / (n_q + m_q)``
  (Mantel and Haenszel's weights: Greenland and Robins 1985, Biometrics 41(1),
  doi:10.2307/2530643), is the statistic of the test, less its mean, in units of a rate;
- the interval holds 0 exactly where the p-value is not under its level;
- what cancels out in the difference is seen by a second statistic, ``sum w_q |a_q/n_q - b_q/m_q|``.

What is permuted, and what that assumes: replies between the sides within each question (repeats of
a question are independent), or, where they are not, whole sides of a question (questions are
independent; repeats may depend on each other as they like), or nothing, where all questions change
together from round to round: then no difference can be told from the router's, p is 1 and the
interval -1 to 1.

Whole sides are permuted, too, where some questions have surely changed up and others down
(`both_ways`), as behind a router that keeps a question with a backend: what the difference is then
depends on which questions were asked, so it is one of questions, and few of them say little.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from harness import special, stats
from harness.counting.counted import REMEMBERED, ByQuestion

Permuted = Literal["replies", "questions", "nothing"]
Numbers = npt.NDArray[np.float64]
LEVEL: Final = 0.05
#: Parts of a reply that sums of differences are counted in where both sides answered each question
#: equally often, and elsewhere. Exact in the first case; in the other the statistic is rounded to
#: it, and its test is exact none the less.
PARTS: Final = 2
MORE_PARTS: Final = 12
#: Level of the test that questions have changed both ways.
BOTH_WAYS: Final = 0.05
#: Steps that halve an interval before false position is tried.
HALVED: Final = 5
#: The smallest step that tables show.
STEP: Final = 1e-6


class Difference(NamedTuple):
    """Two sides over the questions that both answered; rates and differences from -1 to 1.

    ``first`` and ``second`` weigh questions alike: they are hits over samples where both sides
    answered each question equally often. ``by_question`` is the mean absolute difference,
    ``by_chance`` what sides that are the same would show of it on average; both None, with their
    p-value, where repeats are not independent: exchanging whole sides leaves an absolute difference
    as it is. ``permuted`` is what the difference and its p-value rest on.
    """

    first: float
    second: float
    low: float
    high: float
    p_value: float
    by_question: float | None
    by_chance: float | None
    p_by_question: float | None
    permuted: Permuted

    @property
    def rate(self) -> float:
        return self.first - self.second


class _Both(NamedTuple):
    """Hits and samples of both sides, question by question; no side is without samples."""

    a: Numbers
    n: Numbers
    b: Numbers
    m: Numbers

    @property
    def weights(self) -> Numbers:
        return self.n * self.m / (self.n + self.m)

    @property
    def beyond_mean(self) -> Numbers:
        """Hits of the first side less their mean if replies change sides: ``w_q d_q``."""
        return self.a - self.n * (self.a + self.b) / (self.n + self.m)


def difference(
    a: ByQuestion, b: ByQuestion, permuted: Permuted = "replies", level: float = LEVEL
) -> Difference | None:
    """Compare two sides over the questions that both answered; None where there is no such.

    ``level`` is that of the interval (0.05: 95 %); it holds 0 exactly where ``p_value``, to three
    digits as tables show it, is not under ``level``.
    """
    _, in_a, in_b = np.intersect1d(
        a.questions, b.questions, assume_unique=True, return_indices=True
    )
    if not len(in_a):
        return None
    counts = (a.hits[in_a], a.sizes[in_a], b.hits[in_b], b.sizes[in_b])
    return _difference(*(some.tobytes() for some in counts), permuted, level)


@lru_cache(maxsize=REMEMBERED)
def _difference(
    a: bytes, n: bytes, b: bytes, m: bytes, permuted: Permuted, level: float
) -> Difference:
    counts = [np.frombuffer(some, np.intp) for some in (a, n, b, m)]
    both = _Both(*(some.astype(float) for some in counts))
    weights = both.weights / both.weights.sum()
    sides = ((both.a, both.n), (both.b, both.m))
    first, second = (min(1.0, float(weights @ (x / size))) for x, size in sides)
    if permuted == "nothing":
        return Difference(first, second, -1.0, 1.0, 1.0, None, None, None, permuted)
    by: tuple[float | None, float | None, float | None] = (None, None, None)
    if permuted == "replies":
        seen, chance, p_seen = by_question(*counts)
        by = seen, chance, shown_p(p_seen)
        if p_seen >= level or both_ways(both) >= BOTH_WAYS:
            p_value = shown_p(stats.permutation_within(*counts))
            ends = agreeing(first - second, p_value < level, score_interval(*both, level))
            return Difference(first, second, *ends, p_value, *by, permuted)
    p_value = shown_p(sides_exchanged(both.beyond_mean, _parts(both.n, both.m)))
    ends = agreeing(first - second, p_value < level, *_of_questions(both, first - second, level))
    return Difference(first, second, *ends, p_value, *by, "questions")


def shown_p(p: float) -> float:
    """A p-value to three digits."""
    return float(f"{p:.3g}")


def agreeing(
    difference: float, differs: bool, widest: stats.Interval, *others: stats.Interval
) -> stats.Interval:
    """An interval that holds 0 exactly where the test at 0 does not reject it.

    A confidence interval is the set of differences that a test, one for each, does not reject;
    here the test of 0 is the one whose p-value is told, and ``widest`` comes of tests of all other
    differences. Where the first rejects 0 and they do not, the end near 0 is that of the first of
    ``others`` which leaves 0 out, or the smallest step that tables show.
    """
    low, high = widest
    if not differs:
        return stats.Interval(min(low, 0.0), max(high, 0.0))
    if difference > 0:
        near = next((end for end, _ in (widest, *others) if end >= STEP), STEP)
        return stats.Interval(min(near, difference), max(high, difference))
    near = next((end for _, end in (widest, *others) if end <= -STEP), -STEP)
    return stats.Interval(min(low, difference), max(near, difference))


def score_interval(a: Numbers, n: Numbers, b: Numbers, m: Numbers, level: float) -> stats.Interval:
    """Differences that a score test does not reject: the permutation test's family beyond 0.

    ``(d - x)² <= z² V(x)``, with V the variance of d where each question has the difference x and
    the rates likeliest under that. At 0 that is the variance over all permutations within
    questions. Source: Miettinen and Nurminen 1985, Statistics in Medicine 4(2), section on
    stratified data, doi:10.1002/sim.4780040211, with Mantel and Haenszel's weights. It is for the
    very questions asked, and repeats that are independent.
    """
    z, weights = stats.z_of(1 - level), n * m / (n + m)
    weights = weights / weights.sum()
    seen = float(weights @ (a / n - b / m))

    likeliest, squared, both = _Likeliest(a, n, b, m), weights**2, n + m

    def beyond(x: float) -> float:
        """How far ``seen`` lies beyond the reach of the test of x; above 0 where it is rejected."""
        second = likeliest(x)
        first = np.minimum(np.maximum(second + x, 0.0), 1.0)
        spread = first * (1 - first) / n + second * (1 - second) / m
        variance = float(squared @ (spread * both / (both - 1)))
        return abs(seen - x) - z * math.sqrt(variance)

    return stats.Interval(_edge(beyond, seen, -1.0), _edge(beyond, seen, 1.0))


def _edge(beyond: Callable[[float], float], inside: float, outside: float) -> float:
    """Where ``beyond`` rises above 0: by halves, then by false position (Illinois)."""
    low, high, before = 0.0, beyond(outside), 0.0
    if high <= 0:
        return outside
    steps = 0
    while abs(outside - inside) > STEP / 4:
        share = 0.5 if steps < HALVED or low == 0 else low / (low - high)
        middle = inside + share * (outside - inside)
        found = beyond(middle)
        if steps > HALVED and abs(found) < STEP / 8:
            return middle
        stays = found * before > 0  # the other end has not moved twice: it weighs half
        if found > 0:
            outside, high, low = middle, found, low / 2 if stays else low
        else:
            inside, low, high = middle, found, high / 2 if stays else high
        before, steps = found, steps + 1
    return inside


class _Likeliest:
    """The likeliest rates of the second side where the first's are higher by x: a cubic's root."""

    def __init__(self, a: Numbers, n: Numbers, b: Numbers, m: Numbers) -> None:
        self.total, self.hits, self.b, self.m = n + m, a + b, b, m
        self.two_b, self.thrice, self.twice = 2 * b, 3 * self.total, 2 * self.total
        self.n_two_m = n + 2 * m

    def __call__(self, x: float) -> Numbers:
        two = (self.n_two_m * x - self.total - self.hits) / self.thrice
        one = ((self.m * x - self.total - self.two_b) * x + self.hits) / self.thrice
        none = self.b * x * (1 - x) / self.twice
        q = two**3 - 1.5 * two * one + none
        p = np.copysign(np.sqrt(np.maximum(two**2 - one, 0)), q)
        turn = np.divide(q, p**3, out=np.zeros_like(p), where=p != 0)
        angle = (np.pi + np.arccos(np.minimum(np.maximum(turn, -1.0), 1.0))) / 3
        root = 2 * p * np.cos(angle) - two
        return np.asarray(np.minimum(np.maximum(root, max(0.0, -x)), min(1.0, 1 - x)))


class Absolute(NamedTuple):
    """The mean absolute difference, what chance gives of it on average, and its p-value."""

    seen: float
    by_chance: float
    p_value: float


def by_question(a: stats.Counts, n: stats.Counts, b: stats.Counts, m: stats.Counts) -> Absolute:
    """Whether single questions differ, whichever way: differences that cancel out are seen.

    The statistic is ``sum w_q |a_q/n_q - b_q/m_q|``, in parts of a reply; its distribution over all
    permutations of replies within questions is computed, not drawn. It assumes that repeats of a
    question are independent.
    """
    of_reply = _parts(np.asarray(n), np.asarray(m))
    seen, exactly, mean, weights, spread = 0, 0.0, 0.0, 0.0, np.ones(1)
    for hits_a, size_a, hits_b, size_b in zip(a, n, b, m, strict=True):
        na, nb, hits = int(size_a), int(size_b), int(hits_a + hits_b)
        weights += na * nb / (na + nb)
        exactly += abs(int(hits_a) - na * hits / (na + nb))
        parts, average, chances = _away(na, nb, hits, of_reply)
        seen += parts[int(hits_a) - max(0, hits - nb)]
        mean += average
        spread = np.convolve(spread, chances)
    p_value = min(1.0, float(spread[seen:].sum()))
    return Absolute(exactly / weights, mean / weights, p_value)


def _parts(n: npt.NDArray[Any], m: npt.NDArray[Any]) -> int:
    return PARTS if np.array_equal(n, m) else MORE_PARTS


@lru_cache(maxsize=REMEMBERED)
def _away(first: int, second: int, hits: int, of_reply: int) -> tuple[list[int], float, Numbers]:
    """How far the hits of the first side are from their mean, in parts of a reply.

    For each number of hits that it can have; on average, in replies; and how likely each is.
    """
    chance, low = stats.hypergeometric(first, second, hits), max(0, hits - second)
    away = np.abs(low + np.arange(len(chance)) - first * hits / (first + second))
    parts = np.rint(of_reply * away).astype(np.intp)
    spread: Numbers = np.bincount(parts, weights=chance).astype(float)
    return parts.tolist(), float(chance @ away), spread


def sides_exchanged(beyond_mean: Numbers, of_reply: int = MORE_PARTS) -> float:
    """Two-sided p-value where the sides of each question are exchanged whole, or not.

    The statistic is the sum of ``w_q d_q``; all 2^k sums are counted, not drawn. It assumes that
    questions are independent, and nothing of the repeats of one: all of them may be copies. Of k
    questions that differ the least p-value is ``2^(1-k)``. Source: Fisher 1935, The Design of
    Experiments, section 21.
    """
    steps = np.rint(of_reply * beyond_mean).astype(np.intp)
    steps = steps[steps != 0]
    sizes = np.abs(steps)
    spread = np.ones(1)
    for size in sizes.tolist():
        part = np.zeros(2 * size + 1)
        part[0] = part[-1] = 0.5
        spread = np.convolve(spread, part)
    middle, seen = int(sizes.sum()), abs(int(steps.sum()))
    if not seen:
        return 1.0
    return min(1.0, 2 * float(spread[middle + seen :].sum()))


def both_ways(both: _Both) -> float:
    """P-value of "no two questions change in opposite ways": small where some go up, others down.

    The test for qualitative interaction of Gail and Simon (1985, Biometrics 41(2),
    doi:10.2307/2530862): the less of both sums of squared deviations, those upward and those
    downward, each in units of its standard deviation over permutations of the question's replies.
    Approximate; a false alarm costs power, and no error. Effects of different sizes but of one sign
    raise none.
    """
    hits, size = both.a + both.b, both.n + both.m
    variance = both.n * both.m * hits * (size - hits) / (size * size * (size - 1))
    varied = variance > 0
    k = int(varied.sum())
    if k < 2:
        return 1.0
    z = both.beyond_mean[varied] / np.sqrt(variance[varied])
    less = min(float((z[z > 0] ** 2).sum()), float((z[z < 0] ** 2).sum()))
    up = np.arange(1, k)
    ways = special.gammaln(k) - special.gammaln(up + 1.0) - special.gammaln(k - up + 0.0)
    chances = np.exp(ways - (k - 1) * math.log(2))
    return float(chances @ special.chdtrc(up, less))


def _of_questions(both: _Both, seen: float, level: float) -> tuple[stats.Interval, stats.Interval]:
    """Intervals that hold whatever repeats depend on: of both rates, and of the differences.

    The first (`harness.stats.difference`) is wide, for it takes the sides for independent. The
    second is Student's for the differences of the questions.
    """
    sides = ((both.a, both.n), (both.b, both.m))
    one, two = (stats.clustered(x.astype(int), n.astype(int), 1 - level) for x, n in sides)
    shift = seen - (one.rate - two.rate)  # by weights that are the same on both sides
    wide = _within(*(end + shift for end in stats.difference(one, two)))
    k, weights = len(both.a), both.weights
    if k < 2:
        return wide, wide
    away = both.beyond_mean - weights * seen
    error = float(np.sqrt(k / (k - 1) * (away @ away)) / weights.sum())
    reach = error * float(special.stdtrit(k - 1, 1 - level / 2))
    return wide, _within(seen - reach, seen + reach)


def _within(low: float, high: float) -> stats.Interval:
    return stats.Interval(max(-1.0, low), min(1.0, high))
