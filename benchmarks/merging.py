"""Methods of merging by formula, from the papers and pages that are named; one matrix at a time.

In: the base's matrix, and those of the donors (float64). Out: the merge. What mergekit calls the
method stands first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Matrix = np.ndarray


def trimmed(x: Matrix, density: float) -> Matrix:
    """The largest numbers of a difference, the others zero."""
    return x * (np.abs(x) >= np.quantile(np.abs(x), 1 - density))


def dropped(x: Matrix, density: float, rng: np.random.Generator) -> Matrix:
    """dare: a random draw of a difference, enlarged (Yu et al. 2023, arXiv 2311.03099)."""
    return x * (rng.random(x.shape) < density) / density


def magnitude_dropped(
    x: Matrix, density: float, rng: np.random.Generator, spread: float = 0.2
) -> Matrix:
    """della: the larger of its row, the likelier it stays (Deep et al. 2024, arXiv 2406.11617)."""
    order = np.argsort(np.argsort(np.abs(x), axis=1), axis=1)
    keeps = density - spread / 2 + spread * order / max(1, x.shape[1] - 1)
    return x * (rng.random(x.shape) < keeps) / keeps


def elected(parts: Sequence[Matrix], weights: Sequence[float], *, mean: bool = True) -> Matrix:
    """ties: where signs differ those of the larger sum stay (Yadav et al. 2023, arXiv 2306.01708).

    ``mean``: of those that stay, else their sum.
    """
    weighted = [w * x for w, x in zip(weights, parts, strict=True)]
    sign = np.sign(sum(weighted))
    stays = [(np.sign(x) == sign) & (x != 0) for x in weighted]
    total = sum(x * keep for x, keep in zip(weighted, stays, strict=True))
    if not mean:
        return np.asarray(total)
    room = sum(w * keep for w, keep in zip(weights, stays, strict=True))
    return np.divide(total, room, out=np.zeros_like(total), where=room > 0)


def breadcrumbs(x: Matrix, density: float, outliers: float) -> Matrix:
    """breadcrumbs: neither the largest nor the smallest (Davari 2023, arXiv 2312.06795)."""
    size = np.abs(x)
    top, low = np.quantile(size, 1 - outliers), np.quantile(size, 1 - outliers - density)
    return x * ((size >= low) & (size < top))


def sce(parts: Sequence[Matrix], share: float) -> Matrix:
    """sce: numbers that vary most between donors, by energy (Wan et al. 2024, arXiv 2408.07990)."""
    varies = np.var(np.stack(parts), axis=0)
    mask = varies >= np.quantile(varies, 1 - share)
    kept = [x * mask for x in parts]
    energy = np.array([np.square(x).sum() for x in kept])
    weights = (energy / energy.sum()).tolist()
    return elected(kept, weights)


def nearswap(b: Matrix, d: Matrix, t: float) -> Matrix:
    """nearswap: the nearer a number is to the donor's, the more of the donor's is taken.

    ``t / |b - d|``, at most 1 (mergekit's documents on merge methods).
    """
    apart = np.abs(b - d)
    share = np.minimum(1.0, np.divide(t, apart, out=np.ones_like(b), where=apart > 0))
    return b + share * (d - b)


def model_stock(b: Matrix, donors: Sequence[Matrix]) -> Matrix:
    """model_stock: the donors' mean, and the base by their angle (Jang 2024, arXiv 2403.19522)."""
    parts = [d - b for d in donors]
    n = len(parts)
    cosines = [
        (x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)
        for at, x in enumerate(parts)
        for y in parts[at + 1 :]
    ]
    cosine = float(np.mean(cosines))
    t = n * cosine / (1 + (n - 1) * cosine)
    return np.asarray(t * np.mean(donors, axis=0) + (1 - t) * b)


def nuslerp(one: Matrix, two: Matrix, share: float) -> Matrix:
    """nuslerp: along the arc of each row's directions, with lengths between (mergekit)."""
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (one, two)]
    u, v = (x / n for x, n in zip((one, two), lengths, strict=True))
    angle = np.arccos(np.clip((u * v).sum(1, keepdims=True), -1, 1))
    turned = (np.sin((1 - share) * angle) * u + np.sin(share * angle) * v) / np.sin(angle)
    return np.asarray(turned * ((1 - share) * lengths[0] + share * lengths[1]))


def fusion(b: Matrix, d: Matrix) -> Matrix:
    """arcee_fusion: changes that matter, above the median and 1.5 quartile ranges (mergekit)."""
    change = d - b
    p, q = (np.exp(x - x.max(1, keepdims=True)) for x in (b, d))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    divergence = (q * np.log(q / p)).sum(1, keepdims=True)
    importance = np.abs(change) * np.abs(divergence)
    low, middle, high = np.quantile(importance, (0.25, 0.5, 0.75))
    return b + change * (importance > middle + 1.5 * (high - low))
