"""Has a rate changed since the baseline? Tests that may be looked at after every audit.

The null: all samples, those of the baseline too, have one rate per question. The alternative: since
some audit they have another. With H of N hits in all, and B(h, n) the probability of a sequence
under Jeffreys' prior,

    E = sum over tau of w(tau) B(before tau) B(from tau on) / max over p of p^H (1 - p)^(N - H)

is at most an e-process: its denominator is at least the true likelihood (universal inference:
Wasserman, Ramdas and Balakrishnan 2020, doi:10.1073/pnas.1922664117), its numerator a mixture of
products of constant rates, and for questions that differ in their rates such a product is at most
what equal rates would give. So the chance that E ever reaches 1/alpha without a change is at most
alpha (Ville 1939), however often and for however long one looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.stats import holm

Floats = npt.NDArray[np.floating[Any]]


class Counts(NamedTuple):
    """Hits among samples."""

    hits: int
    samples: int


class Change(NamedTuple):
    """The evidence of a change."""

    #: Natural log of the e-value.
    log_e: float
    #: The audit since when it is likeliest: its place among the later ones.
    since: int


def marginal(hits: Any, samples: Any) -> Any:
    """Log probability of a sequence with so many hits, its rate drawn from Jeffreys' prior."""
    return special.betaln(hits + 0.5, samples - hits + 0.5) - special.betaln(0.5, 0.5)


def greatest(hits: Any, samples: Any) -> Any:
    """Log likelihood of a sequence under the rate that suits it best."""
    misses, count = samples - hits, np.maximum(samples, 1)
    return special.xlogy(hits, hits / count) + special.xlogy(misses, misses / count)


def places(later: int) -> list[int]:
    """Audits at which a change may have begun.

    Seen from the last: that one, and 1, 2, 4, 8 ... before it. Fewer terms only make E smaller.
    """
    steps_back = (0, *(2**i for i in range(later.bit_length())))
    return sorted({max(0, later - 1 - back) for back in steps_back})


def log_weight(place: int) -> float:
    """Log of 1 / ((tau + 1)(tau + 2)), which sums to one over all places."""
    return -math.log((place + 1) * (place + 2))


def change(baseline: Counts, later: Sequence[Counts]) -> Change:
    """The evidence, after the last of some audits, that a rate is no longer the baseline's."""
    if not later or not sum(c.samples for c in later) or not baseline.samples:
        return Change(0.0, 0)
    hits = np.cumsum([0, *(c.hits for c in later)])
    samples = np.cumsum([0, *(c.samples for c in later)])
    null = greatest(baseline.hits + hits[-1], baseline.samples + samples[-1])
    begun, logs = places(len(later)), []
    for at in begun:
        before = marginal(baseline.hits + hits[at], baseline.samples + samples[at])
        since = marginal(hits[-1] - hits[at], samples[-1] - samples[at])
        logs.append(log_weight(at) + float(before + since - null))
    return Change(float(special.logsumexp(logs)), begun[int(np.argmax(logs))])


def mixed(changes: Sequence[Change]) -> Change:
    """The mean of several e-values of one question: an e-value again.

    Such as one for each length that a reply may pass.
    """
    best = max(changes, key=lambda c: c.log_e)
    total = float(special.logsumexp([c.log_e for c in changes]))
    return Change(total - math.log(len(changes)), best.since)


def adjusted(changes: Sequence[Change]) -> list[float]:
    """P-values 1/E, adjusted over all that is watched (Holm).

    They too may be looked at at any time.
    """
    return holm([min(1.0, math.exp(-min(c.log_e, 700.0))) for c in changes])
