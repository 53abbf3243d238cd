"""What single numbers and rows show of a merge that no ratio of whole matrices does.

Each is tried in some rows: numbers that were left at the base's, one step for all, arcs by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from harness.weights.decode import Real

#: A blend moves a number clearly by so many steps of its stored type.
CLEARLY: Final = 4.0
#: Rows whose parents are nearer than this angle (radians) lie on a line, not on an arc.
FLAT: Final = 1e-3
#: Numbers that a share takes.
FEW: Final = 64


class Elements(NamedTuple):
    """What some rows of one tensor show, number by number.

    ``left``: of the numbers that the fitted blend moves clearly away from the base, the share at
    which the suspect shows the base's (NaN where there are few). ``largest_left``: the same of the
    largest fiftieth of all differences. ``step``: the most that any number was moved; and what is
    left, by the rounding, if each was moved towards the donor by that, or onto it. ``place`` on the
    arc between base and donor, row by row, its spread, and what is left of that by the rounding.
    """

    left: float
    largest_left: float
    step: float
    step_in_rounding: float
    place: float
    place_spread: float
    place_in_rounding: float


def elements(
    s: Real, donors: Sequence[Real], b: Real, ratios: Sequence[float], steps: Real
) -> Elements:
    """Look at rows (rows x columns) of a suspect, its donors and its base.

    ``ratios`` are those of the fitted blend; ``steps`` are the stored type's, number by number.
    """
    y, x = s - b, [d - b for d in donors]
    stays = np.abs(y) <= steps / 2
    move = np.abs(sum(a * one for a, one in zip(ratios, x, strict=True)))
    clearly = move > CLEARLY * steps
    largest = np.maximum.reduce([np.abs(one) for one in x])
    top = largest >= np.quantile(largest, 0.98)
    step, step_left = _one_step(y, x[0], steps) if len(x) == 1 else (math.nan, math.inf)
    arc = _by_row(s, donors[0], b, steps) if len(x) == 1 else (math.nan, math.inf, math.inf)
    left = float(stays[clearly].mean()) if clearly.sum() >= FEW else math.nan
    return Elements(left, float(stays[top].mean()), step, step_left, *arc)


def _one_step(y: Real, x: Real, steps: Real) -> tuple[float, float]:
    """``y = clip(x, -T, T)``: the T, and what that leaves by the rounding.

    Nothing is said where hardly a number stops short of the donor's, or hardly one reaches it.
    """
    step = float(np.abs(y).max())
    far = np.abs(x) > 2 * step  # these stop short however the largest was rounded
    step = float(np.abs(y[far]).mean()) if far.sum() >= FEW else step
    short = np.abs(x) > step * 1.01
    if not 0.05 < short.mean() < 0.999:
        return step, math.inf
    return step, _in_rounding(y - np.clip(x, -step, step), steps)


def _by_row(s: Real, d: Real, b: Real, steps: Real) -> tuple[float, float, float]:
    """Place on the arc (Shoemake 1985) of each row's directions, whatever the rows' lengths."""
    rows = [np.asarray(m, np.float64) for m in (s, d, b)]
    lengths = [np.linalg.norm(m, axis=1, keepdims=True) for m in rows]
    fine = np.minimum.reduce([n[:, 0] for n in lengths]) > 0
    if fine.sum() < 2:
        return math.nan, math.inf, math.inf
    u, v, w = (m[fine] / n[fine] for m, n in zip(rows, lengths, strict=True))
    cosine = np.clip((v * w).sum(1), -1, 1)
    angle = np.arccos(cosine)
    bent = angle > FLAT
    if bent.sum() < 2:
        return math.nan, math.inf, math.inf
    u, v, w, cosine, angle = u[bent], v[bent], w[bent], cosine[bent], angle[bent]
    # coefficients of u on v and w, row by row
    uv, uw, sin2 = (u * v).sum(1), (u * w).sum(1), 1 - cosine**2
    donor, base = (uv - cosine * uw) / sin2, (uw - cosine * uv) / sin2
    place = np.arctan2(donor * np.sin(angle), base + donor * cosine) / angle
    told = np.sin((1 - place) * angle)[:, None] * w + np.sin(place * angle)[:, None] * v
    told = told / np.sin(angle)[:, None] * lengths[0][fine][bent]
    middle = float(np.median(place))
    spread = 1.4826 * float(np.median(np.abs(place - middle)))
    return middle, spread, _in_rounding(rows[0][fine][bent] - told, steps[fine][bent])


def _in_rounding(rest: Real, steps: Real) -> float:
    rounded = max(1e-300, float((steps.astype(np.float64) ** 2).sum()) / 12)
    return math.sqrt(float((rest.astype(np.float64) ** 2).sum()) / rounded)
