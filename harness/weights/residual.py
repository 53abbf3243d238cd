"""What sets a matrix apart from its parents: noise, zeros, scaling, or none of these.

White noise has no direction: the largest singular value of its matrix stays at the edge of
Marchenko and Pastur (1967), and its fourth moment is a normal one's. What training writes has few
directions and stands far above that edge; what quantising leaves is flat, with a kurtosis of 1.8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.weights.decode import Real, rounding

#: The largest singular value of white noise by its edge is at most this; its kurtosis is 3, up to
#: so much.
EDGE: Final = 1.1
KURTOSIS: Final = 0.3
#: Numbers of a block that quantising scales together, and different values among them (by those
#: of the base) from which on there are too few for anything else.
BLOCK: Final = 32
REPEATS: Final = 0.85
#: Share of a matrix's numbers that are zero, and not the parent's, from which it was pruned.
ZEROED: Final = 0.05
#: Numbers that the shape of noise takes.
ENOUGH: Final = 1024


Wide = npt.NDArray[np.float64]


class Residual(NamedTuple):
    """What is left of a matrix beside the fit, and beside its nearest parent."""

    #: Root of the mean square beside the fit, and by that of the suspect's numbers.
    size: float
    share: float
    #: Largest singular value by the edge of white noise, and kurtosis.
    edge: float
    kurtosis: float
    #: Different values among neighbours, by those of the base: few on a grid of few steps a block.
    repeats: float
    #: The nearest parent: 0 for the base, 1 and up for the donors.
    nearest: int
    #: Share of numbers that are zero and not the parent's, and what the others leave beside the
    #: parent, by the rounding.
    zeroed: float
    kept_in_rounding: float
    #: Whether all is a multiple of the parent's: "matrix", "row" or "column", and the factors'
    #: least and largest.
    scaled: str | None
    factors: tuple[float, float]

    @property
    def white(self) -> bool:
        return self.edge < EDGE and abs(self.kurtosis - 3) < KURTOSIS

    @property
    def flat(self) -> bool:
        """Whether it is the rounding of a grid of few steps, whose scale each block may have."""
        return self.repeats < REPEATS and self.kurtosis < 3 - KURTOSIS


def residual(s: Real, donors: Sequence[Real], b: Real, blend: Real, bits: int) -> Residual:
    """What is left of some rows of a suspect beside a blend of its parents, and beside the nearest.

    Parameters
    ----------
    bits
        Of the stored significand.
    """
    rest = (s - blend).astype(np.float64)
    parents = [b, *donors]
    nearest = int(np.argmax(np.array([_parallel(s, p) for p in parents])))
    parent = parents[nearest].astype(np.float64)
    size = float(np.sqrt(np.mean(rest**2)))
    zeroed = (s == 0) & (parent != 0)
    kept = ~zeroed
    noise = max(1e-300, rounding(np.ascontiguousarray(s), bits, np.empty_like(s)))
    beside = float(((s - parent)[kept] ** 2).sum())
    how, factors = _scaled(s.astype(np.float64), parent, noise)
    return Residual(
        size=size,
        share=size / max(1e-300, float(np.sqrt(np.mean(s.astype(np.float64) ** 2)))),
        edge=_edge(rest),
        kurtosis=float(np.mean(rest**4)) / max(1e-300, float(np.mean(rest**2)) ** 2),
        repeats=_different(s) / max(1e-300, _different(b)),
        nearest=nearest,
        zeroed=float(zeroed.mean()),
        kept_in_rounding=math.sqrt(beside / noise),
        scaled=how,
        factors=factors,
    )


def _different(rows: Real) -> float:
    """How many different values a block of neighbours holds; the mean over some rows."""
    whole = rows[:64, : rows.shape[1] // BLOCK * BLOCK]
    if not whole.size:
        return math.nan
    blocks = np.sort(whole.reshape(-1, BLOCK), axis=1)
    return float(1 + np.mean(np.count_nonzero(np.diff(blocks, axis=1), axis=1)))


def _parallel(s: Real, p: Real) -> float:
    """The cosine of two matrices as vectors."""
    squares = float(np.vdot(s, s)), float(np.vdot(p, p))
    lengths = math.sqrt(squares[0] * squares[1])
    return float(np.vdot(s, p)) / max(1e-300, lengths)


def _edge(rest: Wide) -> float:
    """The largest singular value by that of white noise of this size; infinite, if too small."""
    rows, columns = rest.shape
    size = float(np.sqrt(np.mean(rest**2)))
    if rest.size < ENOUGH or min(rows, columns) < 8 or not size:
        return math.inf
    gram = rest @ rest.T if rows <= columns else rest.T @ rest
    largest = math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1])))
    return float(largest / (size * (math.sqrt(rows) + math.sqrt(columns))))


def _scaled(s: Wide, parent: Wide, noise: float) -> tuple[str | None, tuple[float, float]]:
    """Whether a matrix, its rows or its columns are multiples of a parent's, up to the rounding."""
    for how, axis in (("matrix", None), ("row", 1), ("column", 0)):
        if axis is not None and s.shape[axis] < 8:
            continue
        square = np.sum(parent * parent, axis=axis, keepdims=True)
        factor = np.sum(s * parent, axis=axis, keepdims=True) / np.maximum(square, 1e-300)
        left = float(((s - factor * parent) ** 2).sum())
        if left <= SCALED**2 * noise:
            return how, (float(factor.min()), float(factor.max()))
    return None, (math.nan, math.nan)


#: Scaling leaves so many roundings at most.
SCALED: Final = 3.0
