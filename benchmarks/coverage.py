"""Coverage of 95 % intervals for a rate over questions, by simulation.

Of truename's intervals, and of the plain methods that tools publish. Replies to one question are
alike (beta-binomial, intra-question correlation `icc`). For each method: in how many settings its
interval holds the true rate less often than in 94 % of runs, its worst setting, and its mean
width. A method may be narrow only if it holds.
"""

from __future__ import annotations

import itertools
import sys
from typing import NamedTuple

import numpy as np

from harness.stats import clopper_pearson, clustered, wilson, z_of

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 400
RATES, ICCS = (0, 0.005, 0.02, 0.1, 0.3, 0.5, 0.9, 0.98, 1), (0, 0.05, 0.2, 0.5, 0.8, 1)
QUESTIONS, REPEATS = (3, 6, 12, 24, 60), (2, 5, 20)
rng = np.random.default_rng(20261124)


def drawn(rate: float, icc: float, questions: int, repeats: int) -> np.ndarray:
    shape = (RUNS, questions)
    if rate in (0, 1) or icc == 0:
        each = np.full(shape, float(rate))
    elif icc == 1:
        each = (rng.random(shape) < rate).astype(float)
    else:
        each = rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, shape)
    return rng.binomial(repeats, each)


def bootstrap(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over questions, 200 draws."""
    draws = hits[rng.integers(0, len(hits), (200, len(hits)))].sum(1) / sizes.sum()
    return tuple(np.percentile(draws, [2.5, 97.5]))


def cluster_normal(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The sandwich standard error of survey packages."""
    p, k = hits.sum() / sizes.sum(), len(hits)
    error = np.sqrt(k / (k - 1) * ((hits - p * sizes) ** 2).sum()) / sizes.sum()
    return p - z_of(0.95) * error, p + z_of(0.95) * error


def korn_graubard(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """As published: at 0 and 100 % repeats count as independent."""
    from scipy.special import stdtrit

    n, k = sizes.sum(), len(hits)
    p = hits.sum() / n
    v = k / (k - 1) * ((hits - p * sizes) ** 2).sum() / n**2
    effective = n
    if v != 0 and p not in (0, 1):
        effective = min(n, p * (1 - p) / v * (z_of(0.95) / stdtrit(k - 1, 0.975)) ** 2)
    return clopper_pearson(p * effective, effective)


class Seen(NamedTuple):
    """How often a method's interval held the rate in one setting, and how wide it was."""

    held: float
    width: float
    setting: str


METHODS = {
    "truename, by question": lambda h, m: clustered(h, m)[1:3],
    "Wilson, all samples": lambda h, m: wilson(int(h.sum()), int(m.sum())),
    "bootstrap of questions": bootstrap,
    "clustered normal": cluster_normal,
    "Korn-Graubard": korn_graubard,
}
found: dict[str, list[Seen]] = {name: [] for name in METHODS}
for questions, repeats, rate, icc in itertools.product(QUESTIONS, REPEATS, RATES, ICCS):
    sizes = np.full(questions, repeats)
    runs = drawn(rate, icc, questions, repeats)
    setting = f"rate {rate}, icc {icc}, {questions} questions x {repeats}"
    for name, method in METHODS.items():
        low, high = np.array([method(hits, sizes) for hits in runs]).T
        held = float(np.mean((low <= rate + 1e-9) & (high >= rate - 1e-9)))
        found[name].append(Seen(held, float(np.mean(high - low)), setting))
settings = len(RATES) * len(ICCS) * len(QUESTIONS) * len(REPEATS)
error = 1.96 * (0.0475 / RUNS) ** 0.5
print(
    f"{settings} settings, {RUNS} runs each (a coverage of 95 % is seen as "
    f"{100 * (0.95 - error):.1f} to {100 * (0.95 + error):.1f} %)"
)
print(f"{'method':24}{'settings under 94 %':>21}{'mean width':>12}   worst")
for name, results in found.items():
    worst = min(results)
    under, width = sum(r.held < 0.94 for r in results), np.mean([r.width for r in results])
    print(f"{name:24}{under:>21}{width:>12.3f}   {100 * worst.held:.1f} % at {worst.setting}")
