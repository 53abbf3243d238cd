"""Intervals for rates."""

from __future__ import annotations

import math
from typing import NamedTuple


class Interval(NamedTuple):
    low: float
    high: float


def wilson(hits: int, samples: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval for a binomial rate.

    ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`` with ``p = hits / samples``; in rates from 0 to 1.
    It holds for independent samples. Source: Wilson 1927, JASA 22(158), doi:10.1080/01621459.1927.10502953.

    Raises
    ------
    ValueError
        If ``samples`` is below 1 or ``hits`` lies outside 0 to ``samples``.
    """
    if samples < 1 or not 0 <= hits <= samples:
        raise ValueError(f"no rate can be formed of {hits} hits in {samples} samples")
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    p, n = hits / samples, samples
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return Interval(0.0 if hits == 0 else max(0.0, low), 1.0 if hits == n else min(1.0, high))
