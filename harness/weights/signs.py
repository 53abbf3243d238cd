"""What single tensors show: the kind of their fit, an arc, and what a second look finds.

The arc is one between the parents; the second look is at some rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.weights.decode import Real, grid, rounding
from harness.weights.elements import Elements, elements
from harness.weights.fit import Fit, first_guess
from harness.weights.residual import Residual, residual

#: Residuals up to so many times the rounding of the stored type are rounding: merging tools round
#: several times on the way.
EXACT: Final = 2.5
#: A tensor whose best combination of all parents leaves this share of its length (or more) shares
#: nothing with them.
UNRELATED: Final = 0.9
#: Parents that differ by less than so many times the rounding of the stored type (about one and a
#: half grid steps) cannot be told from it.
CLOSE: Final = 5.0
#: A blend's difference to the base points to the donors with this cosine, or more.
POINTS: Final = 0.8
#: Z-score from which a direction counts as found.
FOUND: Final = 6.0
#: From this share of NaN and infinite numbers on, or with so many times the base's length, a tensor
#: holds no weights of a model that works.
NOT_FINITE: Final = 0.01
HUGE: Final = 1e3
#: By the base's length a tensor of zeros is no longer than this: sums have sixteen digits.
EMPTY: Final = 1e-6
#: Share of numbers left at the base's, beyond what rounding explains, from which a merge is sparse.
DROPPED: Final = 0.02
#: Share of a difference's energy that is no rank of its own, but the arithmetic's.
NOTHING: Final = 1e-10

Kind = Literal[
    "same as base",
    "same as donor",
    "blend",
    "arc",
    "near",
    "unrelated",
    "parents equal",
    "too close",
    "changed",
    "no weights",
]


def kind_of(fit: Fit, quantised: bool = False) -> Kind:
    """What one tensor shows by itself.

    A quantised suspect has a grid of its own, not its parents', so its rounding does not follow
    their difference.
    """
    if senseless(fit) is not None:
        return "no weights"
    if max(fit.parents_distance) < 1e-6:
        return "parents equal" if fit.base_in_rounding < EXACT else "changed"
    if fit.base_in_rounding < 0.01:
        return "same as base"
    if min(fit.donors_in_rounding) < 0.01:
        return "same as donor"
    if fit.free_residual > UNRELATED:
        return "unrelated"
    if min(fit.parents_in_rounding) < CLOSE and not quantised:
        return "too close"
    if arc(fit) is not None:
        return "arc"
    # beyond the parents, their own rounding is stretched, too
    within = EXACT * max(1.0, *map(abs, fit.free))
    z = max(abs(a) / max(e, 1e-300) for a, e in zip(fit.a, fit.se, strict=True))
    points = abs(fit.cosine) > POINTS or (quantised and z > FOUND)
    return "blend" if fit.in_rounding <= within and points else "near"


def senseless(fit: Fit) -> str | None:
    """What a tensor holds instead of weights, if it does: zeros, NaN, absurdly large numbers."""
    if fit.not_finite > NOT_FINITE * fit.read:
        return "NaN or infinite numbers"
    if fit.size < EMPTY and fit.base_distance > 0:
        return "zeros"
    if HUGE < fit.size < math.inf:
        return f"numbers over {HUGE:,.0f} times as large as the parents'"
    return None


class Arc(NamedTuple):
    """Spherical interpolation: the angle between the parents (radians), and the place on it.

    At 0 lies the base, at 1 the donor.
    """

    angle: float
    t: float


def arc(fit: Fit) -> Arc | None:
    """The arc between two parents that the free coefficients lie on (Shoemake 1985).

    None, if they do not lie beside the line and on the arc. On an arc of angle w the coefficients
    are sin(t w) / sin(w) and sin((1 - t) w) / sin(w); their sum is above 1 by about
    t (1 - t) w^2 / 2.
    """
    if len(fit.a) != 1 or not -1 < fit.parents_cosine[0] < 1:
        return None
    angle = math.acos(fit.parents_cosine[0])
    donor, base = fit.free
    if donor <= 0.02 or base <= 0.02 or angle < 1e-3:
        return None
    ratio = donor / base
    t = math.atan2(ratio * math.sin(angle), 1 + ratio * math.cos(angle)) / angle
    expected = (math.sin(t * angle) + math.sin((1 - t) * angle)) / math.sin(angle) - 1
    seen = donor + base - 1
    if seen < 5 * fit.free_sum_se:
        return None
    if abs(seen - expected) > max(0.2 * expected, 4 * fit.free_sum_se):
        return None
    if fit.free_in_rounding > min(2 * EXACT, 0.95 * fit.in_rounding):
        return None
    return Arc(angle, t)


class Look(NamedTuple):
    """A second look at some rows of one tensor."""

    #: Of the numbers where donor and base clearly differ, the share where the suspect has the
    #: base's.
    zeros: float
    #: The share of them at which an exact blend would show the base's number, too.
    zeros_expected: float
    #: Share of all numbers that are not the base's.
    moved: float
    #: The ratio over the others, and its residual by the rounding.
    kept: float
    kept_in_rounding: float
    #: The chance that a number left at the base's lies where donor and base differ more than at
    #: one that was not: 0 for TIES, 0.5 for DARE.
    auc: float
    #: Rank of (suspect - base) and of (suspect - donor) above the rounding; None where they have
    #: no low rank.
    base_rank: int | None
    donor_rank: int | None
    #: Different values in a row of the suspect, by those in the base's.
    levels: float
    #: Distance to the nearer of base and first donor, by the rounding of the grid that the rows
    #: seem to stand on.
    in_grid: float
    #: What sets the rows apart from their parents; None where that is rounding.
    residual: Residual | None
    #: What numbers and rows show one by one; None beside one parent.
    elements: Elements | None


def look(s: Real, donors: Sequence[Real], b: Real, bits: int, ranks: bool = True) -> Look:
    """Look at some rows (rows x columns) of a suspect, its donors and its base.

    Parameters
    ----------
    bits
        As in `fit`.
    ranks
        Whether to look for low ones, too.
    """
    y, x = s - b, [d - b for d in donors]
    step = np.exp2(np.floor(np.log2(np.maximum(np.abs(s), 1e-30))) + 1 - (bits or 8))
    clear = np.logical_or.reduce([np.abs(xi) > 1.5 * step for xi in x])
    ratios = first_guess(s, list(donors), b)
    blend = b + sum(a * xi for a, xi in zip(ratios, x, strict=True))
    expected = float((np.abs(blend - b) < step / 2)[clear].mean()) if clear.any() else 0.0
    dropped = clear & (np.abs(y) <= step / 2)  # the base's number, as the stored type shows it
    kept = clear & ~dropped
    zeros = float(dropped.sum() / max(1, clear.sum()))
    multiple = _multiple(x[0][kept], y[kept], step[kept])
    largest = np.maximum.reduce([np.abs(xi) for xi in x])
    nearest = min(float((y * y).sum()), float(((s - donors[0]) ** 2).sum()))
    return Look(
        zeros=zeros,
        zeros_expected=expected,
        moved=float((np.abs(y) > step / 2).mean()),
        kept=multiple.ratio,
        kept_in_rounding=multiple.in_rounding,
        auc=_auc(largest[dropped], largest[kept]) if zeros > DROPPED else math.nan,
        base_rank=_rank(y, s, bits) if ranks and bits else None,
        donor_rank=_rank(s - donors[0], s, bits) if ranks and bits else None,
        levels=_levels(s) / _levels(b),
        in_grid=math.sqrt(nearest / max(1e-300, grid(s))),
        residual=residual(s, donors, b, blend, bits) if ranks and bits else None,
        elements=elements(s, donors, b, ratios.tolist(), step),
    )


def look_beside(s: Real, parent: Real, bits: int, ranks: bool = True) -> Look:
    """The same beside one parent: what tells of two is not there."""
    apart = float(((s - parent) ** 2).sum())
    look = bool(ranks and bits)
    return Look(
        zeros=math.nan,
        zeros_expected=math.nan,
        moved=float((s != parent).mean()),
        kept=math.nan,
        kept_in_rounding=math.nan,
        auc=math.nan,
        base_rank=None,
        donor_rank=_rank(s - parent, s, bits) if look else None,
        levels=_levels(s) / _levels(parent),
        in_grid=math.sqrt(apart / max(1e-300, grid(s))),
        residual=residual(s, [], parent, parent, bits) if look else None,
        elements=None,
    )


class _Multiple(NamedTuple):
    """How many times a difference some numbers are, and the residual by the rounding."""

    ratio: float
    in_rounding: float


def _multiple(x: Real, y: Real, step: Real) -> _Multiple:
    if not len(y):
        return _Multiple(math.nan, math.inf)
    ratio = float((x @ y) / max(1e-300, x @ x))
    rest = y - ratio * x
    rounded = max(1e-300, float(step @ step) / 12)
    return _Multiple(ratio, math.sqrt(float(rest @ rest) / rounded))


def _levels(rows: Real) -> float:
    """How many different values a row has; a median over some."""
    return float(np.median([len(np.unique(row)) for row in rows[:8]]))


def _auc(dropped: npt.NDArray[np.floating], kept: npt.NDArray[np.floating]) -> float:
    """Mann and Whitney's statistic by its maximum, ties counted half."""
    if not len(dropped) or not len(kept):
        return math.nan
    from scipy import stats as distributions  # a second to import, and seldom needed

    return float(distributions.mannwhitneyu(dropped, kept).statistic / (len(dropped) * len(kept)))


def _rank(difference: Real, s: Real, bits: int) -> int | None:
    """Rank above the rounding, if it is low and nothing else is left.

    Squared singular values over the edge that noise of that variance has (Marchenko and
    Pastur 1967).
    """
    if not difference.any():
        return None
    noise, scratch = 0.0, np.empty_like(s)
    # a change is rounded when it is computed, and when it is scaled, before it is added
    for rounded in (s, difference, difference):
        noise += rounding(np.ascontiguousarray(rounded), bits, scratch)
    d = difference.astype(np.float64)
    if d.shape[0] > d.shape[1]:
        d = d.T
    # no product of d with itself: it would drown what is small
    values = np.linalg.svd(np.linalg.qr(d.T, mode="r"), compute_uv=False) ** 2
    edge = 1.5 * noise / d.size * (math.sqrt(d.shape[0]) + math.sqrt(d.shape[1])) ** 2
    rank = int((values > edge).sum())
    # so many leave nothing worth a rank
    left = np.cumsum(values[::-1])[::-1]
    exact = int(np.searchsorted(-left, -NOTHING * float(values.sum())))
    rank = min(rank, exact) if exact else rank
    low = 1 <= rank <= min(d.shape) // 4 and float(values[rank:].sum()) <= 4 * noise
    return rank if low else None
