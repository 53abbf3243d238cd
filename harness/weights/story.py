"""The sentence of a merge check: it says no more than the numbers do.

First what forbids a sentence (too little was compared, no weights of a model, parents that are the
same), then one story where all matrices share it, and else the story of each part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from harness.weights import methods, parts
from harness.weights.aligned import Aligned
from harness.weights.invariants import APART, RELATED, Kinship
from harness.weights.matching import Compared
from harness.weights.methods import LIMITS, ON_THE_LINE, SILENT, Case, Tensor, Verdict
from harness.weights.parts import listed
from harness.weights.signs import CLOSE, senseless

#: Below this share of the suspect's numbers, or of its matrices, nothing is said of the whole.
ENOUGH: Final = 0.5
#: From this share on it counts as all of the suspect.
ALL: Final = 0.99
#: A ratio of exact matrices is that of inexact ones, too, up to this difference.
SAME_LINE: Final = 0.1
#: Share of the telling numbers below which parents are too close to one another.
TELLING: Final = 0.2


def decide(case: Case, compared: Compared, kin: Sequence[Kinship]) -> Verdict:
    """What was done to make the suspect, as far as its numbers say so.

    ``kin`` is how near each parent is by the invariants of attention, where they could be computed.
    """
    found = next((verdict for rule in FIRST if (verdict := rule(case, compared)) is not None), None)
    found = found or _told(case, kin)
    return found._replace(evidence=[extent(case, compared), *found.evidence])


def extent(c: Case, compared: Compared) -> str:
    """How much was compared."""
    silent = sum(t.fit.elements for t in c.matrices if t.kind in SILENT)
    whole = sum(t.fit.elements for t in c.matrices)
    said = (
        f"compared: {compared.matrices} of {compared.of_matrices} matrices of {c.suspect}, "
        f"{100 * compared.share:.3g} % of its numbers"
    )
    if silent:
        said += (
            f"; in {100 * silent / whole:.2g} % of these the parents are too near to one another "
            "to tell them apart"
        )
    return said


def hardly_compared(c: Case, compared: Compared) -> Verdict | None:
    if compared.least >= ENOUGH:
        return None
    kinds = [t.kind for t in c.matrices]
    found = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return Verdict(
        "cannot tell",
        f"too little of {c.suspect} has a counterpart in {listed(c.labels)}: "
        f"{compared.matrices} of its {compared.of_matrices} matrices, "
        f"{100 * compared.share:.2g} % of its numbers; what the rest is, is not known.",
        [f"of the matrices that were compared: {found}"],
        list(LIMITS),
        [],
    )


def _no_weights(c: Case, compared: Compared) -> Verdict | None:
    bad = [t for t in c.tensors if t.kind == "no weights"]
    whole = sum(t.fit.elements for t in c.tensors)
    if sum(t.fit.elements for t in bad) < ENOUGH * whole:
        return None
    return Verdict(
        "no working weights",
        f"{c.suspect} holds no weights of a model that works: {_senseless(bad)}.",
        [f"in {len(bad)} of {len(c.tensors)} tensors"],
        list(LIMITS),
        [],
    )


def _senseless(bad: Sequence[Tensor]) -> str:
    found: dict[str, int] = {}
    for t in bad:
        what = senseless(t.fit) or ""
        found[what] = found.get(what, 0) + t.fit.elements
    return listed(sorted(found, key=lambda what: -found[what]))


def _no_parents_apart(c: Case, compared: Compared) -> Verdict | None:
    if any(t.kind != "parents equal" for t in c.tensors):
        same = [t for t in c.matrices if t.kind in ("parents equal", "changed")]
        if len(same) < len(c.matrices):
            return None
    changed = [t for t in c.tensors if t.kind != "parents equal"]
    if not changed:
        sentence = f"{listed(c.labels)} hold the same numbers, and {c.suspect} holds them, too."
    else:
        sentence = (
            f"{listed(c.labels)} hold the same numbers, so nothing can be placed between them; "
            f"{c.suspect} differs from both in {len(changed)} of {len(c.tensors)} tensors."
        )
    return Verdict("cannot tell", sentence, [], list(LIMITS), [])


def _too_close(c: Case, compared: Compared) -> Verdict | None:
    differing = [t for t in c.matrices if t.kind != "parents equal"]
    told = sum(t.fit.elements for t in c.telling)
    if told >= TELLING * sum(t.fit.elements for t in differing):
        return None
    sizes = [t.fit.elements for t in differing]
    apart = methods.typical([max(t.fit.parents_in_rounding) for t in differing], sizes)
    far = methods.typical([t.fit.base_in_rounding for t in differing], sizes)
    sentence = (
        f"{listed(c.labels)} differ by hardly more than the rounding of their numbers; "
        f"{c.suspect} cannot be placed between them."
    )
    said = (
        f"donor and base differ by {apart:.2g} times the rounding of the stored type, "
        f"{c.suspect} and {c.base} by {far:.2g} times; a ratio takes {CLOSE:g} times"
    )
    return Verdict("cannot tell", sentence, [said], list(LIMITS), [])


#: What forbids a sentence about how the suspect was made.
FIRST: Final[tuple[Callable[[Case, Compared], Verdict | None], ...]] = (
    _no_weights,
    hardly_compared,
    _no_parents_apart,
    _too_close,
)


class _Parts(NamedTuple):
    """The matrices by what can be said of them."""

    exact: Case
    near: Case
    unrelated: Case
    changed: Case
    senseless: Case

    @property
    def kinds(self) -> int:
        return sum(bool(part.telling) for part in self)


def _told(c: Case, kin: Sequence[Kinship]) -> Verdict:
    """One story where all matrices share it, else the story of each part."""
    found = _Parts(
        c.only(*ON_THE_LINE),
        c.only("near"),
        c.only("unrelated"),
        c.only("changed"),
        c.only("no weights"),
    )
    if (adapted := _adapted(c, found)) is not None:
        return adapted
    if found.kinds == 1:
        return _one(c, found, kin)
    line = c.only(*ON_THE_LINE, "near")
    joined = None
    if found.kinds == 2 and found.exact.telling and found.near.telling:
        joined = _joined(c, found, line)
    return joined or _several(c, found, kin)


def _one(c: Case, found: _Parts, kin: Sequence[Kinship]) -> Verdict:
    if found.exact.telling:
        return _exact(c)
    if found.near.telling:
        return methods.near(c)
    if found.unrelated.telling:
        return unrelated(c, kin)
    return _several(c, found, kin)


def _exact(c: Case) -> Verdict:
    if c.share("arc") > 0.5 or parts.alike(c.placed):
        stacked = methods.stacking(c) if c.stacked is not None else None
        whole = methods.on_the_line(c) if parts.alike(c.placed) else methods.in_parts(c)
        return stacked or _moved(c, whole)
    return methods.stacking(c) or _moved(c, methods.in_parts(c))


def _moved(c: Case, told: Verdict) -> Verdict:
    """A story of layers that stand in other places than the parents'."""
    if c.stacked is None:
        return told
    return told._replace(
        method="different parts",
        sentence=f"the layers of {c.suspect} stand in another order, nearest: {methods.runs(c)}; "
        f"compared so, {told.sentence}",
    )


def unrelated(c: Case, kin: Sequence[Kinship]) -> Verdict:
    """No matrix is related as it stands: the invariants of attention say whether any parent is."""
    plain = f"{c.suspect} is not related to {listed(c.labels)} tensor by tensor"
    evidence = [_cosines(kin)] if kin else []
    related = sorted((one for one in kin if one.related), key=lambda one: -one.least)
    if related:
        nearest, others = related[0], [1 - one.least for one in kin if one is not related[0]]
        if 1 - nearest.least < SAME * min([1 - RELATED, *others]):
            said = f"the attention of {c.suspect} is that of {nearest.label}, with rows and "
            said += "columns in another order, or rotated: it does the same to the tokens."
        else:
            said = f"{c.suspect} is related to {_or(related)} through other rows and columns: "
            said += f"its attention does nearly the same to the tokens ({nearest.least:.3f} of 1)."
        return c.says(
            "related, in another order",
            said,
            "no matrix is a combination of the parents' as it stands",
            *evidence,
            limit=BY_INVARIANTS,
        )._replace(ratios=[])
    if kin and all(one.apart for one in kin):
        return c.says(
            "not related",
            f"{plain}, and not by the invariants of its attention.",
            *evidence,
            limit=BY_INVARIANTS,
        )
    why = (
        "the invariants of its attention are neither near theirs nor apart from them"
        if kin
        else "its attention and embeddings are not found under names that are known, "
        "so it is not known whether it is in another order"
    )
    return c.says("cannot tell", f"{plain}; {why}.", *evidence, limit=BY_INVARIANTS)


def _cosines(kin: Sequence[Kinship]) -> str:
    said = ", ".join(f"{k.label} {k.query_key:.3f} and {k.value_output:.3f}" for k in kin)
    return (
        f"cosines of the invariants M_a and M_b over {kin[0].layers} layers: {said} "
        f"(related from {RELATED:g}, apart up to {APART:g})"
    )


def _or(related: Sequence[Kinship]) -> str:
    return " or ".join(one.label for one in related)


#: Invariants are one parent's own, where they are so much nearer to 1 than another's are.
SAME: Final = 0.01
BY_INVARIANTS: Final = (
    "The invariants go by attention, by embeddings and by the numbers of tokens: "
    "a model whose vocabulary was put in another order, or replaced, looks unrelated by them."
)


def _adapted(c: Case, found: _Parts) -> Verdict | None:
    """A LoRA merged in: what changed differs from one parent by a low rank, the rest is its own."""
    if found.changed.telling or found.senseless.telling:
        return None
    changed = c.only("near", "unrelated")
    if not changed.telling or (told := methods.low_rank(changed)) is None:
        return None
    if not found.exact.telling:
        return told
    mine = found.exact.placed[0].ratio
    whose = parts.shares(mine, c.labels)
    if not parts.alike(found.exact.placed) or not whose.endswith(" itself"):
        return None
    if f" is {whose.removesuffix(' itself')} plus " not in told.sentence:
        return None
    where = parts.where(changed.placed, c.placed)
    return told._replace(sentence=f"{told.sentence[:-1]} (in {where}).")


def _joined(c: Case, found: _Parts, line: Case) -> Verdict | None:
    """Exact and inexact matrices of one ratio: one story, if the ratio is no parent's own."""
    exact, close = found.exact, found.near
    if not parts.alike(exact.placed):
        return None
    centre, beside = parts.middle(exact.placed), parts.middle(close.placed)
    if max(abs(a - b) for a, b in zip(centre, beside, strict=True)) > SAME_LINE:
        return None
    if c.share(*ON_THE_LINE) > 0.8 and parts.alike(line.placed):
        return _exact(c)
    told = methods.near(close)
    same = parts.shares(centre, c.labels).removesuffix(" itself")
    if (
        told.method.startswith(("fine-tune", "near the base", "quantised", "LoRA"))
        and same in c.labels
    ):
        where = parts.where(exact.placed, c.placed)
        return told._replace(sentence=f"{told.sentence[:-1]}; {where} of it are {same}'s own.")
    return None


def _several(c: Case, found: _Parts, kin: Sequence[Kinship]) -> Verdict:
    """Each part with its own story."""
    told: list[str] = []
    evidence: list[str] = []
    if found.exact.telling:
        placed = found.exact.placed
        said = parts.described(placed, lambda ratio: parts.shares(ratio, c.labels))
        if parts.alike(placed):
            where = parts.where(placed, c.placed)
            said = f"{where}: {parts.shares(parts.middle(placed), c.labels)}"
        told.append(f"{said}, exact to rounding")
    if found.near.telling:
        verdict = methods.near(found.near)
        where = parts.where(found.near.placed, c.placed)
        said = verdict.sentence.removeprefix(f"{c.suspect} ").rstrip(".")
        told.append(f"{where}: it {said}" if said != verdict.sentence else f"{where}: {said}")
        evidence = verdict.evidence
    if found.unrelated.telling:
        where = parts.where(found.unrelated.placed, c.placed)
        said = f"{where} related to no parent's, tensor by tensor"
        near = [one for one in kin if one.related]
        if any(one.component == "attention" for one in found.unrelated.placed):
            if near:
                said += f", but by the invariants of attention to {_or(near)}"
            elif kin and all(one.apart for one in kin):
                said += ", and not by the invariants of attention"
            evidence = [*evidence, *([_cosines(kin)] if kin else [])]
        told.append(said)
    if found.changed.telling:
        where = parts.where(found.changed.placed, c.placed)
        told.append(f"{where} changed where the parents are the same")
    if found.senseless.telling:
        where = parts.where(found.senseless.placed, c.placed)
        told.append(f"{where} without weights: {_senseless(found.senseless.telling)}")
    sentence = f"{c.suspect} is made of different parts: {'; '.join(told)}."
    return Verdict("different parts", sentence, evidence, list(LIMITS), c.ratios)


def told_in_order(told: Verdict, found: Aligned) -> Verdict:
    """A verdict on a suspect whose rows and columns were put into the parents' order."""
    rest = [one for one in found.moved if one != "hidden dimensions"]
    done = f"once its {listed(found.moved)} are put in the parents' order"
    if found.turned:
        done = "once its hidden dimensions are turned back to the parents'"
        done += f" and its {listed(rest)} are put in their order" if rest else ""
    sentence = f"{told.sentence.rstrip('.')}, {done}."
    for exactly, turned in TURNED if found.turned else ():
        sentence = sentence.replace(exactly, turned)
    return told._replace(
        sentence=sentence,
        evidence=[*told.evidence, f"found of another order: {'; '.join(found.seen)}"],
        limits=[*told.limits, SAME_FUNCTION],
    )


#: What is exact where hidden dimensions were turned: the rounding came after that.
TURNED: Final = (
    ("the same to the bit", "the same, up to the arithmetic of turning"),
    ("exact to the rounding of its stored type", "exact as far as turning shows"),
    ("exact to rounding", "exact as far as turning shows"),
)
SAME_FUNCTION: Final = (
    "A model whose rows and columns are put in another order, all in the same way, does the same; "
    "why they were is not known."
)


def told_in_vain(told: Verdict, found: Aligned) -> Verdict:
    """A verdict that stands though another order was looked for."""
    if not found.seen:
        return told
    seen = f"no other order of rows and columns was found: {'; '.join(found.seen)}"
    if told.method == "not related":
        sentence = f"{told.sentence.rstrip('.')}, nor in another order of its rows and columns."
        told = told._replace(sentence=sentence)
    return told._replace(evidence=[*told.evidence, seen])


def told_unsought(told: Verdict) -> Verdict:
    """A verdict of a sample, of which no order can be found."""
    why = (
        "whether rows and columns stand in another order was not tried: that takes whole "
        "matrices, on this machine and without --sample or --budget"
    )
    return told._replace(limits=[*told.limits, why])
