"""How much has to be asked: questions for an interval of some width, zeros for a bound.

Planned by the interval that a run is given (`harness.stats.clustered`), which is wider than that of
so many effective samples: few questions say little of how much questions differ.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from harness import special
from harness.stats import DOUBT, Interval, clopper_pearson, unseen_share, z_of

#: Questions beyond which nobody plans.
MOST_QUESTIONS: Final = 1 << 20
#: Replies of a cluster from which more do not change how its hits are spread.
ENOUGH: Final = 200


def questions_for(
    rate: float,
    width: float,
    icc: float,
    repeats: int,
    confidence: float = 0.95,
    *,
    languages: int = 1,
    language_icc: float = 0.0,
) -> int | None:
    """How many questions give an interval of about ``width`` around ``rate``, or of less.

    Each is asked ``repeats`` times. By question, the interval is that of `expected`; where
    languages count (``language_icc`` is the correlation of replies to different questions of one),
    it is put together with that of the languages as clusters, as in a run's tally. None where no
    number of questions is enough: then only more languages help.
    """

    def enough(questions: int) -> bool:
        low, high = expected(rate, questions, repeats, icc, confidence)
        if language_icc and languages > 1:
            each = max(1.0, questions / languages)
            more = (repeats - 1) * icc + repeats * (each - 1) * language_icc
            of_all = min(1.0, more / max(1.0, each * repeats - 1))
            wide = expected(rate, languages, each * repeats, of_all, confidence)
            low = max(0.0, rate - math.hypot(rate - low, rate - wide.low))
            high = min(1.0, rate + math.hypot(high - rate, wide.high - rate))
        return high - low <= width

    fewest = 1
    while not enough(fewest):
        fewest *= 2
        if fewest > MOST_QUESTIONS:
            return None
    low, high = fewest // 2, fewest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def expected(
    rate: float, clusters: int, each: float, icc: float, confidence: float = 0.95
) -> Interval:
    """The interval by question that so many clusters of replies have, about: its figures at their
    means.

    Hits of a cluster are beta-binomial with correlation ``icc`` (Skellam 1948, J. R. Stat. Soc. B
    10(2), pp. 257-261). The design effect is then ``1 + (each - 1) icc`` (Kish 1965, Survey
    Sampling, 8.2), and as many clusters carry the variance as `harness.stats.clustered` counts
    there, from the chance that one holds the rarer answer and from the fourth moment.
    """
    if each <= 1:
        return clopper_pearson(rate * clusters, clusters, confidence)
    samples = clusters * each
    whole = min(ENOUGH, round(each))
    chances, away = beta_binomial(rate, whole, icc), np.arange(whole + 1) - rate * whole
    fourth = float(chances @ away**4)
    rarer = clusters * (1 - max(float(chances[0]), float(chances[-1])))
    spread = 3 * clusters * float(chances @ away**2) ** 2 / fourth if fourth else 0.0
    carried = min(rarer, spread) if clusters > 1 else 0.0
    measured = max(clusters, samples / (1 + (each - 1) * icc))
    weight = carried / (carried + DOUBT)
    used = 1 / (weight / measured + (1 - weight) / clusters)
    if carried:
        used *= (z_of(confidence) / float(special.stdtrit(clusters - 1, 0.5 + confidence / 2))) ** 2
    low, high = clopper_pearson(rate * used, used, confidence)
    unseen = unseen_share(clusters, confidence)
    return Interval(min(low, rate * (1 - unseen)), max(high, rate + (1 - rate) * unseen))


def beta_binomial(rate: float, of: int, icc: float) -> npt.NDArray[np.float64]:
    """The chances of 0 to ``of`` hits, whose rate has a mean and a correlation."""
    x = np.arange(of + 1)
    if icc >= 1 or rate in (0.0, 1.0):
        ends = np.zeros(of + 1)
        ends[0], ends[-1] = 1 - rate, rate
        return ends
    ways = special.gammaln(of + 1) - special.gammaln(x + 1) - special.gammaln(of - x + 1)
    if icc <= 0:
        logs = ways + x * math.log(rate) + (of - x) * math.log1p(-rate)
    else:
        a, b = (share * (1 - icc) / icc for share in (rate, 1 - rate))
        logs = ways + special.betaln(x + a, of - x + b) - special.betaln(a, b)
    return np.asarray(np.exp(logs))


def zeros_for(below: float, confidence: float = 0.95) -> int:
    """How many independent samples without a hit it takes to say that a rate is under ``below``.

    ``log(1 - c) / log(1 - r)``, one-sided, exact. Source: Hanley and Lippman-Hand 1983, JAMA
    249(13), doi:10.1001/jama.1983.03330370053031 (the rule of three).
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-below))
