"""Replies that are missing: how far they could move a rate, and whether they are missing at random.

Missing is what was asked and not scored: failed, cut, filtered, empty. An arm that a target does
not support was not asked. A reply may be missing *because* of what it says (a filter that stops a
name, a long story that is cut), and no test on what came back can see that: only bounds hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import special, stats
from harness.counting.counted import ByQuestion, Counted, Places

MISSING: Final = ("failed", "truncated", "filtered", "empty", "misrouted")
#: Missing replies whose places among the questions are counted out.
FEW: Final = 30


def by_status(row: Any) -> dict[str, int]:
    """Missing replies of a tally's row; a status that its table does not have counts as none."""
    return {s: 0 if pd.isna(row.get(s)) else int(row[s]) for s in MISSING}


class Asked(NamedTuple):
    """Replies that are missing, and those asked for, by question."""

    questions: Places
    missing: Places
    asked: Places

    @property
    def share(self) -> float:
        """The share that is missing; 0 where nothing was asked."""
        return float(self.missing.sum()) / max(1, int(self.asked.sum()))


def asked(run: Counted, status: npt.NDArray[np.object_], places: Places) -> Asked:
    """What was asked at some places of a run; ``status`` is by sample."""
    numbers, there = run.questions[places], status[places]
    gone = np.isin(there, MISSING)
    wanted = gone | (there == "ok")
    sizes = np.bincount(numbers[wanted])
    missing = np.bincount(numbers[gone], minlength=len(sizes))
    found = np.flatnonzero(sizes)
    return Asked(found, missing[found], sizes[found])


def bounds(by: ByQuestion, all_asked: Asked) -> stats.Interval:
    """The interval of a rate, whatever the missing replies would have said.

    Lower end: of the rate if none of them shows the identity. Upper end: if all do. They hold with
    no assumption on why replies are missing (Manski 1989, Journal of Human Resources 24(3),
    doi:10.2307/145818; ends of two-sided intervals on both bounds: Horowitz and Manski 2000,
    doi:10.1080/01621459.2000.10473902).
    """
    hits = np.zeros(len(all_asked.questions), dtype=np.intp)
    hits[np.searchsorted(all_asked.questions, by.questions)] = by.hits
    least = ByQuestion(all_asked.questions, hits, all_asked.asked).estimate
    most = ByQuestion(all_asked.questions, hits + all_asked.missing, all_asked.asked).estimate
    if least is None or most is None:
        return stats.Interval(0.0, 1.0)
    return stats.Interval(least.low, most.high)


def p_by_arm(arm: Asked, others: Sequence[Asked]) -> float | None:
    """Whether one arm misses more or fewer replies than the others: a p-value.

    Replies change arms within their question only, exactly (`stats.permutation_within`). None
    where there is no other arm, or nothing is missing anywhere.
    """
    if not others or not (arm.missing.any() or any(other.missing.any() for other in others)):
        return None
    most = 1 + max(int(one.questions.max(initial=0)) for one in (arm, *others))
    gone, of = np.zeros((2, most), dtype=np.intp), np.zeros((2, most), dtype=np.intp)
    for side, one in ((0, arm), *((1, other) for other in others)):
        gone[side, one.questions] += one.missing
        of[side, one.questions] += one.asked
    return stats.permutation_within(gone[0], of[0], gone[1], of[1])


def p_by_question(arm: Asked) -> float | None:
    """Whether some questions miss more replies than others: a p-value.

    That is, if the missing replies fell on any of those asked alike. Up to `FEW` of them are
    counted exactly, by how many pairs of them share a question. More: Pearson's chi square of the
    table question x missing, by a gamma distribution that has its exact mean and variance (moments
    of the multivariate hypergeometric distribution; Haldane 1940, Biometrika 31(3/4),
    doi:10.1093/biomet/31.3-4.346). None where fewer than two replies are missing or all are, with
    one question, and where each was asked once.
    """
    gone = int(arm.missing.sum())
    if len(arm.asked) < 2 or gone < 2 or gone == arm.asked.sum() or arm.asked.max() < 2:
        return None
    return _pairs(arm, gone) if gone <= FEW else _chi_square(arm, gone)


def _pairs(arm: Asked, gone: int) -> float:
    """The chance of as many pairs of missing replies within questions: over all placements."""
    pairs = gone * (gone - 1) // 2
    ways = np.zeros((gone + 1, pairs + 1))  # by missing replies placed, and pairs among them
    ways[0, 0] = 1.0
    for size in arm.asked.tolist():
        placed = np.zeros_like(ways)
        for x in range(min(size, gone) + 1):
            more = x * (x - 1) // 2
            chance = special.binom(size, x) / 2.0**size
            placed[x:, more:] += chance * ways[: gone + 1 - x, : pairs + 1 - more]
        ways = placed / placed.max()
    seen = int((arm.missing * (arm.missing - 1) // 2).sum())
    return min(1.0, float(ways[gone, seen:].sum() / ways[gone].sum()))


def _chi_square(arm: Asked, gone: int) -> float:
    m, x = arm.asked.astype(float), arm.missing.astype(float)
    n, k = m.sum(), len(m)
    f1, f2, f3, f4 = np.cumprod([(gone - i) / max(1.0, n - i) for i in range(4)])
    less = m - 1
    mean = float((less * f2 + f1).sum())
    fourth = less * (m - 2) * (m - 3) * f4 + 6 * less * (m - 2) * f3 + 7 * less * f2 + f1
    pairs = (less.sum() ** 2 - (less**2).sum()) * f4
    pairs += 2 * (k - 1) * less.sum() * f3 + k * (k - 1) * f2
    variance = float((fourth / m).sum() + pairs) - mean * mean
    least = gone * gone / n  # of sum x²/m, where chi square is 0
    beyond, scale = float((x * x / m).sum()) - least, variance / (mean - least)
    return float(special.gammaincc((mean - least) / scale, max(0.0, beyond) / scale))
