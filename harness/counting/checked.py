"""A rate that holds whatever the classifier errs in, as people read a random part of its replies.

Three steps, each a function:

1. `strata` parts the replies by the classifier's word on the identity: it says yes, or no. What
   share of a stratum people say yes to is known from those that were read, in an exact interval;
   where none was read it is anything from 0 to 1.
2. `checked` adds the strata, weighted by their sizes among all replies.
3. Its interval is the wider, at either end, of two: `_recovered` puts exact intervals together and
   is honest where no error was seen; `_linear` knows what questions do to all terms at once.

The estimate is prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023,
Science 382:669, doi:10.1126/science.adi6000) in its stratified form (Fisch et al. 2024,
arXiv:2406.04291): the classifier's rate over all replies plus what people correct, stratum by
stratum, ``sum_k w_k (f_k + mean of (y - f) over those read in k)``. With the classifier's own word
as strata f is the same in all of a stratum. So whatever share of f one takes (the power tuning of
PPI++: Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453) it falls out, and what is left is
``sum_k w_k mean of y over those read in k``: to first order never worse than people alone.
But: their intervals are normal ones, of width zero where nobody saw an error. Ours are not, and
`benchmarks/checked.py` shows that they hold.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness import special, stats

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
#: What the classifier says of the replies of a stratum: no, or yes.
WORDS: Final = (0, 1)


class Checked(NamedTuple):
    """A rate as people's reading makes it, its interval, and of how many replies."""

    rate: float
    low: float
    high: float
    read: int


class Stratum(NamedTuple):
    """Replies of which the classifier says the same: what share people say yes to, in an interval.

    ``weight`` is their share of all replies, ``read`` how many of them people read.
    """

    weight: float
    share: float
    low: float
    high: float
    read: int


def by_question(questions: Places, yes: Floats) -> stats.Clustered:
    """The share of yes among some replies, with its interval by question.

    ``questions`` and ``yes`` (0 to 1) have one entry a reply.
    """
    _, place = np.unique(questions, return_inverse=True)
    # a sum of shares may miss a whole number by a rounding
    return stats.clustered(np.bincount(place, weights=yes).round(9), np.bincount(place))


def strata(
    said: npt.NDArray[np.bool_], questions: Places, read: Places, yes: Floats
) -> tuple[Stratum, Stratum]:
    """Replies that the classifier says no to, and those that it says yes to.

    A share's interval is that of the replies read (`by_question`), drawn in by the root of
    ``(n - m) / (n - 1)``: of n replies of the stratum m are read, and where all are, nothing is
    uncertain (Cochran 1977, Sampling Techniques, 2.6). Where nobody read one, the classifier's word
    is the share, and all from 0 to 1 is possible.
    """
    made = []
    for word in WORDS:
        size, mine = int(np.sum(said == word)), said[read] == word
        weight, m = size / len(said), int(mine.sum())
        if not m:
            made.append(Stratum(weight, float(word), 0.0, 1.0, 0))
            continue
        found = by_question(questions[read[mine]], yes[mine])
        share, left = found.rate, math.sqrt((size - m) / max(1, size - 1))
        low, high = share - left * (share - found.low), share + left * (found.high - share)
        made.append(Stratum(weight, share, low, high, m))
    return made[0], made[1]


def checked(
    said: npt.NDArray[np.bool_], questions: Places, read: Places, yes: Floats
) -> Checked | None:
    """The rate of an identity among replies, of which some were read by people.

    Parameters
    ----------
    said : (n,) whether the classifier finds the identity in each reply.
    questions : (n,) the number of each reply's question.
    read : (m,) places of the replies that were read, each once: a random part, every reply of
        which had the same chance.
    yes : (m,) what people say of them, 0 or 1, or the share of readers who say yes.

    Returns
    -------
    None where nobody read a reply. The rate is from 0 to 1; its interval is of 95 %, for questions
    like those asked.
    """
    if not len(read):
        return None
    both = strata(said, questions, read, yes)
    rate = sum(s.weight * s.share for s in both)
    filled = np.where(said, both[1].share, both[0].share)
    filled[read] = yes
    low, high = _recovered(rate, both, by_question(questions, filled))
    spread = _linear(rate, both, said, questions, read, yes)
    return Checked(
        rate,
        max(0.0, min(low, rate - spread)),
        min(1.0, max(high, rate + spread)),
        len(read),
    )


def _recovered(
    rate: float, both: tuple[Stratum, Stratum], asked: stats.Clustered
) -> tuple[float, float]:
    """The interval of ``rate``: of the strata's shares, and of the questions.

    MOVER for a sum: ``rate - sqrt(sum (w_k (p_k - l_k))² + (p - l)²)``, and likewise upward (Zou
    and Donner 2008, doi:10.1002/sim.3095; for shares: Zou, Huang and Zhang 2009, Computational
    Statistics and Data Analysis 53, pp. 1080-1085). The last term is that other questions would
    have been answered otherwise: ``asked`` has each reply as people read it, else as its stratum.
    """
    down = [s.weight * (s.share - s.low) for s in both]
    up = [s.weight * (s.high - s.share) for s in both]
    low = rate - math.hypot(*down, asked.rate - asked.low)
    return low, rate + math.hypot(*up, asked.high - asked.rate)


def _linear(
    rate: float,
    both: tuple[Stratum, Stratum],
    said: npt.NDArray[np.bool_],
    questions: Places,
    read: Places,
    yes: Floats,
) -> float:
    """Half the interval by what each question adds to the estimate (a linearised variance).

    Question q adds ``sum over its replies (p_k - rate) / n + sum over those read w_k (y - p_k) /
    m_k``; the variance is ``k / (k - 1)`` times the sum of squares over the k questions, and
    Student's t has one degree of freedom less than there are questions among those read (Särndal,
    Swensson and Wretman 1992, Model Assisted Survey Sampling, 6.6 and 9.8).
    """
    _, place = np.unique(questions, return_inverse=True)
    asked, heard = int(place.max()) + 1, len(np.unique(place[read]))
    if asked < 2 or heard < 2:
        return 0.0
    share = np.array([s.share for s in both])
    a_read = np.array([s.weight / s.read if s.read else 0.0 for s in both])
    word = said.astype(np.intp)
    adds = np.bincount(place, weights=(share[word] - rate) / len(said), minlength=asked)
    of_read = a_read[word[read]] * (yes - share[word[read]])
    adds = adds + np.bincount(place[read], weights=of_read, minlength=asked)
    variance = asked / (asked - 1) * float((adds * adds).sum())
    t: Any = special.stdtrit(heard - 1, 0.975)
    return float(t) * math.sqrt(variance)
