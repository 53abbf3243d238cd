"""Which way of making the suspect fits best: what each tensor shows, a second look at some of them, and a sentence with its limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats as distributions

from harness.weights.decode import Real, grid, rounding
from harness.weights.fit import Fit, first_guess

#: Residuals up to so many times the rounding of the stored type are rounding: merging tools round several times on the way.
EXACT: Final = 2.5
#: A tensor whose best combination of all parents leaves this share of its length (or more) shares nothing with them; under the other, it does.
UNRELATED: Final = 0.9
RELATED: Final = 0.6
#: Parents that differ by less than so many times the rounding of the stored type (about one and a half grid steps) cannot be told from it.
CLOSE: Final = 5.0
#: A blend's difference to the base points to the donors with this cosine, or more.
POINTS: Final = 0.8
#: Where a merge is not exact any more, its difference must still point to the donors like this, and its ratio be so large: fine-tunes on the same
#: data share directions without any merge.
STILL_POINTS: Final = 0.5
LARGE: Final = 0.25
#: A copy of the base leaves this many roundings, or less.
COPIED: Final = 1.2
#: Share of numbers left at the base's, beyond what rounding explains, from which a merge is sparse.
DROPPED: Final = 0.02
#: Share of a difference's energy that is no rank of its own, but the arithmetic's.
NOTHING: Final = 1e-10
#: From this distance on, a ratio is neither 0 nor 1.
AWAY: Final = 0.1
#: Z-score from which a direction counts as found.
FOUND: Final = 6.0

Kind = Literal["same as base", "same as donor", "blend", "arc", "near", "unrelated", "parents equal", "too close"]
Method = Literal[
    "independent", "base itself", "donor itself", "fine-tune of the base", "fine-tune of the donor", "linear merge", "task arithmetic", "SLERP", "TIES", "DARE", "sparse merge",
    "layer stacking", "LoRA on the base", "LoRA on the donor", "quantised copy", "linear merge, changed afterwards", "cannot tell",
]  # fmt: skip


def kind_of(fit: Fit, quantised: bool = False) -> Kind:
    """What one tensor shows by itself. A quantised suspect has a grid of its own, not its parents', so its rounding does not follow their difference."""
    if max(fit.parents_distance) < 1e-6:
        return "parents equal"
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
    within = EXACT * max(1.0, *map(abs, fit.free))  # beyond the parents, their own rounding is stretched, too
    points = fit.cosine > POINTS or (quantised and max(abs(a) / max(e, 1e-300) for a, e in zip(fit.a, fit.se, strict=True)) > FOUND)
    return "blend" if fit.in_rounding <= within and points else "near"


class Arc(NamedTuple):
    """Spherical interpolation: the angle between the parents (radians), the place on it (0 the base, 1 the donor)."""

    angle: float
    t: float


def arc(fit: Fit) -> Arc | None:
    """The arc between two parents that the free coefficients lie on, if they lie beside the line and on the arc (Shoemake 1985).

    On an arc of angle w the coefficients are sin(t w) / sin(w) and sin((1 - t) w) / sin(w); their sum is above 1 by about t (1 - t) w^2 / 2.
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
    if seen < 5 * fit.free_sum_se or abs(seen - expected) > max(0.2 * expected, 4 * fit.free_sum_se) or fit.free_in_rounding > min(2 * EXACT, 0.95 * fit.in_rounding):
        return None
    return Arc(angle, t)


class Look(NamedTuple):
    """A second look at some rows of one tensor."""

    #: Of the numbers where donor and base clearly differ, the share where the suspect has the base's.
    zeros: float
    #: The share of them at which an exact blend would show the base's number, too.
    zeros_expected: float
    #: Share of all numbers that are not the base's.
    moved: float
    #: The ratio over the others, and its residual by the rounding.
    kept: float
    kept_in_rounding: float
    #: The chance that a number left at the base's lies where donor and base differ more than at one that was not: 0 for TIES, 0.5 for DARE.
    auc: float
    #: Rank of (suspect - base) and of (suspect - donor) above the rounding; None where they have no low rank.
    base_rank: int | None
    donor_rank: int | None
    #: Different values in a row of the suspect, by those in the base's.
    levels: float
    #: Distance to the nearer of base and first donor, by the rounding of the grid that the rows seem to stand on.
    in_grid: float


def look(s: Real, donors: Sequence[Real], b: Real, bits: int, ranks: bool = True) -> Look:
    """Look at some rows (rows x columns) of a suspect, its donors and its base; ``bits`` as in `fit`; ``ranks``: whether to look for low ones, too."""
    y, x = s - b, [d - b for d in donors]
    step = np.exp2(np.floor(np.log2(np.maximum(np.abs(s), 1e-30))) + 1 - (bits or 8))
    clear = np.logical_or.reduce([np.abs(xi) > 1.5 * step for xi in x])
    ratios = first_guess(s, list(donors), b)
    blend = b + sum(a * xi for a, xi in zip(ratios, x, strict=True))
    expected = float((np.abs(blend - b) < step / 2)[clear].mean()) if clear.any() else 0.0
    dropped = clear & (y == 0)
    kept = clear & (y != 0)
    zeros = float(dropped.sum() / max(1, clear.sum()))
    ratio, within = math.nan, math.inf
    if kept.any():
        ratio = float((x[0][kept] @ y[kept]) / max(1e-300, x[0][kept] @ x[0][kept]))
        rest = y[kept] - ratio * x[0][kept]
        within = math.sqrt(float(rest @ rest) / max(1e-300, float(step[kept] @ step[kept]) / 12))
    largest = np.maximum.reduce([np.abs(xi) for xi in x])
    levels = [len(np.unique(row)) for row in s[:8]], [len(np.unique(row)) for row in b[:8]]
    base_rank, donor_rank = (_rank(y, s, bits), _rank(s - donors[0], s, bits)) if ranks and bits else (None, None)
    nearest = min(float((y * y).sum()), float(((s - donors[0]) ** 2).sum()))
    auc = _auc(largest[dropped], largest[kept]) if zeros > DROPPED else math.nan
    return Look(zeros, expected, float((y != 0).mean()), ratio, within, auc, base_rank, donor_rank, float(np.median(levels[0]) / np.median(levels[1])), math.sqrt(nearest / max(1e-300, grid(s))))


def _auc(dropped: npt.NDArray[np.floating], kept: npt.NDArray[np.floating]) -> float:
    """Mann and Whitney's statistic by its maximum, ties counted half."""
    if not len(dropped) or not len(kept):
        return math.nan
    return float(distributions.mannwhitneyu(dropped, kept).statistic / (len(dropped) * len(kept)))


def _rank(difference: Real, s: Real, bits: int) -> int | None:
    """Rank above the rounding, if it is low and nothing else is left: squared singular values over the edge that noise of that variance has (Marchenko and Pastur 1967)."""
    if not difference.any():
        return None
    noise, scratch = 0.0, np.empty_like(s)
    for rounded in (s, difference, difference):  # a change is rounded when it is computed, and when it is scaled, before it is added
        noise += rounding(np.ascontiguousarray(rounded), bits, scratch)
    d = difference.astype(np.float64)
    if d.shape[0] > d.shape[1]:
        d = d.T
    values = np.linalg.svd(np.linalg.qr(d.T, mode="r"), compute_uv=False) ** 2  # no product of d with itself: it would drown what is small
    edge = 1.5 * noise / d.size * (math.sqrt(d.shape[0]) + math.sqrt(d.shape[1])) ** 2
    rank = int((values > edge).sum())
    exact = int(np.searchsorted(-np.cumsum(values[::-1])[::-1], -NOTHING * float(values.sum())))  # so many leave nothing worth a rank
    rank = min(rank, exact) if exact else rank
    low = 1 <= rank <= min(d.shape) // 4 and float(values[rank:].sum()) <= 4 * noise
    return rank if low else None


class Pooled(NamedTuple):
    """A ratio over several tensors (DerSimonian and Laird 1986): mean, its standard error, the spread between tensors, and the p-value of there being none."""

    mean: float
    se: float
    spread: float
    p: float
    tensors: int


def pooled(values: Sequence[float], errors: Sequence[float]) -> Pooled:
    """Mean of values with standard errors, with a spread between them."""
    v, e = np.asarray(values, float), np.maximum(np.asarray(errors, float), 1e-12)
    w = 1 / e**2
    fixed = float((w @ v) / w.sum())
    q = float(w @ (v - fixed) ** 2)
    df = len(v) - 1
    tau2 = max(0.0, (q - df) / (w.sum() - (w @ w) / w.sum())) if df else 0.0
    w = 1 / (e**2 + tau2)
    return Pooled(float((w @ v) / w.sum()), float(1 / math.sqrt(w.sum())), math.sqrt(tau2), float(distributions.chi2.sf(q, df)) if df else math.nan, len(v))


def over(tensors: Sequence[Tensor], donor: int) -> Pooled:
    """One donor's ratio over some tensors. What rounding may move is not averaged away: it can be the same in all of them."""
    found = pooled([t.fit.a[donor] for t in tensors], [math.sqrt(max(0.0, t.fit.se[donor] ** 2 - t.fit.correction_se[donor] ** 2)) for t in tensors])
    same = pooled([t.fit.a[donor] for t in tensors], [t.fit.se[donor] for t in tensors]).p
    return found._replace(p=same, se=math.hypot(found.se, float(np.median([t.fit.correction_se[donor] for t in tensors]))))


class Tensor(NamedTuple):
    """A tensor's fit beside what it is."""

    name: str
    component: str
    layer: int | None
    matrix: bool
    quantised: bool
    fit: Fit
    kind: Kind


class Verdict(NamedTuple):
    """The method, a sentence, its evidence, and what it does not prove. ``ratios`` are of the donors, the base's is what is left to 1."""

    method: Method
    sentence: str
    evidence: list[str]
    limits: list[str]
    ratios: list[float]


LIMITS: Final = [
    "Numbers show of what a checkpoint is made, not who made it, when, or by whose leave.",
    "A ratio near 0 speaks of these parents alone: another parent that was not given may be in it.",
]


def decide(tensors: Sequence[Tensor], looks: Sequence[Look], labels: Sequence[str], stacked: dict[int, tuple[int, ...]] | None, suspect: str) -> Verdict:
    """The way of making the suspect that fits best. ``labels`` name the donors, then the base."""
    *donors, base = labels
    matrices = [t for t in tensors if t.matrix] or list(tensors)
    telling = [t for t in matrices if t.kind not in ("parents equal", "too close")]
    if sum(t.fit.elements for t in telling) < 0.2 * sum(t.fit.elements for t in matrices):
        return _too_close(matrices, labels, suspect)
    size = sum(t.fit.elements for t in telling)
    share = {kind: sum(t.fit.elements for t in telling if t.kind == kind) / size for kind in ("same as base", "same as donor", "blend", "arc", "near", "unrelated")}
    ratios = [_typical([t.fit.a[i] for t in telling], [t.fit.elements for t in telling]) for i in range(len(donors))]
    spans = _typical([t.fit.free_residual for t in telling], [t.fit.elements for t in telling])
    ratio = [over(telling, i) for i in range(len(donors))]
    exact = _typical([t.fit.in_rounding for t in telling], [t.fit.elements for t in telling])
    cosine = _typical([t.fit.cosine for t in telling], [t.fit.elements for t in telling])
    said = " + ".join([*(f"{a:.3f} {d}" for a, d in zip(ratios, donors, strict=True)), f"{1 - sum(ratios):.3f} {base}"])
    measured = (
        []
        if stacked is not None
        else [
            f"ratio over {len(telling)} matrices: " + ", ".join(f"{d} {p.mean:.4f} +- {1.96 * p.se:.2g} (95 %), spread between tensors {p.spread:.2g}" for d, p in zip(donors, ratio, strict=True)),
            f"residual of that line: {exact:.3g} times the rounding of the stored type; cosine of the fit {cosine:.4f}",
            f"what no combination of the parents explains: {100 * spans:.2g} % of a tensor's length",
        ]
    )
    limits = list(LIMITS)

    def verdict(method: Method, sentence: str, *more: str) -> Verdict:
        return Verdict(method, sentence, [*measured, *more], limits, ratios)

    if share["unrelated"] > 0.5:
        return verdict(
            "independent",
            f"{suspect} shares nothing with {_all(labels)}: no combination of them is nearer to it than chance.",
            f"{100 * share['unrelated']:.0f} % of its numbers are in tensors unrelated to every parent",
        )
    low = _low_rank(looks) if share["near"] + share["unrelated"] > 0.3 else None
    if low is not None:
        on_base, rank = low
        place = base if on_base else donors[0]
        return verdict(
            "LoRA on the base" if on_base else "LoRA on the donor",
            f"{suspect} is {place} plus a change of rank {rank} (a LoRA merged in), exact to rounding.",
            f"{suspect} - {place} has rank {rank} in most matrices looked at, and nothing else above the rounding",
        )
    if spans > RELATED:
        return verdict("cannot tell", f"{suspect} is neither clearly related to {_all(labels)} nor clearly apart from them.")
    copied = share["same as base"] + share["same as donor"]
    if stacked is not None or (copied > 0.95 and min(share["same as base"], share["same as donor"]) > 0.02):
        return verdict(
            "layer stacking",
            f"{suspect} is stacked from whole layers of {_all(labels)}: {_stack(telling, stacked, donors, base)}.",
            f"{100 * copied:.0f} % of its numbers are in tensors copied unchanged",
        )
    if share["same as donor"] > 0.95:
        which = donors[int(np.argmin([sum(t.fit.donors_in_rounding[i] for t in telling) for i in range(len(donors))]))]
        return verdict("donor itself", f"{suspect} is {which}: {100 * share['same as donor']:.0f} % of its numbers are in tensors that are the same to the bit.")
    if share["same as base"] > 0.95:
        return verdict("base itself", f"{suspect} is {base}: {100 * share['same as base']:.0f} % of its numbers are in tensors that are the same to the bit.")
    sparse = _sparse(looks, exact)
    if sparse is not None:
        method, density, kept, how = sparse
        limits.append("Where a tool drops numbers and rescales the rest, the weight it was given and its scaling are seen only as their product.")
        return verdict(
            method,
            f"{suspect} is {base} with {100 * density:.0f} % of its difference to {_all(donors)} put in ({method}{'' if len(donors) > 1 else f', {kept:.3f} times'}), the rest left as in {base}.",
            how,
        )
    if share["arc"] > 0.5:
        found = [(f.t, t.fit.elements) for t in telling if (f := arc(t.fit))]
        t = _typical([v for v, _ in found], [n for _, n in found])
        return Verdict(
            "SLERP",
            f"{suspect} lies on the arc between {base} and {donors[0]} (SLERP) at t = {t:.3f}.",
            [*measured, f"{100 * share['arc']:.0f} % of its numbers are in tensors whose two free coefficients sum to what that arc predicts, and not to 1"],
            limits,
            [t],
        )
    certain = share["blend"] + share["arc"] + copied
    if certain > 0.8:
        if any(t.quantised for t in telling) and len(donors) == 1 and min(abs(ratios[0]), abs(ratios[0] - 1)) < AWAY / 2:
            return verdict("quantised copy", f"{suspect} is {donors[0] if ratios[0] > 0.5 else base}, quantised: what differs is the rounding of its type.")
        if _beyond(ratios, ratio):
            return verdict("task arithmetic", f"{suspect} is {base} plus {_times(ratios, donors)}, exact to rounding (task arithmetic: the weights are no mixture).")
        if len(donors) == 1 and min(abs(ratios[0]), abs(ratios[0] - 1)) < 0.02:
            return verdict("quantised copy", f"{suspect} is {donors[0] if ratios[0] > 0.5 else base}, rounded to another type.")
        limits.append("A linear merge and task arithmetic with the same weights give the same numbers; so does SLERP where parents are nearly parallel.")
        return verdict("linear merge", f"{suspect} is a linear merge, {said}, exact to the rounding of its stored type in {100 * certain:.0f} % of its numbers.")
    if looks and np.median([one.levels for one in looks]) < 0.5 and np.median([one.in_grid for one in looks]) < EXACT and len(donors) == 1 and min(abs(ratios[0]), abs(ratios[0] - 1)) < AWAY:
        how = "quantised" if any(t.quantised for t in telling) else "quantised and stored wide: its rows hold few different values"
        return verdict("quantised copy", f"{suspect} is {donors[0] if ratios[0] > 0.5 else base}, {how}.")
    return _changed(verdict, limits, ratio, cosine, _typical([t.fit.base_in_rounding for t in telling], [t.fit.elements for t in telling]), any(t.quantised for t in telling), donors, base, suspect)


def _changed(verdict: Callable[..., Verdict], limits: list[str], ratio: list[Pooled], cosine: float, from_base: float, quantised: bool, donors: Sequence[str], base: str, suspect: str) -> Verdict:
    """Related, but by no exact rule: the direction of the donors is found, or it is not."""
    z = [p.mean / p.se for p in ratio]
    found = [i for i in range(len(donors)) if abs(z[i]) > FOUND and abs(ratio[i].mean) > AWAY]
    if not found:
        if not all(p.se < AWAY / 2 for p in ratio):
            return verdict("cannot tell", f"{suspect} is near {base}; whether {_all(donors)} is in it, too, these numbers cannot tell.")
        if from_base <= (EXACT if quantised else COPIED):
            return verdict("quantised copy", f"{suspect} is {base}, up to the rounding of its type.")
        return verdict(
            "fine-tune of the base", f"{suspect} is near {base}, and its difference to {base} does not point towards {_all(donors)}: {_and([f'{100 * p.mean:.1f} % of the way' for p in ratio])}."
        )
    if len(found) == 1 and abs(ratio[found[0]].mean - 1) < AWAY:
        return verdict("fine-tune of the donor", f"{suspect} holds the whole difference of {donors[found[0]]} to {base}, and more: it was made from {donors[found[0]]} (trained further, or rounded).")
    said = _and([f"{ratio[i].mean:.3f} of the difference of {donors[i]} to {base}" for i in found])
    limits.append("Fine-tunes of one base on the same data share directions without any merge; a checkpoint from the midst of the donor's own training lies near the line, too.")
    if max(abs(ratio[i].mean) for i in found) < LARGE:
        return verdict("fine-tune of the base", f"{suspect} is near {base}; it shares {said}, which fine-tunes on the same data may do.")
    if cosine < STILL_POINTS:
        return verdict("cannot tell", f"{suspect} shares {said}, but most of what sets it apart points elsewhere (cosine of the fit {cosine:.3f}).")
    return verdict("linear merge, changed afterwards", f"{suspect} holds {said}, but not exactly: a merge that was changed afterwards (cosine of the fit {cosine:.3f}).")


def _too_close(matrices: Sequence[Tensor], labels: Sequence[str], suspect: str) -> Verdict:
    typical = _typical([max(t.fit.parents_in_rounding) for t in matrices], [t.fit.elements for t in matrices])
    far = _typical([t.fit.base_in_rounding for t in matrices], [t.fit.elements for t in matrices])
    said = [f"donor and base differ by {typical:.2g} times the rounding of the stored type, {suspect} and {labels[-1]} by {far:.2g} times; a ratio takes {CLOSE:g} times"]
    return Verdict("cannot tell", f"{_all(labels)} differ by hardly more than the rounding of their numbers; {suspect} cannot be placed between them.", said, list(LIMITS), [])


def _beyond(ratios: Sequence[float], ratio: Sequence[Pooled]) -> bool:
    """Whether the weights are no mixture: below 0, or together above 1."""
    margin = max(0.01, 4 * max(p.se for p in ratio))
    return sum(ratios) > 1 + margin or min(ratios) < -margin


def _sparse(looks: Sequence[Look], exact: float) -> tuple[Method, float, float, str] | None:
    if not looks:
        return None
    zeros, auc = float(np.median([one.zeros for one in looks])), float(np.median([one.auc for one in looks if not math.isnan(one.auc)] or [math.nan]))
    kept, within = float(np.median([one.kept for one in looks])), float(np.median([one.kept_in_rounding for one in looks]))
    expected = float(np.median([one.zeros_expected for one in looks]))
    if not DROPPED < zeros - expected < 0.995 or not (within < exact / 2 or within < 2 * EXACT):
        return None
    method: Method = "TIES" if auc < 0.1 else "DARE" if 0.4 < auc < 0.6 else "sparse merge"
    how = f"of the numbers where donor and base clearly differ {100 * zeros:.1f} % are the base's; they are {'the smallest differences' if method == 'TIES' else 'drawn whatever the difference' if method == 'DARE' else 'neither the smallest nor a random draw'} (AUC {auc:.3f}); the others fit to {within:.2g} times the rounding"
    density = float(np.median([one.moved for one in looks])) if method == "TIES" else 1 - zeros  # what is not clear is small, and TIES drops it
    return method, density, kept, how


def _low_rank(looks: Sequence[Look]) -> tuple[bool, int] | None:
    """Whether the change is on the base (else on the donor), and its rank, where most matrices that changed say so."""
    both = {on_base: [r for one in looks if (r := one.base_rank if on_base else one.donor_rank) is not None] for on_base in (True, False)}
    typical = {on_base: int(np.median(ranks)) for on_base, ranks in both.items() if len(ranks) >= max(2, len(looks) // 3)}
    return min(typical.items(), key=lambda item: item[1], default=None)  # where the donor is a LoRA itself, both are low


def _typical(values: Sequence[float], sizes: Sequence[int]) -> float:
    """The median, weighted by size."""
    v, n = np.asarray(values, float), np.asarray(sizes, float)
    order = np.argsort(v)
    place = int(np.searchsorted(np.cumsum(n[order]), n.sum() / 2))
    return float(v[order][min(place, len(v) - 1)])


def _stack(telling: Sequence[Tensor], stacked: dict[int, tuple[int, ...]] | None, donors: Sequence[str], base: str) -> str:
    """Runs of layers, such as "layers 0-3 are 0-3 of base"."""
    runs: list[list[int | str]] = []
    for layer in sorted({t.layer for t in telling if t.layer is not None}):
        mine = [t for t in telling if t.layer == layer]
        far = [sum(t.fit.base_distance for t in mine), *(sum(t.fit.donor_distance[i] for t in mine) for i in range(len(donors)))]
        nearest = int(np.argmin(far))
        whose = (base, *donors)[nearest]
        there = layer if stacked is None else stacked[layer][nearest - 1]
        if runs and runs[-1][0] == whose and runs[-1][2] == layer - 1 and runs[-1][4] == there - 1:
            runs[-1][2], runs[-1][4] = layer, there
        else:
            runs.append([whose, layer, layer, there, there])
    return _and([f"layers {a}-{b} are {c}-{d} of {whose}" for whose, a, b, c, d in runs])


def _times(ratios: Sequence[float], donors: Sequence[str]) -> str:
    return _and([f"{a:.3f} times the difference of {d}" for a, d in zip(ratios, donors, strict=True)])


def _all(labels: Sequence[str]) -> str:
    return _and(list(labels))


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else list(parts))
