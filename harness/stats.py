"""Intervals for rates, tests between arms, and what else a count of hits can tell.

Also: correction for the classifier's errors, and sequences that may stop early.

Rates are from 0 to 1. Samples of one question are alike, so figures meant to hold for questions
like those asked are clustered by question (`clustered`); `wilson` and the sequences speak of the
very questions that were asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness import special

Counts = Sequence[int] | npt.NDArray[np.integer[Any]]
#: Clusters of the rarer answer at which the design effect as measured and the greatest one possible
#: weigh the same.
DOUBT = 2.0


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


class Clustered(NamedTuple):
    """A rate over questions, with its interval."""

    rate: float
    low: float
    high: float
    design_effect: float
    effective_n: float


class Corrected(NamedTuple):
    """A rate corrected for the classifier's errors."""

    rate: float
    low: float
    high: float


class Share(NamedTuple):
    """A share that is not known exactly: its mean and variance."""

    mean: float
    variance: float


def z_of(confidence: float) -> float:
    """The normal quantile of a two-sided confidence level."""
    return float(special.ndtri(0.5 + confidence / 2))


def wilson(hits: float, samples: float, confidence: float = 0.95) -> Interval:
    """Wilson score interval for a binomial rate.

    ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`` with ``p = hits / samples``; in rates
    from 0 to 1. It holds for independent samples. Source: Wilson 1927, JASA 22(158),
    doi:10.1080/01621459.1927.10502953.

    Raises
    ------
    ValueError
        If ``samples`` is not above 0 or ``hits`` lies outside 0 to ``samples``.
    """
    if samples <= 0 or not 0 <= hits <= samples:
        raise ValueError(f"no rate can be formed of {hits} hits in {samples} samples")
    z = z_of(confidence)
    p, n = hits / samples, samples
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return Interval(0.0 if hits == 0 else max(0.0, low), 1.0 if hits == n else min(1.0, high))


def clopper_pearson(hits: float, samples: float, confidence: float = 0.95) -> Interval:
    """Exact binomial interval by beta quantiles; fractional counts are allowed.

    ``B(α/2; x, n-x+1)`` to ``B(1-α/2; x+1, n-x)``. Source: Clopper and Pearson 1934, Biometrika
    26(4), doi:10.1093/biomet/26.4.404.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if hits <= 0 else float(special.betaincinv(hits, samples - hits + 1, tail))
    high = 1.0 if hits >= samples else float(special.betaincinv(hits + 1, samples - hits, 1 - tail))
    return Interval(low, high)


def clustered(hits: Counts, sizes: Counts, confidence: float = 0.95) -> Clustered:
    """A rate over questions and its interval.

    Of question q ``hits[q]`` of ``sizes[q]`` samples count.

    After Korn and Graubard (1998, Survey Methodology 24(2), pp. 193-201): a Clopper-Pearson
    interval at the effective sample size ``n* = p(1-p) / v (z / t_{k-1})²``, with v the variance of
    the rate between k questions (ratio estimator, Cochran 1977, Sampling Techniques, 11.7). The
    design effect (Kish 1965, Survey Sampling, 8.2) is n / n*, less the t.

    Where few questions carry the rarer answer, v says little (at 0 and 100 % nothing, and the
    published method then takes repeats for independent). So 1/n* is a mean of the measured one and
    of the worst case, samples of a question all alike (n* = number of questions), weighted as j to
    `DOUBT`. j is how many questions v rests on: those that hold the rarer answer, or three times
    the participation ratio ``(sum d²)² / sum d⁴`` of their distances d from the mean, whichever is
    less (normal distances give k). At 0 % and 100 % the questions alone count.

    And questions of a kind that none of the k is of may answer all yes or all no. Their share may
    be up to ``h = 1 - (α/2)^(1/k)`` (zero of k, exact), so the interval holds at least
    ``p (1-h)`` to ``p + (1-p) h``. The mean and this floor are ours; `benchmarks/coverage.py` shows
    what holds with them and what the plain methods do. Where each question was asked once, samples
    are independent: Clopper-Pearson.

    Raises
    ------
    ValueError
        If there are no samples, or the hits of a question lie outside its size.
    """
    x, m = np.asarray(hits, dtype=float), np.asarray(sizes, dtype=float)
    x, m = x[m > 0], m[m > 0]
    n, k = float(m.sum()), len(m)
    if not k or (x < 0).any() or (x > m).any():
        raise ValueError("no rate can be formed of these counts")
    total = float(x.sum())
    p = total / n
    if m.max() == 1:
        return Clustered(p, *clopper_pearson(total, n, confidence), 1.0, n)
    questions = n * n / float((m * m).sum())  # fewer than k where some weigh more
    carried = _carried(x, m, p)
    worst = measured = min(questions, n)
    squares = float(((x - p * m) ** 2).sum())
    if carried:
        between = k / (k - 1) * squares / (n * n) if k > 1 else 0.0
        measured = min(n, max(worst, p * (1 - p) / between)) if between else n
    weight = carried / (carried + DOUBT) if k > 1 else 0.0
    effective = used = 1 / (weight / measured + (1 - weight) / worst)
    if carried and k > 1:
        t = float(special.stdtrit(k - 1, 0.5 + confidence / 2))
        used = effective * (z_of(confidence) / t) ** 2
    low, high = clopper_pearson(p * used, used, confidence)
    unseen = unseen_share(questions, confidence)
    low, high = min(low, p * (1 - unseen)), max(high, p + (1 - p) * unseen)
    return Clustered(p, low, high, n / effective, effective)


def _carried(x: npt.NDArray[Any], m: npt.NDArray[Any], p: float) -> float:
    """How many questions the variance between questions rests on."""
    rarer = min(int((x > 0).sum()), int((x < m).sum()))
    squares = (x - p * m) ** 2
    fourth = float((squares * squares).sum())
    return min(rarer, 3 * float(squares.sum()) ** 2 / fourth) if fourth else float(rarer)


def unseen_share(questions: float, confidence: float = 0.95) -> float:
    """What share of questions may be of a kind that none of so many was of: zero hits, exact."""
    return -math.expm1(math.log((1 - confidence) / 2) / questions)


def difference(first: Clustered, second: Clustered) -> Interval:
    """Interval for ``first.rate - second.rate`` from the intervals of both (MOVER).

    ``d - sqrt((p1-l1)² + (u2-p2)²)`` to ``d + sqrt((u1-p1)² + (p2-l2)²)``. For the same questions
    in both arms, whose rates rise and fall together, it errs on the wide side. Source: Newcombe
    1998, Statistics in Medicine 17(8), method 10,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I; Zou and Donner 2008,
    doi:10.1002/sim.3095.
    """
    d = first.rate - second.rate
    low = d - math.hypot(first.rate - first.low, second.high - second.rate)
    high = d + math.hypot(first.high - first.rate, second.rate - second.low)
    return Interval(max(-1.0, low), min(1.0, high))


def cohens_h(first: float, second: float) -> float:
    """Effect size of two rates: ``2 asin sqrt(p1) - 2 asin sqrt(p2)``.

    Source: Cohen 1988, Statistical Power Analysis, 6.2.
    """
    return 2 * math.asin(math.sqrt(first)) - 2 * math.asin(math.sqrt(second))


def permutation_within(hits_a: Counts, sizes_a: Counts, hits_b: Counts, sizes_b: Counts) -> float:
    """Two-sided p-value of a permutation test: samples change arms, within their question only.

    The distribution over all permutations is computed, not drawn: the hits of arm A are a sum of
    hypergeometric counts, one a question (the exact conditional test of stratified 2 x 2 tables:
    Gart 1970, Biometrika 57(3), doi:10.1093/biomet/57.3.471). Two-sided by summing what is no
    likelier than what was seen. Questions that only one arm has say nothing and are left out.
    """
    seen, spread = 0, np.ones(1)
    for a, na, b, nb in zip(hits_a, sizes_a, hits_b, sizes_b, strict=True):
        low, high = max(0, int(a + b) - int(nb)), min(int(na), int(a + b))
        if not na or not nb or low == high:
            continue
        seen += int(a) - low
        spread = np.convolve(spread, hypergeometric(int(na), int(nb), int(a + b)))
    return min(1.0, float(spread[spread <= spread[seen] * (1 + 1e-9)].sum()))


@lru_cache(maxsize=20_000)
def hypergeometric(first: int, second: int, hits: int) -> npt.NDArray[np.float64]:
    """The chances of each number of hits among the first of ``first + second`` samples.

    There are ``hits`` in all; the array is for the numbers from ``max(0, hits - second)`` to
    ``min(first, hits)``, and cannot be written to.
    """
    chances = noncentral(first, second, hits, 1.0)
    chances /= chances.sum()
    chances.flags.writeable = False
    return chances


def noncentral(first: int, second: int, hits: int, odds: float) -> npt.NDArray[np.float64]:
    """The same where a hit is ``odds`` times as likely among the first, in odds.

    In parts of the likeliest: the highest is 1. Source: Fisher's noncentral hypergeometric
    distribution (Fisher 1935, J. R. Stat. Soc. 98(1), pp. 39-82).
    """
    x = np.arange(max(0, hits - second), min(first, hits) + 1)
    y = hits - x
    log = x * math.log(odds)
    for n in (x, first - x, y, second - y):
        log = log - special.gammaln(n + 1.0)
    return np.asarray(np.exp(log - log.max()))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted so that the chance of any false one in the family stays under the level.

    Sorted upward, ``max over j <= i of (m - j + 1) p_(j)``, 1 at most. Source: Holm 1979,
    Scandinavian Journal of Statistics 6(2), pp. 65-70.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def share(right: float, of: float, prior: float = 1.0, against: float = 1.0) -> Share:
    """A share known from counts: mean and variance of its beta distribution after a beta prior."""
    mean = (right + prior) / (of + prior + against)
    return Share(mean, mean * (1 - mean) / (of + prior + against + 1))


def corrected(
    found: Clustered,
    sensitivity: Share,
    specificity: Share,
    confidence: float = 0.95,
    *,
    at_least: bool = False,
) -> Corrected | None:
    """The rate that a classifier without errors would find.

    None where this one tells nothing (sensitivity + specificity <= 1).

    ``g(p) = (p + Sp - 1) / (Se + Sp - 1)`` (Rogan and Gladen 1978, American Journal of Epidemiology
    107(1), doi:10.1093/oxfordjournals.aje.a112510), cut to 0 to 1. The interval puts together that
    of the rate by question (``found``, with its t for few questions) and what is uncertain of Se
    and Sp: ``g - sqrt((g(p) - g(low))² + z² (g² v_Se + (1-g)² v_Sp) / (Se + Sp - 1)²)``, likewise
    upward (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095; the second term by the delta method).
    ``at_least``: the specificity is that of all identities together, so one identity's lies
    between it and 1. The interval is then from the lower end under the one to the upper end under
    the other, and the rate lies midway between both estimates.
    """
    if sensitivity.mean + specificity.mean <= 1:
        return None
    least = _corrected(found, sensitivity, specificity, z_of(confidence))
    if not at_least:
        return least
    most = _corrected(found, sensitivity, Share(1.0, 0.0), z_of(confidence))
    return Corrected((least.rate + most.rate) / 2, least.low, most.high)


def _corrected(found: Clustered, se: Share, sp: Share, z: float) -> Corrected:
    slope = se.mean + sp.mean - 1
    rate, low, high = ((p + sp.mean - 1) / slope for p in (found.rate, found.low, found.high))
    inner = min(1.0, max(0.0, rate))
    variance = (inner**2 * se.variance + (1 - inner) ** 2 * sp.variance) / slope**2
    spread = z * math.sqrt(variance)
    ends = rate - math.hypot(rate - low, spread), rate + math.hypot(high - rate, spread)
    return Corrected(inner, *(min(1.0, max(0.0, end)) for end in ends))


#: Alternatives that a one-sided sequence bets on, as shares of the way from the threshold to the
#: end of the scale; the end itself (a rate of 0, or of 1) gets half of the stake.
_STAKES = np.concatenate(([0.5], np.full(32, 0.5 / 32)))
_PLACES = np.concatenate(([1.0], 1 - ((np.arange(32) + 0.5) / 32)))


def evidence_beyond(hits: int, samples: int, threshold: float, side: str) -> float:
    """Natural log of an e-value against "the rate is not ``side`` (below or above) the threshold".

    A mixture of likelihood ratios ``(q/r)^hits ((1-q)/(1-r))^misses`` over rates q on that side
    (Robbins 1970, doi:10.1214/aoms/1177696786). It may be looked at after each round of all
    questions: under the null its chance to ever reach log(1/alpha) is at most alpha (Ville 1939).
    Questions may differ in their rates: a product over a round is at most what equal rates would
    give (arithmetic and geometric mean), so the threshold is one for the mean rate over the
    questions asked.
    """
    end = 0.0 if side == "below" else 1.0
    q = threshold + (end - threshold) * _PLACES
    with np.errstate(divide="ignore"):
        log_hits = special.xlogy(hits, q / threshold)
        log = log_hits + special.xlogy(samples - hits, (1 - q) / (1 - threshold))
    return float(special.logsumexp(log, b=_STAKES))


def sequence(hits: int, samples: int, alpha: float = 0.05) -> Interval:
    """Anytime-valid bounds of a rate over the questions asked, each one-sided at ``1 - alpha``.

    The rates that `evidence_beyond` has not ruled out: a confidence sequence (Darling and Robbins
    1967, doi:10.1073/pnas.58.1.66; Howard et al. 2021, Annals of Statistics 49(2),
    doi:10.1214/20-AOS1991). Looking as often as one likes, after whole rounds, costs nothing.
    Without samples it is 0 to 1.
    """
    if not samples:
        return Interval(0.0, 1.0)
    enough, seen = math.log(1 / alpha), hits / samples

    def edge(side: str, end: float) -> float:
        held, out = seen, end
        while abs(out - held) > 1e-7:
            middle = (held + out) / 2
            if evidence_beyond(hits, samples, middle, side) >= enough:
                out = middle
            else:
                held = middle
        return out

    low = 0.0 if hits == 0 else edge("above", 0.0)
    return Interval(low, 1.0 if hits == samples else edge("below", 1.0))
