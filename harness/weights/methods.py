"""Which way of making the suspect fits best: rules, tried one after the other.

Each answers with a sentence, its evidence and its limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from scipy import special

from harness.weights.fit import Fit
from harness.weights.signs import CLOSE, DROPPED, EXACT, FOUND, Kind, Look, arc

#: What no combination of the parents explains, as a share of a tensor's length, up to which the
#: suspect is related to them.
RELATED: Final = 0.6
#: Where a merge is not exact any more, its difference must still point to the donors with this
#: cosine, and its ratio be so large: fine-tunes on the same data share directions without any
#: merge.
STILL_POINTS: Final = 0.5
LARGE: Final = 0.25
#: A copy of the base leaves this many roundings, or less.
COPIED: Final = 1.2
#: From this distance on, a ratio is neither 0 nor 1; up to the other, an exact one is.
AWAY: Final = 0.1
AT: Final = 0.02

Method = Literal[
    "independent",
    "base itself",
    "donor itself",
    "fine-tune of the base",
    "fine-tune of the donor",
    "linear merge",
    "task arithmetic",
    "SLERP",
    "TIES",
    "DARE",
    "sparse merge",
    "layer stacking",
    "LoRA on the base",
    "LoRA on the donor",
    "quantised copy",
    "linear merge, changed afterwards",
    "cannot tell",
]


class Pooled(NamedTuple):
    """A ratio over several tensors (DerSimonian and Laird 1986).

    Mean, its standard error, the spread between tensors, and the p-value of there being none.
    """

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
    return Pooled(
        float((w @ v) / w.sum()),
        float(1 / math.sqrt(w.sum())),
        math.sqrt(tau2),
        float(special.chdtrc(df, q)) if df else math.nan,
        len(v),
    )


def over(tensors: Sequence[Tensor], donor: int) -> Pooled:
    """One donor's ratio over some tensors.

    What rounding may move is not averaged away: it can be the same in all of them.
    """
    ratios = [t.fit.a[donor] for t in tensors]
    errors = [t.fit.se[donor] for t in tensors]
    shared = [t.fit.correction_se[donor] for t in tensors]
    own = [math.sqrt(max(0.0, e**2 - s**2)) for e, s in zip(errors, shared, strict=True)]
    found = pooled(ratios, own)
    se = math.hypot(found.se, float(np.median(shared)))
    return found._replace(p=pooled(ratios, errors).p, se=se)


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
    """The method, a sentence, its evidence, and what it does not prove.

    ``ratios`` are of the donors, the base's is what is left to 1.
    """

    method: Method
    sentence: str
    evidence: list[str]
    limits: list[str]
    ratios: list[float]


LIMITS: Final = [
    "Numbers show of what a checkpoint is made, not who made it, when, or by whose leave.",
    "A ratio near 0 speaks of these parents alone: another parent that was not given may be in it.",
]


class Case:
    """All that the rules look at. Typical values are medians over tensors, weighted by size."""

    def __init__(
        self,
        tensors: Sequence[Tensor],
        looks: Sequence[Look],
        labels: Sequence[str],
        stacked: dict[int, tuple[int, ...]] | None,
        suspect: str,
    ) -> None:
        *self.donors, self.base = labels
        self.suspect, self.labels, self.looks, self.stacked = suspect, list(labels), looks, stacked
        self.matrices = [t for t in tensors if t.matrix] or list(tensors)
        self.telling = [t for t in self.matrices if t.kind not in ("parents equal", "too close")]
        self.quantised = any(t.quantised for t in self.telling)

    def share(self, *kinds: Kind) -> float:
        """Share of the numbers that are in tensors of some kinds."""
        of_kinds = sum(t.fit.elements for t in self.telling if t.kind in kinds)
        return of_kinds / sum(t.fit.elements for t in self.telling)

    def typical(self, of: Callable[[Fit], float]) -> float:
        return _typical([of(t.fit) for t in self.telling], [t.fit.elements for t in self.telling])

    @cached_property
    def ratios(self) -> list[float]:
        return [self._ratio(donor) for donor in range(len(self.donors))]

    def _ratio(self, donor: int) -> float:
        return self.typical(lambda fit: fit.a[donor])

    @cached_property
    def pooled(self) -> list[Pooled]:
        return [over(self.telling, i) for i in range(len(self.donors))]

    @cached_property
    def residual(self) -> float:
        return self.typical(lambda fit: fit.in_rounding)

    @cached_property
    def cosine(self) -> float:
        return self.typical(lambda fit: fit.cosine)

    @cached_property
    def unexplained(self) -> float:
        return self.typical(lambda fit: fit.free_residual)

    @property
    def near_one(self) -> str | None:
        """The one of two parents that the ratio is at, roughly."""
        if len(self.donors) != 1 or min(abs(self.ratios[0]), abs(self.ratios[0] - 1)) >= AWAY:
            return None
        return self.donors[0] if self.ratios[0] > 0.5 else self.base

    def look(self, of: Callable[[Look], float]) -> float:
        """A median over the second looks."""
        return float(np.median([of(one) for one in self.looks]))

    def says(
        self,
        method: Method,
        sentence: str,
        *evidence: str,
        limit: str | None = None,
        ratios: list[float] | None = None,
    ) -> Verdict:
        """A verdict with the measures that every one has."""
        measured = self._measured() if self.stacked is None and self.telling else []
        return Verdict(
            method,
            sentence,
            [*measured, *evidence],
            [*LIMITS, *([limit] if limit else [])],
            self.ratios if ratios is None else ratios,
        )

    def _measured(self) -> list[str]:
        said = ", ".join(
            f"{d} {p.mean:.4f} +- {1.96 * p.se:.2g} (95 %), spread between tensors {p.spread:.2g}"
            for d, p in zip(self.donors, self.pooled, strict=True)
        )
        return [
            f"ratio over {len(self.telling)} matrices: {said}",
            f"residual of that line: {self.residual:.3g} times the rounding of the stored type; "
            f"cosine of the fit {self.cosine:.4f}",
            "what no combination of the parents explains: "
            f"{100 * self.unexplained:.2g} % of a tensor's length",
        ]


def decide(
    tensors: Sequence[Tensor],
    looks: Sequence[Look],
    labels: Sequence[str],
    stacked: dict[int, tuple[int, ...]] | None,
    suspect: str,
) -> Verdict:
    """The way of making the suspect that fits best. ``labels`` name the donors, then the base."""
    case = Case(tensors, looks, labels, stacked, suspect)
    found = next(verdict for rule in RULES if (verdict := rule(case)) is not None)
    return found


def _too_close(c: Case) -> Verdict | None:
    if sum(t.fit.elements for t in c.telling) >= 0.2 * sum(t.fit.elements for t in c.matrices):
        return None
    sizes = [t.fit.elements for t in c.matrices]
    apart = _typical([max(t.fit.parents_in_rounding) for t in c.matrices], sizes)
    far = _typical([t.fit.base_in_rounding for t in c.matrices], sizes)
    sentence = (
        f"{_and(c.labels)} differ by hardly more than the rounding of their numbers; "
        f"{c.suspect} cannot be placed between them."
    )
    said = (
        f"donor and base differ by {apart:.2g} times the rounding of the stored type, "
        f"{c.suspect} and {c.base} by {far:.2g} times; a ratio takes {CLOSE:g} times"
    )
    return Verdict("cannot tell", sentence, [said], list(LIMITS), [])


def _independent(c: Case) -> Verdict | None:
    if c.share("unrelated") <= 0.5:
        return None
    return c.says(
        "independent",
        f"{c.suspect} shares nothing with {_and(c.labels)}: "
        "no combination of them is nearer to it than chance.",
        f"{100 * c.share('unrelated'):.0f} % of its numbers "
        "are in tensors unrelated to every parent",
    )


def _low_rank(c: Case) -> Verdict | None:
    """A LoRA: most matrices that changed differ from one parent by a low rank."""
    if c.share("near", "unrelated") <= 0.3:
        return None
    ranks = {
        c.base: [one.base_rank for one in c.looks if one.base_rank is not None],
        c.donors[0]: [one.donor_rank for one in c.looks if one.donor_rank is not None],
    }
    enough = max(2, len(c.looks) // 3)
    typical = {
        place: int(np.median(found)) for place, found in ranks.items() if len(found) >= enough
    }
    if not typical:
        return None
    # where the donor is a LoRA itself, both are low
    place = min(typical, key=lambda name: typical[name])
    rank = typical[place]
    return c.says(
        "LoRA on the base" if place == c.base else "LoRA on the donor",
        f"{c.suspect} is {place} plus a change of rank {rank} (a LoRA merged in), "
        "exact to rounding.",
        f"{c.suspect} - {place} has rank {rank} in most matrices looked at, "
        "and nothing else above the rounding",
    )


def _hardly_related(c: Case) -> Verdict | None:
    if c.unexplained > RELATED:
        return c.says(
            "cannot tell",
            f"{c.suspect} is neither clearly related to {_and(c.labels)} "
            "nor clearly apart from them.",
        )
    return None


def _stacked(c: Case) -> Verdict | None:
    copied = c.share("same as base", "same as donor")
    either = min(c.share("same as base"), c.share("same as donor"))
    if c.stacked is None and (copied <= 0.95 or either <= 0.02):
        return None
    layers = _stack(c.telling, c.stacked, c.donors, c.base)
    return c.says(
        "layer stacking",
        f"{c.suspect} is stacked from whole layers of {_and(c.labels)}: {layers}.",
        f"{100 * copied:.0f} % of its numbers are in tensors copied unchanged",
    )


def _the_same(c: Case) -> Verdict | None:
    donor, base = c.share("same as donor"), c.share("same as base")
    if donor > 0.95:
        far = [sum(t.fit.donors_in_rounding[i] for t in c.telling) for i in range(len(c.donors))]
        return c.says(
            "donor itself",
            f"{c.suspect} is {c.donors[int(np.argmin(far))]}: {100 * donor:.0f} % of its numbers "
            "are in tensors that are the same to the bit.",
        )
    if base > 0.95:
        return c.says(
            "base itself",
            f"{c.suspect} is {c.base}: {100 * base:.0f} % of its numbers "
            "are in tensors that are the same to the bit.",
        )
    return None


def _sparse(c: Case) -> Verdict | None:
    """TIES and DARE: many numbers are the base's, and the others are a multiple.

    There are more of the base's than rounding leaves there.
    """
    if not c.looks:
        return None
    zeros = c.look(lambda one: one.zeros)
    within = c.look(lambda one: one.kept_in_rounding)
    if not DROPPED < zeros - c.look(lambda one: one.zeros_expected) < 0.995:
        return None
    if within >= max(c.residual / 2, 2 * EXACT):
        return None
    auc = float(np.median([one.auc for one in c.looks if not math.isnan(one.auc)] or [math.nan]))
    method: Method = "sparse merge"
    which, density = "neither the smallest nor a random draw", 1 - zeros
    if auc < 0.1:
        # what is not clear is small, and TIES drops it
        method, density = "TIES", c.look(lambda one: one.moved)
        which = "the smallest differences"
    elif 0.4 < auc < 0.6:
        method, which = "DARE", "drawn whatever the difference"
    kept = c.look(lambda one: one.kept)
    times = "" if len(c.donors) > 1 else f", {kept:.3f} times"
    return c.says(
        method,
        f"{c.suspect} is {c.base} with {100 * density:.0f} % of its difference to "
        f"{_and(c.donors)} put in ({method}{times}), the rest left as in {c.base}.",
        f"of the numbers where donor and base clearly differ {100 * zeros:.1f} % are the base's; "
        f"they are {which} (AUC {auc:.3f}); the others fit to {within:.2g} times the rounding",
        limit="Where a tool drops numbers and rescales the rest, the weight it was given and its "
        "scaling are seen only as their product.",
    )


def _on_an_arc(c: Case) -> Verdict | None:
    if c.share("arc") <= 0.5:
        return None
    found = [(on.t, t.fit.elements) for t in c.telling if (on := arc(t.fit))]
    place = _typical([v for v, _ in found], [n for _, n in found])
    return c.says(
        "SLERP",
        f"{c.suspect} lies on the arc between {c.base} and {c.donors[0]} (SLERP) "
        f"at t = {place:.3f}.",
        f"{100 * c.share('arc'):.0f} % of its numbers are in tensors whose two free coefficients "
        "sum to what that arc predicts, and not to 1",
        ratios=[place],
    )


def _on_the_line(c: Case) -> Verdict | None:
    """Exact blends: a copy, a mixture, or more than a mixture."""
    certain = c.share("blend", "arc", "same as base", "same as donor")
    if certain <= 0.8:
        return None
    a = c.ratios
    from_either = min(abs(a[0]), abs(a[0] - 1))
    if c.near_one and c.quantised and from_either < AWAY / 2:
        return c.says(
            "quantised copy",
            f"{c.suspect} is {c.near_one}, quantised: what differs is the rounding of its type.",
        )
    margin = max(0.01, 4 * max(p.se for p in c.pooled))
    if sum(a) > 1 + margin or min(a) < -margin:
        said = _and(
            [f"{one:.3f} times the difference of {d}" for one, d in zip(a, c.donors, strict=True)]
        )
        return c.says(
            "task arithmetic",
            f"{c.suspect} is {c.base} plus {said}, exact to rounding "
            "(task arithmetic: the weights are no mixture).",
        )
    if c.near_one and from_either < AT:
        return c.says("quantised copy", f"{c.suspect} is {c.near_one}, rounded to another type.")
    shares = zip((*a, 1 - sum(a)), (*c.donors, c.base), strict=True)
    mixture = " + ".join(f"{share:.3f} {whose}" for share, whose in shares)
    return c.says(
        "linear merge",
        f"{c.suspect} is a linear merge, {mixture}, exact to the rounding of its stored type "
        f"in {100 * certain:.0f} % of its numbers.",
        limit="A linear merge and task arithmetic with the same weights give the same numbers; "
        "so does SLERP where parents are nearly parallel.",
    )


def _coarse(c: Case) -> Verdict | None:
    """A quantised copy: one parent, on a coarser grid."""
    if not c.near_one or not c.looks:
        return None
    if c.look(lambda one: one.levels) >= 0.5 or c.look(lambda one: one.in_grid) >= EXACT:
        return None
    stored = "" if c.quantised else " and stored wide: its rows hold few different values"
    return c.says("quantised copy", f"{c.suspect} is {c.near_one}, quantised{stored}.")


def _beside_the_line(c: Case) -> Verdict | None:
    """Near the base, and the direction of the donors is not found in it."""
    if _found(c):
        return None
    if not all(p.se < AWAY / 2 for p in c.pooled):
        return c.says(
            "cannot tell",
            f"{c.suspect} is near {c.base}; whether {_and(c.donors)} is in it, too, "
            "these numbers cannot tell.",
        )
    if c.typical(lambda fit: fit.base_in_rounding) <= (EXACT if c.quantised else COPIED):
        return c.says("quantised copy", f"{c.suspect} is {c.base}, up to the rounding of its type.")
    way = _and([f"{100 * p.mean:.1f} % of the way" for p in c.pooled])
    return c.says(
        "fine-tune of the base",
        f"{c.suspect} is near {c.base}, and its difference to {c.base} "
        f"does not point towards {_and(c.donors)}: {way}.",
    )


def _changed(c: Case) -> Verdict:
    """The direction of the donors is in it, and something else."""
    found = _found(c)
    if len(found) == 1 and abs(c.pooled[found[0]].mean - 1) < AWAY:
        donor = c.donors[found[0]]
        return c.says(
            "fine-tune of the donor",
            f"{c.suspect} holds the whole difference of {donor} to {c.base}, and more: "
            f"it was made from {donor} (trained further, or rounded).",
        )
    said = _and(
        [f"{c.pooled[i].mean:.3f} of the difference of {c.donors[i]} to {c.base}" for i in found]
    )
    limit = (
        "Fine-tunes of one base on the same data share directions without any merge; "
        "a checkpoint from the midst of the donor's own training lies near the line, too."
    )
    if max(abs(c.pooled[i].mean) for i in found) < LARGE:
        return c.says(
            "fine-tune of the base",
            f"{c.suspect} is near {c.base}; it shares {said}, "
            "which fine-tunes on the same data may do.",
            limit=limit,
        )
    if c.cosine < STILL_POINTS:
        return c.says(
            "cannot tell",
            f"{c.suspect} shares {said}, but most of what sets it apart points elsewhere "
            f"(cosine of the fit {c.cosine:.3f}).",
            limit=limit,
        )
    return c.says(
        "linear merge, changed afterwards",
        f"{c.suspect} holds {said}, but not exactly: a merge that was changed afterwards "
        f"(cosine of the fit {c.cosine:.3f}).",
        limit=limit,
    )


#: In this order: what is certain before what is likely.
RULES: Final[tuple[Callable[[Case], Verdict | None], ...]] = (
    _too_close,
    _independent,
    _low_rank,
    _hardly_related,
    _stacked,
    _the_same,
    _sparse,
    _on_an_arc,
    _on_the_line,
    _coarse,
    _beside_the_line,
    _changed,
)


def _found(c: Case) -> list[int]:
    """The donors whose direction is in the suspect."""
    return [i for i, p in enumerate(c.pooled) if abs(p.mean / p.se) > FOUND and abs(p.mean) > AWAY]


def _typical(values: Sequence[float], sizes: Sequence[int]) -> float:
    """The median, weighted by size."""
    v, n = np.asarray(values, float), np.asarray(sizes, float)
    order = np.argsort(v)
    place = int(np.searchsorted(np.cumsum(n[order]), n.sum() / 2))
    return float(v[order][min(place, len(v) - 1)])


def _stack(
    telling: Sequence[Tensor],
    stacked: dict[int, tuple[int, ...]] | None,
    donors: Sequence[str],
    base: str,
) -> str:
    """Runs of layers, such as "layers 0-3 are 0-3 of base"."""
    runs: list[list[int | str]] = []
    for layer in sorted({t.layer for t in telling if t.layer is not None}):
        mine = [t for t in telling if t.layer == layer]
        far = [
            sum(t.fit.base_distance for t in mine),
            *(sum(t.fit.donor_distance[i] for t in mine) for i in range(len(donors))),
        ]
        nearest = int(np.argmin(far))
        whose = (base, *donors)[nearest]
        there = layer if stacked is None else stacked[layer][nearest - 1]
        if runs and runs[-1][0] == whose and runs[-1][2] == layer - 1 and runs[-1][4] == there - 1:
            runs[-1][2], runs[-1][4] = layer, there
        else:
            runs.append([whose, layer, layer, there, there])
    return _and([f"layers {a}-{b} are {c}-{d} of {whose}" for whose, a, b, c, d in runs])


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else list(parts))
