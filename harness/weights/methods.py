"""Ways of making a suspect, or a part of it: rules, tried one after the other.

Each answers with a sentence, its evidence and its limits. Which matrices share one story is
decided in `story`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final, Literal, NamedTuple

import numpy as np
from scipy import special

from harness.weights import parts
from harness.weights.elements import CLEARLY
from harness.weights.fit import Fit
from harness.weights.parts import Placed, Ratio, listed
from harness.weights.residual import ZEROED, Residual
from harness.weights.signs import DROPPED, EXACT, FOUND, Kind, Look, arc

#: What no combination of the parents explains, as a share of a tensor's length, up to which the
#: suspect is related to them.
RELATED: Final = 0.6
#: Where a merge is not exact any more, its difference must still point to the donors with this
#: cosine, and its ratio be so large: fine-tunes on the same data share directions without any
#: merge.
STILL_POINTS: Final = 0.5
LARGE: Final = 0.25
#: TIES drops the smallest differences, and no others (chance that a dropped one is the larger).
SMALLEST: Final = 0.005
#: Share of numbers that a blend would move and that are the base's, from which it was no blend.
LEFT_ALONE: Final = 0.05
#: A copy of the base leaves this many roundings, or less.
COPIED: Final = 1.2
#: From this distance on, a ratio is neither 0 nor 1; up to the other, an exact one is.
AWAY: Final = 0.1
AT: Final = 0.02

Method = Literal[
    "not related",
    "related, in another order",
    "the same weights",
    "fine-tuned from",
    "base itself",
    "donor itself",
    "near the base",
    "fine-tune of the donor",
    "linear merge",
    "task arithmetic",
    "SLERP",
    "nearswap",
    "TIES",
    "DARE",
    "sparse merge",
    "layer stacking",
    "LoRA on the base",
    "LoRA on the donor",
    "quantised copy",
    "pruned copy",
    "scaled copy",
    "noise on a parent",
    "noise on a merge",
    "linear merge, changed afterwards",
    "inexact merge",
    "merge with an unknown part",
    "different parts",
    "no working weights",
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


#: Of these nothing can be told: the parents are too near to one another there.
SILENT: Final = ("parents equal", "too close")

LIMITS: Final = [
    "Numbers show of what a checkpoint is made, not who made it, when, or by whose leave.",
    "A ratio near 0 speaks of these parents alone: another parent that was not given may be in it.",
]


class Case:
    """All that the rules look at. Typical values are medians over tensors, weighted by size.

    ``labels`` name the donors, then the base; ``looks`` are by the names of tensors.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor],
        looks: Mapping[str, Look],
        labels: Sequence[str],
        stacked: dict[int, tuple[int, ...]] | None,
        suspect: str,
    ) -> None:
        *self.donors, self.base = labels
        self.suspect, self.labels, self.stacked = suspect, list(labels), stacked
        self.tensors, self.looked = tensors, looks
        self.matrices = [t for t in tensors if t.matrix] or list(tensors)
        self.telling = [t for t in self.matrices if t.kind not in SILENT]
        self.quantised = any(t.quantised for t in self.telling)

    def only(self, *kinds: Kind) -> Case:
        """The same of its matrices of some kinds alone."""
        some = [t for t in self.matrices if t.kind in kinds]
        return Case(some, self.looked, self.labels, self.stacked, self.suspect)

    @cached_property
    def looks(self) -> list[Look]:
        return [self.looked[t.name] for t in self.telling if t.name in self.looked]

    @cached_property
    def placed(self) -> list[Placed]:
        """Where each matrix lies between its parents."""
        return [_placed(t) for t in self.telling]

    def share(self, *kinds: Kind) -> float:
        """Share of the numbers that are in tensors of some kinds."""
        of_kinds = sum(t.fit.elements for t in self.telling if t.kind in kinds)
        return of_kinds / max(1, sum(t.fit.elements for t in self.telling))

    def typical(self, of: Callable[[Fit], float]) -> float:
        return typical([of(t.fit) for t in self.telling], [t.fit.elements for t in self.telling])

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


def low_rank(c: Case) -> Verdict | None:
    """A LoRA: most matrices that changed differ from one parent by a low rank."""
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
            f"{c.suspect} is neither clearly related to {listed(c.labels)} "
            "nor clearly apart from them.",
        )
    return None


def stacking(c: Case) -> Verdict | None:
    """Whole layers of several parents, each the same as its owner's."""
    copies = {"same as base", "same as donor"}
    if any(t.kind not in copies for t in c.telling):
        return None
    owners: dict[int, set[Ratio]] = {}
    for one in c.placed:
        if one.layer is not None:
            owners.setdefault(one.layer, set()).add(one.ratio)
    if any(len(found) > 1 for found in owners.values()):
        return None
    if c.stacked is None and len(set.union(set(), *owners.values())) < 2:
        return None
    return c.says(
        "layer stacking",
        f"{c.suspect} is stacked from whole layers of {listed(c.labels)}: {runs(c)}.",
        "its matrices are copied unchanged",
    )


def _the_same(c: Case) -> Verdict | None:
    """A parent itself: all matrices, and what else was compared, the same to the bit."""
    ratio = c.placed[0].ratio
    if any(t.kind not in ("same as base", "same as donor") for t in c.telling):
        return None
    if any(one.ratio != ratio for one in c.placed):
        return None
    whose = c.base if not any(ratio) else c.donors[ratio.index(1.0)]
    kind: Kind = "same as donor" if any(ratio) else "same as base"
    same = (kind, *SILENT)
    apart = [t for t in c.tensors if not t.matrix and t.kind not in same]
    method: Method = "donor itself" if any(ratio) else "base itself"
    if apart:
        return c.says(
            method,
            f"all matrices of {c.suspect} are those of {whose}, the same to the bit; "
            f"{len(apart)} of its vectors (such as {apart[0].name}) are not.",
        )
    return c.says(
        method,
        f"{c.suspect} is {whose}: its matrices are the same to the bit.",
    )


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
    most = float(np.median([one.elements.largest_left for one in c.looks if one.elements]))
    auc = float(np.median([one.auc for one in c.looks if not math.isnan(one.auc)] or [math.nan]))
    method: Method = "sparse merge"
    which, density = "neither the smallest nor a random draw", 1 - zeros
    if auc < 0.1:
        # what is not clear is small, and such methods drop it
        density, which = c.look(lambda one: one.moved), "mostly the smallest differences"
    if auc < SMALLEST and most < 0.5:
        method, which = "TIES", "the smallest differences"
    elif 0.4 < auc < 0.6 and within < 2 * EXACT:
        method, which = "DARE", "drawn whatever the difference"
    elif most > 0.5:
        which += ", and the largest ones" if auc < 0.1 else ""
    kept = c.look(lambda one: one.kept)
    exactly = "" if within < 2 * EXACT else "some numbers more and some less, on the whole "
    called = "" if method == "sparse merge" else f"{method}, "
    times = "" if len(c.donors) > 1 else f"{exactly}{kept:.3f} times"
    said = f" ({called}{times})" if called or times else ""
    return c.says(
        method,
        f"{c.suspect} is {c.base} with {100 * density:.0f} % of its difference to "
        f"{listed(c.donors)} put in{said.replace(', )', ')')}, the rest left as in {c.base}.",
        f"of the numbers where donor and base clearly differ {100 * zeros:.1f} % are the base's; "
        f"they are {which} (AUC {auc:.3f}); the others fit to {within:.2g} times the rounding",
        limit="Where a tool drops numbers and rescales the rest, the weight it was given and its "
        "scaling are seen only as their product.",
    )


def _left(c: Case) -> Verdict | None:
    """Numbers left at the base's where any blend, and any training, would have moved them."""
    shares = [one.elements.left for one in c.looks if one.elements]
    known = [share for share in shares if not math.isnan(share)]
    if len(known) < max(2, len(c.looks) / 2) or np.median(known) < LEFT_ALONE:
        return None
    held = listed(
        [f"{p.mean:.2f} of the difference of {d}" for p, d in zip(c.pooled, c.donors, strict=True)]
    )
    rest = f", and what else is in it, {c.donors[0]} does not explain" if len(c.donors) == 1 else ""
    return c.says(
        "sparse merge",
        f"{c.suspect} is {c.base} with parts of differences put in, and the rest left as in "
        f"{c.base} (TIES, DARE or a kin of them): on the whole it holds {held}{rest}.",
        f"of the numbers that a blend in these shares moves by {CLEARLY:g} steps of the stored "
        f"type or more, {100 * np.median(known):.0f} % are the base's",
        limit="Where a tool drops numbers and rescales the rest, the weight it was given and its "
        "scaling are seen only as their product.",
    )


def _stepped(c: Case) -> Verdict | None:
    """Every number moved towards the donor's by one step, or onto it."""
    found = [one.elements for one in c.looks if one.elements]
    rests = [e.step_in_rounding for e in found]
    if not rests or np.median(rests) > EXACT or max(rests) > 2 * EXACT:
        return None
    steps = sorted(e.step for e in found)
    return c.says(
        "nearswap",
        f"{c.suspect} is {c.base} with each number moved towards {c.donors[0]}'s by at most "
        f"{steps[-1]:.3g} (a swap of near numbers), exact to rounding.",
        f"in {len(found)} matrices that were looked at, the step is {steps[0]:.3g} to "
        f"{steps[-1]:.3g}",
    )


def _arc_by_row(c: Case) -> Verdict | None:
    """Each row on the arc between the parents' rows, all at one place."""
    found = [one.elements for one in c.looks if one.elements]
    known = [e for e in found if e.place_in_rounding <= EXACT and e.place_spread < AT / 2]
    if len(known) < max(2, 0.8 * len(found)):
        return None
    places = [e.place for e in known]
    if max(places) - min(places) > AT or not AT < np.median(places) < 1 - AT:
        return None
    place = float(np.median(places))
    return c.says(
        "SLERP",
        f"{c.suspect} lies row by row on the arcs between {c.base} and {c.donors[0]} (SLERP by "
        f"row) at t = {place:.3f}.",
        f"in {len(known)} of {len(found)} matrices that were looked at",
        ratios=[place],
    )


def _on_an_arc(c: Case) -> Verdict | None:
    if c.share("arc") <= 0.5:
        return None
    place = parts.middle(c.placed)[0]
    return c.says(
        "SLERP",
        f"{c.suspect} lies on the arc between {c.base} and {c.donors[0]} (SLERP) "
        f"at t = {place:.3f}.",
        f"{100 * c.share('arc'):.0f} % of its numbers are in tensors whose two free coefficients "
        "sum to what that arc predicts, and not to 1",
        ratios=[place],
    )


def on_the_line(c: Case) -> Verdict:
    """Exact blends of one ratio: a copy, a mixture, or more than a mixture."""
    if (found := _the_same(c) or _on_an_arc(c)) is not None:
        return found
    certain = c.share(*ON_THE_LINE)
    a = c.ratios
    from_either = min(abs(a[0]), abs(a[0] - 1))
    if c.near_one and c.quantised and from_either < AWAY / 2:
        return c.says(
            "quantised copy",
            f"{c.suspect} is {c.near_one}, quantised: what differs is the rounding of its type.",
        )
    margin = max(0.01, 4 * max(p.se for p in c.pooled))
    if sum(a) > 1 + margin or min(a) < -margin:
        said = listed(
            [f"{one:.3f} times the difference of {d}" for one, d in zip(a, c.donors, strict=True)]
        )
        return c.says(
            "task arithmetic",
            f"{c.suspect} is {c.base} plus {said}, exact to rounding "
            "(task arithmetic: the weights are no mixture).",
        )
    if c.near_one and from_either < AT:
        return c.says("quantised copy", f"{c.suspect} is {c.near_one}, rounded to another type.")
    return c.says(
        "linear merge",
        f"{c.suspect} is a linear merge, {parts.shares(tuple(a), c.labels, exact=False)}, "
        f"exact to the rounding of its stored type in {100 * certain:.0f} % of its numbers.",
        limit=SAME_NUMBERS,
    )


def in_parts(c: Case) -> Verdict:
    """Exact blends whose ratio is not the same everywhere."""
    if c.share("arc") > 0.5:
        along = parts.described(c.placed, lambda ratio: f"t = {ratio[0]:.3f}")
        return c.says(
            "different parts",
            f"{c.suspect} lies on the arcs between {c.base} and {c.donors[0]} (SLERP), "
            f"in each part at another place: {along}.",
        )
    told = parts.described(c.placed, lambda ratio: parts.shares(ratio, c.labels))
    return c.says(
        "different parts",
        f"{c.suspect} is made of {listed(c.labels)}, in each part differently, "
        f"exact to rounding: {told}.",
        limit=SAME_NUMBERS,
    )


SAME_NUMBERS: Final = (
    "A linear merge and task arithmetic with the same weights give the same numbers; "
    "so does SLERP where parents are nearly parallel."
)
#: Kinds of matrices that are exact combinations of the parents.
ON_THE_LINE: Final[tuple[Kind, ...]] = ("blend", "arc", "same as base", "same as donor")


def _placed(t: Tensor) -> Placed:
    on = arc(t.fit) if t.kind == "arc" else None
    ratio = (on.t,) if on else t.fit.a
    if t.kind == "same as base":
        ratio = (0.0,) * len(ratio)
    elif t.kind == "same as donor":
        nearest = int(np.argmin(t.fit.donors_in_rounding))
        ratio = tuple(float(i == nearest) for i in range(len(ratio)))
    elif t.quantised and len(ratio) == 1 and min(abs(ratio[0]), abs(ratio[0] - 1)) < AWAY / 2:
        ratio = (float(round(ratio[0])),)  # a grid of its own does not follow the parents
    error = ON_AN_ARC if on else max(t.fit.se)
    if t.kind in ("same as base", "same as donor"):
        error = 0.0
    return Placed(t.name, t.component, t.layer, ratio, error, t.fit.elements)


#: Where parents are nearly parallel an arc is told as a line, and its place so much less well.
ON_AN_ARC: Final = 0.002


def _residuals(c: Case) -> list[Residual]:
    """What sets apart the matrices that were looked at twice."""
    return [one.residual for one in c.looks if one.residual is not None]


def _owner(c: Case, found: Sequence[Residual]) -> str | None:
    """The one parent that all of these are nearest to."""
    nearest = {one.nearest for one in found}
    return (c.base, *c.donors)[nearest.pop()] if len(nearest) == 1 else None


def _pruned(c: Case) -> Verdict | None:
    """A parent with weights set to zero, and nothing else changed."""
    found = _residuals(c)
    whose = _owner(c, found)
    if not whose or not all(r.zeroed > ZEROED and r.kept_in_rounding <= EXACT for r in found):
        return None
    share = float(np.median([r.zeroed for r in found]))
    return c.says(
        "pruned copy",
        f"{c.suspect} is {whose} with {100 * share:.0f} % of its weights set to zero, "
        "the others unchanged.",
        f"in {len(found)} matrices that were looked at",
    )


def _scaled(c: Case) -> Verdict | None:
    """A parent whose matrices were scaled, as a whole or by row or column."""
    found = _residuals(c)
    whose = _owner(c, found)
    if not whose or not all(r.scaled for r in found):
        return None
    least, most = min(r.factors[0] for r in found), max(r.factors[1] for r in found)
    hows = listed(sorted({str(r.scaled) for r in found}))
    return c.says(
        "scaled copy",
        f"{c.suspect} is {whose} with its matrices scaled, by {hows}: "
        f"the factors lie between {least:.3g} and {most:.3g}, and nothing else was changed.",
        f"in {len(found)} matrices that were looked at",
        limit="Norms or neighbouring matrices can undo such scaling, so that the model does the "
        "same; whether they do so here was not tried.",
    )


def _noised(c: Case) -> Verdict | None:
    """White noise upon a parent or a merge."""
    found = _residuals(c)
    if len(found) < 2 or not all(r.white for r in found):
        return None
    if not all(p.se < AWAY / 2 for p in c.pooled) or not (c.near_one or _one_merge(c)):
        return None
    size, share = (float(np.median([of[i] for of in found])) for i in (0, 1))
    said = f"white noise of {size:.3g} a number ({100 * share:.2g} % of a matrix's length)"
    seen = (
        f"largest singular value of what is left {max(r.edge for r in found):.2f} of the edge of "
        f"white noise at most, kurtosis {np.median([r.kurtosis for r in found]):.2f}, "
        f"in {len(found)} matrices"
    )
    if c.near_one:
        return c.says("noise on a parent", f"{c.suspect} is {c.near_one} plus {said}.", seen)
    mixture = parts.shares(tuple(p.mean for p in c.pooled), c.labels, exact=False)
    return c.says("noise on a merge", f"{c.suspect} is {mixture}, plus {said}.", seen)


#: Free shares of the parents sum to less than this where something else was mixed in, which then
#: leaves so much of a matrix's length; they vary between matrices by this at most.
MISSING: Final = 0.95
LEFT: Final = 0.1
VARY: Final = 0.05


def _withheld(c: Case) -> Verdict | None:
    """The parents have stable shares that do not sum to 1, and do not explain the rest."""
    free = np.array([t.fit.free for t in c.telling])
    middle = np.median(free, axis=0)
    spread = 1.4826 * np.median(np.abs(free - middle), axis=0)
    if len(free) < 4 or spread.max() > VARY or not AWAY < middle.sum() < MISSING:
        return None
    if c.unexplained < LEFT or middle.min() < -AWAY:
        return None
    shares = zip(middle, c.labels, strict=True)
    known = [f"{share:.2f} {label}" for share, label in shares if abs(share) >= VARY]
    return c.says(
        "merge with an unknown part",
        f"{c.suspect} holds {' + '.join(known)}, and a part that {listed(c.labels)} do not "
        f"explain: {100 * c.unexplained:.0f} % of a matrix's length.",
        f"the shares vary between matrices by {spread.max():.2g} (robust spread)",
        limit="That part may be of another parent, or noise, or what else was done to a part of "
        "the numbers.",
    )


def _one_merge(c: Case) -> bool:
    """Whether all matrices share one ratio, and it is known well."""
    return bool(_found(c)) and parts.alike(c.placed) and all(p.se < AWAY / 2 for p in c.pooled)


def _uneven(c: Case) -> Verdict | None:
    """Inexact ratios that are not the same in all components."""
    if len(c.donors) > 1:
        return None
    by_component: dict[str, list[Tensor]] = {}
    for t in c.telling:
        by_component.setdefault(t.component, []).append(t)
    means = {name: over(some, 0) for name, some in by_component.items()}
    known = {name: p for name, p in means.items() if p.se < AWAY / 2}
    if len(known) < 2:
        return None
    least, most = (pick(known, key=lambda name: known[name].mean) for pick in (min, max))
    apart = known[most].mean - known[least].mean
    if apart < max(LARGE, FOUND * math.hypot(known[most].se, known[least].se)):
        return None
    said = listed([f"{p.mean:.2f} in {name}" for name, p in known.items()])
    return c.says(
        "different parts",
        f"{c.suspect} holds the difference of {c.donors[0]} to {c.base} in each part differently, "
        f"and nowhere exactly: {said}.",
        limit="Training moves components differently, too: parts may have been merged with other "
        "ratios, or trained further with other rates.",
    )


def _coarse(c: Case) -> Verdict | None:
    """A parent or a merge on a coarser grid."""
    found = _residuals(c)
    flat = bool(found) and np.mean([r.flat for r in found]) > 0.8
    if flat and not c.near_one and _one_merge(c):
        mixture = parts.shares(tuple(p.mean for p in c.pooled), c.labels, exact=False)
        return c.says(
            "linear merge, changed afterwards",
            f"{c.suspect} is {mixture}, quantised afterwards and stored wide.",
        )
    if not c.near_one or not c.looks:
        return None
    levels, grid = c.look(lambda one: one.levels), c.look(lambda one: one.in_grid)
    if not flat and (levels >= 0.5 or grid >= EXACT):
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
            f"{c.suspect} is near {c.base}; whether {listed(c.donors)} is in it, too, "
            "these numbers cannot tell.",
        )
    if c.typical(lambda fit: fit.base_in_rounding) <= (EXACT if c.quantised else COPIED):
        return c.says("quantised copy", f"{c.suspect} is {c.base}, up to the rounding of its type.")
    way = listed([f"{100 * p.mean:.1f} % of the way" for p in c.pooled])
    towards = "does not point towards"
    if any(abs(p.mean / p.se) > FOUND and p.mean > MORE_THAN_CHANCE for p in c.pooled):
        towards = "points by a small part towards"
    return c.says(
        "near the base",
        f"{c.suspect} is near {c.base}, and its difference to {c.base} "
        f"{towards} {listed(c.donors)}: {way}.",
        limit=SHARED,
    )


SHARED: Final = (
    "Fine-tunes of one base on the same data share directions without any merge; "
    "a checkpoint from the midst of the donor's own training lies near the line, too."
)
#: A way this short is told as none, whatever its error.
MORE_THAN_CHANCE: Final = 0.02


def _changed(c: Case) -> Verdict:
    """The direction of the donors is in it, and something else."""
    found = _found(c)
    if len(found) == 1 and abs(c.pooled[found[0]].mean - 1) < AWAY:
        donor = c.donors[found[0]]
        return c.says(
            "fine-tune of the donor",
            f"{c.suspect} holds the whole difference of {donor} to {c.base}, and more: "
            f"it was made from {donor} (trained further, quantised or otherwise changed).",
        )
    said = listed(
        [f"{c.pooled[i].mean:.3f} of the difference of {c.donors[i]} to {c.base}" for i in found]
    )
    limit = SHARED
    if max(abs(c.pooled[i].mean) for i in found) < LARGE:
        return c.says(
            "near the base",
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
        "inexact merge",
        f"{c.suspect} holds {said}, but not exactly, and a part that {listed(c.labels)} do not "
        "explain: a further model, training, quantising or another change afterwards "
        f"(cosine of the fit {c.cosine:.3f}).",
        limit=limit,
    )


#: For matrices that are near their parents and on no line between them: what is certain before
#: what is likely.
RULES: Final[tuple[Callable[[Case], Verdict | None], ...]] = (
    _pruned,
    _scaled,
    _sparse,
    _stepped,
    _arc_by_row,
    _left,
    _coarse,
    _withheld,
    _noised,
    _hardly_related,
    _uneven,
    _beside_the_line,
    _changed,
)


def near(c: Case) -> Verdict:
    """What matrices tell that are near their parents, and on no line between them."""
    return next(verdict for rule in RULES if (verdict := rule(c)) is not None)


def _found(c: Case) -> list[int]:
    """The donors whose direction is in the suspect."""
    return [i for i, p in enumerate(c.pooled) if abs(p.mean / p.se) > FOUND and abs(p.mean) > AWAY]


def typical(values: Sequence[float], sizes: Sequence[int]) -> float:
    """The median, weighted by size."""
    v, n = np.asarray(values, float), np.asarray(sizes, float)
    order = np.argsort(v)
    place = int(np.searchsorted(np.cumsum(n[order]), n.sum() / 2))
    return float(v[order][min(place, len(v) - 1)])


def runs(c: Case) -> str:
    """Runs of layers, such as "layers 0-3 are 0-3 of base"."""
    found: list[list[int | str]] = []
    for layer in sorted({t.layer for t in c.telling if t.layer is not None}):
        mine = [t for t in c.telling if t.layer == layer]
        far = [
            sum(t.fit.base_distance for t in mine),
            *(sum(t.fit.donor_distance[i] for t in mine) for i in range(len(c.donors))),
        ]
        nearest = int(np.argmin(far))
        whose = (c.base, *c.donors)[nearest]
        there = layer if c.stacked is None else c.stacked[layer][nearest - 1]
        last = found[-1] if found else None
        if last and last[0] == whose and last[2] == layer - 1 and last[4] == there - 1:
            last[2], last[4] = layer, there
        else:
            found.append([whose, layer, layer, there, there])
    return listed([f"layers {a}-{b} are {c}-{d} of {whose}" for whose, a, b, c, d in found])
