"""Sums over one tensor, and what follows from them: the ratios of a blend, how sure they are, and how exactly they fit.

With s, p_1 ... p_k and b the same tensor in the suspect, the donors and the base, y = s - b and x_i = p_i - b, the fit is y = sum a_i x_i by least
squares. Sums are taken of the residual under a first guess (from some thousand numbers), so nothing is lost by subtracting large
sums later. Standard errors are the cluster-robust ones of Cameron, Gelbach and Miller (2011), by rows and by columns: what
fine-tuning writes has few directions, so neighbouring numbers are no independent witnesses.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.weights.decode import Real, grid, rounded, rounding

#: Numbers that are worked on at once: a few arrays of them fit in a core's cache.
CHUNK: Final = 1 << 16


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
        #: Sums by row of the parts that the scores are made of: (x_i e for i), (x_i x_j for i <= j); here their products, summed over rows.
        self.parts = k + k * (k + 1) // 2
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
    guess = np.asarray(np.linalg.pinv((x @ x.T).astype(np.float64), rcond=1e-10, hermitian=True) @ (x @ y).astype(np.float64), np.float64)
    near = np.rint(guess)
    return np.where(np.abs(guess - near) < 1e-6, near, guess)


class Rounding(NamedTuple):
    """Some rows of a tensor, kept to find out how far storing an exact blend moves its ratio: 0.6 of one grid step is stored as one step."""

    parents: list[Real]
    b: Real
    bits: int

    def correction(self, ratios: npt.NDArray[np.float64], spare: float, seed: int = 0) -> Correction:
        """What has to be added to ratios that least squares gave, and its standard error.

        The ratio is sought whose stored blend gives the ratio that was seen; since every number of a blend grows with its ratio, there is
        one. This is indirect inference (Gourieroux, Monfort and Renault 1993), done for four parts of the rows apart.

        Parameters
        ----------
        spare
            Standard deviation of what else is in the suspect (later training blurs the grid).
        """
        k = len(ratios)
        if self.bits >= 24 or not self.bits or not self.b.size:
            return Correction(np.zeros(k), np.zeros(k))
        b, x = self.b.astype(np.float32), [(p - self.b).astype(np.float32) for p in self.parents]
        noise = np.random.default_rng(seed).normal(0, spare, b.shape).astype(np.float32) if spare else np.float32(0)
        parts = np.array_split(np.arange(len(b)), PARTS) if len(b) >= PARTS else [np.arange(len(b))]
        found = np.array([self._solved(ratios, b[rows], [xi[rows] for xi in x], noise[rows] if isinstance(noise, np.ndarray) else noise) for rows in parts]) - ratios
        return Correction(found.mean(axis=0), found.std(axis=0, ddof=1) / math.sqrt(len(parts)) if len(parts) > 1 else np.abs(found[0]))

    def _solved(self, ratios: npt.NDArray[np.float64], b: Real, x: list[Real], noise: Any) -> npt.NDArray[np.float64]:
        at, best, least = ratios.copy(), ratios, math.inf
        for _ in range(STEPS):
            blend = rounded(np.ascontiguousarray(b + sum(np.float32(a) * xi for a, xi in zip(at, x, strict=True)) + noise), self.bits)
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
#: From so many roundings between parents on, what rounding moves is less than what it costs to find out.
FAR: Final = 50.0


class Worker:
    """The scratch of one thread, and the loop that is run over every number."""

    def __init__(self, k: int, kind: Any) -> None:
        self.kind = np.dtype(kind)
        self._scratch = np.empty((k + 3, CHUNK), self.kind)

    def add(self, sums: Sums, s: Real, parents: list[Real], b: Real, guess: npt.NDArray[np.float64], bits: int) -> None:
        """Add the rows of matrices (rows x columns); ``bits`` of the suspect's stored significand, 0 if its numbers stand on a quantisation grid."""
        rows, columns = s.shape
        step = max(1, CHUNK // columns)
        for at in range(0, rows, step):
            part = slice(at, at + step)
            self._chunk(sums, s[part], [p[part] for p in parents], b[part], guess, bits)

    def _chunk(self, sums: Sums, s: Real, parents: list[Real], b: Real, guess: npt.NDArray[np.float64], bits: int) -> None:
        rows, columns = s.shape
        size = s.size
        if size > self._scratch.shape[1]:
            self._scratch = np.empty((len(parents) + 3, size), self.kind)
        k = len(parents)
        *x, e, t = (row[:size].reshape(s.shape) for row in self._scratch[: k + 2])
        for xi, p in zip(x, parents, strict=True):
            np.subtract(p, b, out=xi)
        np.subtract(s, b, out=e)
        for xi, a in zip(x, guess, strict=True):
            if a:
                np.multiply(xi, self.kind.type(a), out=t)
                np.subtract(e, t, out=e)
        e_, b_, t_ = e.reshape(-1), b.reshape(-1), t.reshape(-1)
        ee, bb = float(np.dot(e_, e_)), float(np.dot(b_, b_))
        if not math.isfinite(ee + bb) or not all(math.isfinite(float(np.dot(xi.reshape(-1), xi.reshape(-1)))) for xi in x):
            self._without_bad(sums, s, parents, b, guess, bits)
            return
        sums.n += size
        sums.rows += rows
        sums.ee += ee
        sums.bb += bb
        sums.eb += float(np.dot(e_, b_))
        ones_r, ones_c = np.ones(rows, self.kind), np.ones(columns, self.kind)
        by_row = np.empty((sums.parts, rows))
        part = 0
        for first in range(-1, k):
            for i in range(max(first, 0), k):
                np.multiply(x[i], e if first < 0 else x[first], out=t)
                by_row[part] = t @ ones_c
                if sums.by_column is not None:
                    sums.by_column[part] += ones_r @ t
                total = float(by_row[part].sum())
                if first < 0:
                    sums.xe[i] += total
                    sums.te[i] += float(np.dot(t_, t_))
                    sums.xb[i] += float(np.dot(x[i].reshape(-1), b_))
                else:
                    sums.xx[first, i] += total
                    if i != first:
                        sums.xx[i, first] += total
                part += 1
        sums.by_row += by_row @ by_row.T
        sums.noise += rounding(np.ascontiguousarray(s), bits, self._scratch[k + 2][:size].reshape(s.shape)) if bits else grid(s)

    def _without_bad(self, sums: Sums, s: Real, parents: list[Real], b: Real, guess: npt.NDArray[np.float64], bits: int) -> None:
        """Count numbers that are not finite, put zeros in their place, and go on: they are in no sum."""
        sound = np.isfinite(s) & np.isfinite(b)
        for p in parents:
            sound &= np.isfinite(p)
        if sound.all():  # finite numbers whose squares are not
            raise OverflowError
        bad = int(sound.size - np.count_nonzero(sound))
        sums.bad += bad
        self._chunk(sums, *_zeroed(sound, s, parents, b), guess, bits)
        sums.n -= bad


def _zeroed(sound: npt.NDArray[np.bool_], s: Real, parents: list[Real], b: Real) -> tuple[Real, list[Real], Real]:
    clean = [np.where(sound, a, a.dtype.type(0)) for a in (s, *parents, b)]
    return clean[0], clean[1:-1], clean[-1]


class Fit(NamedTuple):
    """The fit of one tensor. Lengths are Euclidean norms; shares are of the suspect's norm."""

    elements: int
    read: int
    not_finite: int
    #: Coefficient of each donor on (donor - base), standard errors, degrees of freedom of the clusters.
    a: tuple[float, ...]
    se: tuple[float, ...]
    #: What was added to least squares for what rounding had moved, and its standard error (a part of `se`; all tensors may share its sign).
    correction: tuple[float, ...]
    correction_se: tuple[float, ...]
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
    #: Cosines of the suspect with the base, and of each donor with the base.
    base_cosine: float
    parents_cosine: tuple[float, ...]


def solved(sums: Sums, guess: npt.NDArray[np.float64], elements: int, rows: Rounding | None = None) -> Fit:
    """What follows from the sums of one tensor; with some of its ``rows``, what rounding has moved is mended."""
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
    spare = math.sqrt(max(0.0, rss - sums.noise) / max(1, sums.n))
    close = np.diag(sums.xx).min() < FAR**2 * sums.noise
    moved = rows.correction(a, spare) if rows is not None and close else Correction(np.zeros(k), np.zeros(k))
    # the free fit: y = sum a_i x_i + c b, solved for the residual of the first guess
    wide = np.block([[sums.xx, sums.xb[:, None]], [sums.xb[None, :], np.array([[sums.bb]])]])
    scale = np.sqrt(np.maximum(np.diag(wide), 1e-300))
    inverse_wide = np.linalg.pinv(wide / np.outer(scale, scale), rcond=1e-13, hermitian=True) / np.outer(scale, scale)
    right = np.append(sums.xe, sums.eb)
    change = inverse_wide @ right
    free_rss = max(0.0, float(sums.ee - 2 * change @ right + change @ wide @ change))
    donors, extra = guess + change[:k], float(change[k])
    spread = max(free_rss, sums.noise) / max(1, sums.n - k - 1)
    to_donors = [max(0.0, float(yy - 2 * xy[i] + sums.xx[i, i])) for i in range(k)]
    pp = [max(0.0, float(sums.xx[i, i] + 2 * sums.xb[i] + sums.bb)) for i in range(k)]
    return Fit(
        elements=elements,
        read=sums.n + sums.bad,
        not_finite=sums.bad,
        a=tuple(map(float, a + moved.add)),
        se=tuple(float(math.sqrt(max(v, f, 0.0) + m**2)) for v, f, m in zip(np.diag(variance), floor, moved.se, strict=True)),
        correction=tuple(map(float, moved.add)),
        correction_se=tuple(map(float, moved.se)),
        df=df,
        free=(*map(float, donors), float(1 - donors.sum() + extra)),
        free_sum_se=math.sqrt(max(0.0, spread * float(inverse_wide[k, k]))),
        cosine=_ratio(float(xy @ inverse @ xy) if k > 1 else float(xy[0] * abs(xy[0])) / float(sums.xx[0, 0] or 1), yy),
        residual=_share(rss, ss),
        free_residual=_share(free_rss, ss),
        in_rounding=_share(rss, sums.noise),
        free_in_rounding=_share(free_rss, sums.noise),
        base_in_rounding=_share(yy, sums.noise),
        donors_in_rounding=tuple(_share(d, sums.noise) for d in to_donors),
        base_distance=_share(yy, ss),
        donor_distance=tuple(_share(d, ss) for d in to_donors),
        parents_distance=tuple(_share(float(sums.xx[i, i]), sums.bb) for i in range(k)),
        parents_in_rounding=tuple(_share(float(sums.xx[i, i]), sums.noise) for i in range(k)),
        base_cosine=(yb + sums.bb) / math.sqrt(ss * sums.bb) if ss * sums.bb > 0 else math.nan,
        parents_cosine=tuple(float(sums.xb[i] + sums.bb) / math.sqrt(pp[i] * sums.bb) if pp[i] * sums.bb > 0 else math.nan for i in range(k)),
    )


def _clustered(sums: Sums, delta: npt.NDArray[np.float64], inverse: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], int]:
    """Covariance of the coefficients with clusters in rows and in columns, and its degrees of freedom."""
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
    both = np.maximum.reduce([np.diag(by_row), np.diag(by_column), np.diag(by_row + by_column - single)])
    meat = by_row + by_column
    meat[np.diag_indices(k)] = both
    return inverse @ meat @ inverse, max(1, min(sums.rows, columns) - k)


def _share(part: float, whole: float) -> float:
    return math.sqrt(part / whole) if whole > 0 else (0.0 if part <= 0 else math.inf)


def _ratio(squared: float, whole: float) -> float:
    """The signed root of a share."""
    return math.copysign(math.sqrt(min(1.0, abs(squared) / whole)), squared) if whole > 0 else math.nan
