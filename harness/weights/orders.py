"""In which order rows stand, and how hidden dimensions were turned: found from numbers alone.

Rows are paired by their cosines, so that the sum over all pairs is largest (the assignment problem;
scipy's `linear_sum_assignment`, after Crouse 2016). An order is believed where two halves of the
evidence give it apart: for the neurons of an MLP the rows of its gate and of its up projection (Zhu
et al., *Independence Tests for Language Models*, ICML 2025, arXiv 2502.12292), for hidden
dimensions the columns of the embedding over two halves of the tokens (after AWM, arXiv 2510.06738).
Of models that never met, the two orders are independent.

A rotation is the one nearest to the embeddings (orthogonal Procrustes, Schoenemann 1966; of models:
MDIR, arXiv 2508.06309), measured on tokens that had no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Numbers = npt.NDArray[np.floating]
Order = npt.NDArray[np.intp]
#: Rows that are assigned at once; of more, those are paired that are each other's nearest.
AT_ONCE: Final = 4096
#: An order is believed where the pairs' median cosine, and the share of pairs that both halves of
#: the evidence give, are this much; a rotation from this cosine on, on tokens held out.
#: (`python benchmarks/invariants.py` prints what models reach that never met.)
ALIKE: Final = 0.5
AGREE: Final = 0.5
TURNED: Final = 0.7
#: An order that raises the mean cosine by less than this is the one that stood there.
GAIN: Final = 0.02
#: One in so many tokens is held out, and steps between turning and mixing.
HELD_OUT: Final = 10
STEPS: Final = 60
CLOSE: Final = 1e-7


class Paired(NamedTuple):
    """For each row of a parent its partner in the suspect, with the cosine of the two."""

    order: Order
    cosines: Numbers

    @property
    def typical(self) -> float:
        return float(np.median(self.cosines))

    @property
    def moved(self) -> int:
        """Rows that stand in another place."""
        return int(np.count_nonzero(self.order != np.arange(len(self.order))))


class Twice(NamedTuple):
    """An order from all of the evidence, and how far two halves of it agree on it.

    ``agree`` is the share of rows that both halves give the same partner; ``p_log10`` is of
    Spearman's correlation of the two orders, one-sided, which Zhu et al. take for their statistic.
    """

    paired: Paired
    agree: float
    p_log10: float

    @property
    def believed(self) -> bool:
        return self.paired.typical >= ALIKE and self.agree >= AGREE


def unit(rows: Numbers) -> Numbers:
    """Rows scaled to length 1."""
    with np.errstate(over="ignore"):  # absurd numbers get length 0
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(1e-30, lengths), np.float32)


def paired(theirs: Numbers, mine: Numbers) -> Paired:
    """Pair the rows of two matrices of one shape (each of length 1) one to one.

    They stay where they are, if pairing them anew gains hardly anything.
    """
    found, own = _paired(theirs, mine), np.einsum("ij,ij->i", theirs, mine)
    if float(np.mean(found.cosines) - np.mean(own)) < GAIN:
        return Paired(np.arange(len(own)), own)
    return found


def _paired(theirs: Numbers, mine: Numbers) -> Paired:
    n = len(theirs)
    if n <= AT_ONCE:
        return _assigned(theirs, mine)
    there, back = _nearest(theirs, mine), _nearest(mine, theirs)
    mutual = back[there] == np.arange(n)
    order = np.where(mutual, there, -1)
    left, free = np.flatnonzero(~mutual), np.setdiff1d(np.arange(n), there[mutual])
    some = left if len(left) > AT_ONCE else left[_assigned(mine[free], theirs[left]).order]
    order[some] = free
    return Paired(order, np.einsum("ij,ij->i", theirs, mine[order]))


def _assigned(theirs: Numbers, mine: Numbers) -> Paired:
    from scipy.optimize import linear_sum_assignment  # a second to import, and seldom needed

    cosines = theirs @ mine.T
    order = np.asarray(linear_sum_assignment(cosines, maximize=True)[1], np.intp)
    return Paired(order, cosines[np.arange(len(order)), order])


def _nearest(rows: Numbers, among: Numbers) -> Order:
    step = max(1, (1 << 24) // len(among))
    parts = [np.argmax(rows[at : at + step] @ among.T, axis=1) for at in range(0, len(rows), step)]
    return np.concatenate(parts)


def twice(theirs: Sequence[Numbers], mine: Sequence[Numbers]) -> Twice:
    """Pair rows by each of two matrices that share their rows, and by both together."""
    units = [(unit(a), unit(b)) for a, b in zip(theirs, mine, strict=True)]
    first, second = (paired(a, b).order for a, b in units)
    both = (np.hstack(side) / math.sqrt(2) for side in zip(*units, strict=True))
    return Twice(paired(*both), float(np.mean(first == second)), spearman(first, second))


def spearman(first: Order, second: Order) -> float:
    """log10 of the one-sided p-value of Spearman's correlation of two orders, by Student's t."""
    n = len(first)
    if n < 3:
        return 0.0
    rho = float(np.corrcoef(first, second)[0, 1])
    if rho > 1 - 1e-12:
        return -math.inf
    t = rho * math.sqrt((n - 2) / (1 - rho**2))
    p = float(special.stdtr(n - 2, -t))
    return math.log10(p) if p > 0 else -math.inf


class Turn(NamedTuple):
    """Hidden dimensions of a suspect, turned: its embedding is a blend of the parents' times this.

    ``shares`` are the parents' in that blend; ``cosine`` is measured on tokens held out.
    """

    matrix: Numbers
    shares: tuple[float, ...]
    cosine: float

    @property
    def believed(self) -> bool:
        return self.cosine >= TURNED


def turn(theirs: Sequence[Numbers], mine: Numbers) -> Turn:
    """The rotation, and the blend of the parents, that come nearest to a suspect's embedding.

    Each is found with the other held fixed, in turn, until neither moves.

    Parameters
    ----------
    theirs, mine
        Embeddings, tokens x hidden dimensions.
    """
    held = np.arange(len(mine)) % HELD_OUT == HELD_OUT - 1
    centre = mine[~held].mean(axis=0)
    s, rest = mine[~held] - centre, mine[held] - centre
    parents = [(p[~held] - p[~held].mean(axis=0), p[held] - p[~held].mean(axis=0)) for p in theirs]
    gram = np.array([[float(np.vdot(p, q)) for q, _ in parents] for p, _ in parents])
    singles = [_procrustes(p, s) for p, _ in parents]
    fits = [
        float(np.vdot(p @ r, s)) / max(1e-30, float(np.linalg.norm(p)))
        for (p, _), r in zip(parents, singles, strict=True)
    ]
    matrix = singles[int(np.argmax(fits))]
    shares = np.zeros(len(parents))
    for _ in range(STEPS):
        back = s @ matrix.T
        right = np.array([float(np.vdot(p, back)) for p, _ in parents])
        found = np.linalg.pinv(gram, rcond=1e-10, hermitian=True) @ right
        if np.abs(found - shares).max() < CLOSE:
            break
        shares = found
        matrix = _procrustes(_blend(shares, [p for p, _ in parents]), s)
    blend = _blend(shares, [q for _, q in parents]) @ matrix
    cosines = np.einsum("ij,ij->i", unit(blend), unit(rest))
    return Turn(matrix, tuple(map(float, shares)), float(np.mean(cosines)))


def _blend(shares: Numbers, of: Sequence[Numbers]) -> Numbers:
    return np.asarray(sum(share * p for share, p in zip(shares, of, strict=True)))


def _procrustes(theirs: Numbers, mine: Numbers) -> Numbers:
    """The orthogonal matrix R for which theirs R is nearest to mine."""
    u, _, vt = np.linalg.svd(theirs.T @ mine)
    return np.asarray(u @ vt)
