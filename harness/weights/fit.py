"""Sums over one tensor, and what follows from them: ratios, how sure and how exact they are.

With s, p_1 ... p_k and b the same tensor in the suspect, the donors and the base, y = s - b and
x_i = p_i - b, the fit is y = sum a_i x_i by least squares. Sums are taken of the residual under a
first guess (from some thousand numbers), so nothing is lost by subtracting large sums later.

Standard errors are the cluster-robust ones of Cameron, Gelbach and Miller (2011), by rows and by
columns: what fine-tuning writes has few directions, so neighbouring numbers are no independent
witnesses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from harness.weights.decode import Real, grid, rounded, rounding

#: Numbers that are worked on at once: few enough for the cache, enough that two threads seldom
#: wait for the interpreter.
CHUNK: Final = 1 << 18


class Sums:
    """Additive sums of one tensor, or of some rows of it. Sizes: k donors."""

    def __init__(self, k: int, columns: int) -> None:
        self.n = 0
        self.rows = 0
        self.bad = 0
        self.ee = self.eb = self.bb = self.noise = 0.0
        self.xb = np.zeros(k)
        self.xe = np.zeros(k)
        self.xx = np.zeros((k, k))
        self.te = np.zeros(k)
        #: What the scores are made of: (x_i e for i), (x_i x_j for i <= j).
        self.parts = k + k * (k + 1) // 2
        #: Products of the sums by row of each two parts, summed over rows.
        self.by_row = np.zeros((self.parts, self.parts))
        self.by_column = np.zeros((self.parts, columns)) if columns > 1 else None

    def add(self, other: Sums) -> None:
        """Add the sums of other rows of the same tensor."""
        for name in ("n", "rows", "bad", "ee", "eb", "bb", "noise"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("xb", "xe", "xx", "te", "by_row", "by_column"):
            mine = getattr(self, name)
            if mine is not None:
                mine += getattr(other, name)


def first_guess(s: Real, parents: list[Real], b: Real) -> npt.NDArray[np.float64]:
    """Least squares on a few rows; 0 or 1 exactly, where it is that up to the arithmetic."""
    y, x = (s - b).reshape(-1), np.stack([(p - b).reshape(-1) for p in parents])
    sound = np.isfinite(y) & np.isfinite(x).all(axis=0)
    if not sound.all():
        y, x = y[sound], x[:, sound]
    inverse = np.linalg.pinv((x @ x.T).astype(np.float64), rcond=1e-10, hermitian=True)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers without sense are told later
        guess = np.asarray(inverse @ (x @ y).astype(np.float64), np.float64)
    near = np.rint(guess)
    return np.where(np.abs(guess - near) < 1e-6, near, guess)


class Rounding(NamedTuple):
    """Some rows of a tensor, kept to find out how far storing an exact blend moves its ratio.

    It does move it: 0.6 of one grid step is stored as one step.
    """

    parents: list[Real]
    b: Real
    bits: int

    def correction(self, ratios: npt.NDArray[np.float64], spare: float) -> Correction:
        """What has to be added to ratios that least squares gave, and its standard error.

        The ratio is sought whose stored blend gives the ratio that was seen; since every number
        of a blend grows with its ratio, there is one. This is indirect inference (Gourieroux,
        Monfort and Renault 1993), done for four parts of the rows apart.

        Parameters
        ----------
        spare
            Standard deviation of what else is in the suspect (later training blurs the grid).
        """
        k = len(ratios)
        if self.bits >= 24 or not self.bits or not self.b.size:
            return Correction(np.zeros(k), np.zeros(k))
        b, x = self.b.astype(np.float32), [(p - self.b).astype(np.float32) for p in self.parents]
        noise = np.zeros(b.shape, np.float32)
        if spare:
            noise = np.random.default_rng(0).normal(0, spare, b.shape).astype(np.float32)
        parts = np.array_split(np.arange(len(b)), PARTS if len(b) >= PARTS else 1)
        found = np.array(
            [self._solved(ratios, b[rows], [xi[rows] for xi in x], noise[rows]) for rows in parts]
        )
        moved = found - ratios
        if len(parts) == 1:
            return Correction(moved.mean(axis=0), np.abs(moved[0]))
        return Correction(moved.mean(axis=0), moved.std(axis=0, ddof=1) / math.sqrt(len(parts)))

    def _solved(
        self, ratios: npt.NDArray[np.float64], b: Real, x: list[Real], noise: Real
    ) -> npt.NDArray[np.float64]:
        at, best, least = ratios.copy(), ratios, math.inf
        for _ in range(STEPS):
            exact = b + sum(np.float32(a) * xi for a, xi in zip(at, x, strict=True)) + noise
            blend = rounded(np.ascontiguousarray(exact), self.bits)
            left = ratios - first_guess(blend, [b + xi for xi in x], b)
            if float(np.abs(left).max()) < least:
                best, least = at, float(np.abs(left).max())
            at = at + left / 2  # half of it: near simple fractions the stored ratio jumps
        return best


class Correction(NamedTuple):
    """What rounding has moved, to be added to each ratio, and its standard error."""

    add: npt.NDArray[np.float64]
    se: npt.NDArray[np.float64]


#: Parts of the rows that rounding is simulated on apart, and steps of that search.
PARTS: Final = 4
STEPS: Final = 10
#: From so many roundings between parents on, what rounding moves is less than what it costs to
#: find out.
FAR: Final = 50.0


class Rows(Protocol):
    """Some rows of one tensor, decoded part by part."""

    def into(self, part: slice, out: Real) -> None:
        """Write the rows of ``part`` into ``out``."""
        ...


class Held(NamedTuple):
    """Rows that are numbers already."""

    values: Real

    def into(self, part: slice, out: Real) -> None:
        out[...] = self.values[part]


class _Products(NamedTuple):
    """Sums over one chunk: of the scores' parts by row and by column, and of each (x_i e)^2."""

    by_row: npt.NDArray[np.float64]
    by_column: Real | None
    te: npt.NDArray[np.float64]


class Worker:
    """The scratch of one thread, and the loop that is run over every number.

    It works on what fits in a core's cache.
    """

    def __init__(self, k: int, kind: Any) -> None:
        self.kind = np.dtype(kind)
        self._scratch = np.empty((k + 3, CHUNK), self.kind)
        self._ones = np.ones(CHUNK, self.kind)
        self._upper = np.triu_indices(k)

    def add(
        self,
        sums: Sums,
        models: Sequence[Rows],
        rows: int,
        columns: int,
        guess: npt.NDArray[np.float64],
        bits: int,
    ) -> None:
        """Add rows of the suspect, the donors and the base.

        Parameters
        ----------
        bits
            Of the suspect's stored significand; 0 if its numbers stand on a quantisation grid.

        Raises
        ------
        OverflowError
            Finite numbers whose squares are not.
        """
        step = max(1, CHUNK // columns)
        if columns > self._scratch.shape[1]:
            self._scratch = np.empty((len(models) + 1, columns), self.kind)
            self._ones = np.ones(columns, self.kind)
        for at in range(0, rows, step):
            part = slice(at, min(rows, at + step))
            shape = part.stop - part.start, columns
            *decoded, t = (row[: shape[0] * columns].reshape(shape) for row in self._scratch)
            for model, out in zip(models, decoded, strict=True):
                model.into(part, out)
            if self._chunk(sums, decoded, t, guess, bits):
                continue
            for model, out in zip(models, decoded, strict=True):
                model.into(part, out)
            sound = np.logical_and.reduce([np.isfinite(out) for out in decoded])
            if sound.all():
                raise OverflowError
            for out in decoded:  # what is not finite is counted, and in no sum
                out[~sound] = 0
            bad = int(sound.size - np.count_nonzero(sound))
            if not self._chunk(sums, decoded, t, guess, bits):
                raise OverflowError
            sums.bad += bad
            sums.n -= bad

    def _chunk(
        self, sums: Sums, decoded: list[Real], t: Real, guess: npt.NDArray[np.float64], bits: int
    ) -> bool:
        """Add one chunk, overwriting it; False, and nothing added, where a sum is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found below
            return self._summed(sums, decoded, t, guess, bits)

    def _summed(
        self, sums: Sums, decoded: list[Real], t: Real, guess: npt.NDArray[np.float64], bits: int
    ) -> bool:
        e, *x, b = decoded
        noise = rounding(e, bits, t) if bits else grid(e)
        np.subtract(e, b, out=e)
        for xi, a in zip(x, guess, strict=True):
            np.subtract(xi, b, out=xi)
            if a:
                np.multiply(xi, self.kind.type(a), out=t)
                np.subtract(e, t, out=e)
        made = self._products(e, x, t, sums)
        e_, b_ = e.reshape(-1), b.reshape(-1)
        ee, eb, bb = float(np.dot(e_, e_)), float(np.dot(e_, b_)), float(np.dot(b_, b_))
        xb = np.array([np.dot(xi.reshape(-1), b_) for xi in x], float)
        totals, k = made.by_row.sum(axis=1), len(x)
        vectors = (totals, made.te, xb)
        if not math.isfinite(ee + eb + bb + noise) or not all(
            np.isfinite(v).all() for v in vectors
        ):
            return False
        sums.n += e.size
        sums.rows += len(e)
        sums.ee += ee
        sums.eb += eb
        sums.bb += bb
        sums.noise += noise
        sums.xb += xb
        sums.te += made.te
        sums.xe += totals[:k]
        sums.xx[self._upper] += totals[k:]
        sums.xx[self._upper[::-1]] = sums.xx[self._upper]
        sums.by_row += made.by_row @ made.by_row.T
        if sums.by_column is not None and made.by_column is not None:
            sums.by_column += made.by_column
        return True

    def _products(self, e: Real, x: list[Real], t: Real, sums: Sums) -> _Products:
        """The parts of one chunk, in the order of `Sums.parts`; ``t`` is overwritten."""
        rows, columns = e.shape
        ones_r, ones_c, t_ = self._ones[:rows], self._ones[:columns], t.reshape(-1)
        by_row = np.empty((sums.parts, rows))
        by_column = None
        if sums.by_column is not None:
            by_column = np.empty((sums.parts, columns), self.kind)
        k = len(x)
        te, part = np.empty(k), 0
        for first in range(-1, k):
            for i in range(max(first, 0), k):
                np.multiply(x[i], e if first < 0 else x[first], out=t)
                by_row[part] = t @ ones_c
                if by_column is not None:
                    np.matmul(ones_r, t, out=by_column[part])
                if first < 0:
                    te[i] = np.dot(t_, t_)
                part += 1
        return _Products(by_row, by_column, te)


class Fit(NamedTuple):
    """The fit of one tensor. Lengths are Euclidean norms; shares are of the suspect's norm."""

    elements: int
    read: int
    not_finite: int
    #: The suspect's length by the base's.
    size: float
    #: Coefficient of each donor on (donor - base), and standard errors.
    a: tuple[float, ...]
    se: tuple[float, ...]
    #: What was added to least squares for what rounding had moved, and its standard error
    #: (a part of `se`; all tensors may share its sign).
    correction: tuple[float, ...]
    correction_se: tuple[float, ...]
    #: Degrees of freedom of the clusters.
    df: int
    #: Free coefficients of each donor and of the base, and the standard error of their sum.
    free: tuple[float, ...]
    free_sum_se: float
    cosine: float
    residual: float
    free_residual: float
    #: Residual norms by the norm of the suspect's own rounding: 1 is "equal up to rounding".
    in_rounding: float
    free_in_rounding: float
    base_in_rounding: float
    donors_in_rounding: tuple[float, ...]
    base_distance: float
    donor_distance: tuple[float, ...]
    parents_distance: tuple[float, ...]
    #: Distance of each donor from the base, by the suspect's rounding.
    parents_in_rounding: tuple[float, ...]
    #: Cosine of each donor with the base.
    parents_cosine: tuple[float, ...]


def solved(
    sums: Sums, guess: npt.NDArray[np.float64], elements: int, rows: Rounding | None = None
) -> Fit:
    """What follows from the sums of one tensor.

    With some of its ``rows``, what rounding has moved is mended.
    """
    k = len(guess)
    inverse = np.asarray(np.linalg.pinv(sums.xx, rcond=1e-12, hermitian=True), np.float64)
    delta = np.asarray(inverse @ sums.xe, np.float64)
    a = guess + delta
    rss = max(0.0, float(sums.ee - 2 * delta @ sums.xe + delta @ sums.xx @ delta))
    xy, yb = sums.xe + sums.xx @ guess, sums.eb + float(guess @ sums.xb)
    yy = max(0.0, float(sums.ee + 2 * guess @ sums.xe + guess @ sums.xx @ guess))
    ss = max(0.0, yy + 2 * yb + sums.bb)
    variance, df = _clustered(sums, delta, inverse)
    floor = sums.noise / max(1, sums.n) * np.diag(inverse)
    moved = _moved(a, rss, sums, rows)
    errors = zip(np.diag(variance), floor, moved.se, strict=True)
    free = _free(sums, guess)
    if k > 1:
        explained = float(xy @ inverse @ xy)
    else:
        explained = float(xy[0] * abs(xy[0])) / float(sums.xx[0, 0] or 1)
    to_donors = [max(0.0, float(yy - 2 * xy[i] + sums.xx[i, i])) for i in range(k)]
    between = [float(sums.xx[i, i]) for i in range(k)]
    return Fit(
        elements=elements,
        read=sums.n + sums.bad,
        not_finite=sums.bad,
        size=_share(ss, sums.bb),
        a=tuple(map(float, a + moved.add)),
        se=tuple(float(math.sqrt(max(v, f, 0.0) + m**2)) for v, f, m in errors),
        correction=tuple(map(float, moved.add)),
        correction_se=tuple(map(float, moved.se)),
        df=df,
        free=free.coefficients,
        free_sum_se=free.sum_se,
        cosine=_ratio(explained, yy),
        residual=_share(rss, ss),
        free_residual=_share(free.rss, ss),
        in_rounding=_share(rss, sums.noise),
        free_in_rounding=_share(free.rss, sums.noise),
        base_in_rounding=_share(yy, sums.noise),
        donors_in_rounding=tuple(_share(d, sums.noise) for d in to_donors),
        base_distance=_share(yy, ss),
        donor_distance=tuple(_share(d, ss) for d in to_donors),
        parents_distance=tuple(_share(d, sums.bb) for d in between),
        parents_in_rounding=tuple(_share(d, sums.noise) for d in between),
        parents_cosine=tuple(_parent_cosine(sums, i) for i in range(k)),
    )


class _Free(NamedTuple):
    """A free fit: coefficients of the donors and the base, and the error of their sum."""

    coefficients: tuple[float, ...]
    sum_se: float
    rss: float


def _free(sums: Sums, guess: npt.NDArray[np.float64]) -> _Free:
    """The fit y = sum a_i x_i + c b, solved for the residual of the first guess."""
    k = len(guess)
    wide = np.block([[sums.xx, sums.xb[:, None]], [sums.xb[None, :], np.array([[sums.bb]])]])
    scale = np.sqrt(np.maximum(np.diag(wide), 1e-300))
    scales = np.outer(scale, scale)
    inverse = np.linalg.pinv(wide / scales, rcond=1e-13, hermitian=True) / scales
    right = np.append(sums.xe, sums.eb)
    change = inverse @ right
    rss = max(0.0, float(sums.ee - 2 * change @ right + change @ wide @ change))
    donors, extra = guess + change[:k], float(change[k])
    spread = max(rss, sums.noise) / max(1, sums.n - k - 1)
    return _Free(
        (*map(float, donors), float(1 - donors.sum() + extra)),
        math.sqrt(max(0.0, spread * float(inverse[k, k]))),
        rss,
    )


def _moved(a: npt.NDArray[np.float64], rss: float, sums: Sums, rows: Rounding | None) -> Correction:
    """What rounding has moved; nothing, where there are no rows to find it out."""
    moved = Correction(np.zeros(len(a)), np.zeros(len(a)))
    if rows is not None and np.diag(sums.xx).min() < FAR**2 * sums.noise:
        moved = rows.correction(a, math.sqrt(max(0.0, rss - sums.noise) / max(1, sums.n)))
    if rows is not None and rows.bits:
        moved = moved._replace(se=np.hypot(moved.se, _held(a, sums, rows.bits)))
    return moved


def _held(a: npt.NDArray[np.float64], sums: Sums, bits: int) -> npt.NDArray[np.float64]:
    """How far ratios move where a tool holds its weights in the stored type.

    0.6 is 0.6016 in bf16, and the weights do not sum to 1.
    """
    # what a wrong weight of the base looks like
    along = np.abs(sums.xb) / np.maximum(np.diag(sums.xx), 1e-300)
    apart = np.hypot(np.abs(a) * (1 + along), abs(1 - a.sum()) * along)
    return np.asarray(2.0**-bits / math.sqrt(3) * apart, np.float64)


def _parent_cosine(sums: Sums, i: int) -> float:
    """Cosine of a donor with the base."""
    squared = max(0.0, float(sums.xx[i, i] + 2 * sums.xb[i] + sums.bb)) * sums.bb
    return float(sums.xb[i] + sums.bb) / math.sqrt(squared) if squared > 0 else math.nan


def _clustered(
    sums: Sums, delta: npt.NDArray[np.float64], inverse: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], int]:
    """Covariance of the coefficients, clustered by rows and columns; its degrees of freedom."""
    k = len(delta)
    turn = np.zeros((k, sums.parts))  # from the parts to the score x_i (e - sum delta_j x_j)
    turn[:, :k] = np.eye(k)
    part = k
    for first in range(k):
        for i in range(first, k):
            turn[first, part] -= delta[i]
            if i != first:
                turn[i, part] -= delta[first]
            part += 1
    by_row = turn @ sums.by_row @ turn.T * sums.rows / max(1, sums.rows - 1)
    if sums.by_column is None or sums.by_column.shape[1] < 2:
        return inverse @ by_row @ inverse, max(1, sums.rows - k)
    columns = sums.by_column.shape[1]
    scores = turn @ sums.by_column
    by_column = scores @ scores.T * columns / (columns - 1)
    if sums.rows < 2:
        return inverse @ by_column @ inverse, max(1, columns - k)
    single = np.diag(sums.te)
    joint = np.diag(by_row + by_column - single)
    both = np.maximum.reduce([np.diag(by_row), np.diag(by_column), joint])
    meat = by_row + by_column
    meat[np.diag_indices(k)] = both
    return inverse @ meat @ inverse, max(1, min(sums.rows, columns) - k)


def _share(part: float, whole: float) -> float:
    return math.sqrt(part / whole) if whole > 0 else (0.0 if part <= 0 else math.inf)


def _ratio(squared: float, whole: float) -> float:
    """The signed root of a share."""
    if not whole > 0:
        return math.nan
    return math.copysign(math.sqrt(min(1.0, abs(squared) / whole)), squared)
