"""How a rate is spread: over few questions, and over languages.

An interval by question is for questions like those asked, in the languages that were asked. Where
languages differ, it says nothing of others: `by_language` does, as far as so few can.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness import stats

Whole = npt.NDArray[np.integer]


def half_from(hits: Whole) -> int:
    """The fewest questions that give half of the hits, or more; 0 where there is no hit."""
    most = np.sort(hits)[::-1].cumsum()
    return int(np.searchsorted(2 * most, most[-1])) + 1 if len(most) and most[-1] else 0


def by_language(found: stats.Clustered, hits: Whole, sizes: Whole) -> stats.Interval:
    """The interval for languages like those asked, and questions like those asked in them.

    ``hits`` and ``sizes`` are by language, ``found`` is the rate by question. Languages are the
    clusters of `stats.clustered`, and what questions add comes on top: ``p - sqrt((p - l_language)²
    + (p - l_question)²)``, likewise upward (MOVER for a sum: Zou and Donner 2008,
    doi:10.1002/sim.3095). A part of what questions add is in both, so it errs on the wide side.
    Two languages leave Student's t one degree of freedom: the interval is then nearly all from
    0 to 1, and that is what two languages say of a third.
    """
    wide = stats.clustered(hits, sizes)
    low = found.rate - math.hypot(wide.rate - wide.low, found.rate - found.low)
    high = found.rate + math.hypot(wide.high - wide.rate, found.high - found.rate)
    return stats.Interval(max(0.0, low), min(1.0, high))
