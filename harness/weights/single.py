"""One parent alone: the same weights, fine-tuned, noised, pruned, scaled, rounded, not related.

The same sums serve as for a merge, with a base that holds nothing but zeros: a is then how many
times the parent's numbers a tensor holds. What came first, numbers of two models do not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from harness.weights import parts
from harness.weights.checkpoint import Checkpoint, Piece
from harness.weights.invariants import Kinship
from harness.weights.matching import Compared
from harness.weights.methods import LIMITS, RELATED, Case, Method, Tensor, Verdict, typical
from harness.weights.parts import listed
from harness.weights.quantised import Quantised
from harness.weights.residual import ZEROED, Residual
from harness.weights.signs import EXACT, HUGE, Look
from harness.weights.story import ALL, extent, hardly_compared, unrelated

#: A multiple of the parent's numbers counts as 1 up to this.
ONE: Final = 0.002
#: The digest of a base of zeros.
NOTHING: Final = "nothing"
#: Different values of a row, by the parent's, from which it stands on a grid.
LEVELS: Final = 0.5


def nothing(parent: Checkpoint) -> Checkpoint:
    """A base of zeros, with the parent's tensors and label."""
    pieces = {name: _zeros(piece) for name, piece in parent.pieces.items()}
    return parent._replace(pieces=pieces, left_out={}, digest=NOTHING, sources=())


def _zeros(piece: Piece) -> Piece:
    columns = piece.columns

    def rows(at: int, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return np.zeros((n, columns), np.float32)

    stored = Quantised(piece.stored.name, "F32", (piece.rows, columns), 0.0, rows)
    return piece._replace(stored=stored, first=0, scale=None)


def judged(case: Case, compared: Compared, kin: Sequence[Kinship]) -> Verdict:
    """What one parent has to do with a suspect, as far as the numbers say so."""
    parent = case.labels[0]
    case.labels = [parent]
    told = hardly_compared(case, compared) or _told(case, parent, kin)
    return told._replace(evidence=[extent(case, compared), *told.evidence], ratios=[])


def _told(c: Case, parent: str, kin: Sequence[Kinship]) -> Verdict:
    by_story: dict[str, list[Tensor]] = {}
    for t in c.telling:
        by_story.setdefault(_kind(t), []).append(t)
    size = sum(t.fit.elements for t in c.telling)
    shares = {
        kind: sum(t.fit.elements for t in some) / max(1, size) for kind, some in by_story.items()
    }
    if not by_story:
        said = f"{parent} holds nothing but zeros in what was compared."
        return Verdict("cannot tell", said, [], list(LIMITS), [])
    largest = max(shares, key=lambda kind: shares[kind])
    if set(by_story) == {"unrelated"}:
        return unrelated(c, kin)
    if shares.get("no weights", 0) >= 0.5:
        said = f"{c.suspect} holds no weights of a model that works: zeros, NaN or absurd numbers."
        return Verdict("no working weights", said, [], list(LIMITS), [])
    if len(by_story) == 1 or (shares[largest] > ALL and "unrelated" not in by_story):
        return _one(c, by_story[largest], largest, parent)
    if set(by_story) <= {"same", "rounded"}:
        return _one(c, c.telling, "rounded", parent)
    if set(by_story) <= {"same", "rounded", "near"}:
        told = _one(c, by_story["near"], "near", parent)
        where = parts.where(_placed(c, by_story["near"]), c.placed)
        sentence = f"{told.sentence.rstrip('.')} (in {where}; all else is the same)."
        return told._replace(sentence=sentence)
    stories = [
        f"{parts.where(_placed(c, some), c.placed)}: {_short(c, some, kind, parent)}"
        for kind, some in by_story.items()
    ]
    sentence = f"{c.suspect} is made of different parts: {'; '.join(stories)}."
    return Verdict("different parts", sentence, [], [*LIMITS, WHICH_CAME_FIRST], [])


def _kind(t: Tensor) -> str:
    if t.kind == "same as donor":
        return "same"
    if t.kind in ("same as base", "no weights") or _absurd(t):
        return "no weights"
    if t.kind == "unrelated":
        return "unrelated"
    if t.kind == "blend":
        return "rounded" if abs(t.fit.a[0] - 1) < ONE else "scaled"
    return "near"


def _absurd(t: Tensor) -> bool:
    return t.fit.base_in_rounding > HUGE * max(t.fit.parents_in_rounding)


def _placed(c: Case, some: Sequence[Tensor]) -> list[parts.Placed]:
    names = {t.name for t in some}
    return [one for one in c.placed if one.name in names]


def _short(c: Case, some: Sequence[Tensor], kind: str, parent: str) -> str:
    if kind == "unrelated":
        return f"not related to {parent}'s, tensor by tensor"
    if kind == "no weights":
        return "no weights"
    told = _one(c, some, kind, parent).sentence.rstrip(".")
    return told.removeprefix(f"{c.suspect} ")


def _one(c: Case, some: Sequence[Tensor], kind: str, parent: str) -> Verdict:
    """The story of matrices of one kind."""
    if kind == "same":
        return _says("the same weights", f"{c.suspect} holds the same numbers as {parent}, {BIT}.")
    if kind == "rounded":
        return _says("quantised copy", f"{c.suspect} is {parent}, rounded to another type.")
    if kind == "scaled":
        factors = [t.fit.a[0] for t in some]
        said = f"by factors from {min(factors):.3g} to {max(factors):.3g}"
        return _says("scaled copy", f"{c.suspect} is {parent} with its matrices scaled, {said}.")
    return _near(c, some, parent)


BIT: Final = "to the bit"
WHICH_CAME_FIRST: Final = (
    "Numbers of two models do not say which came first, nor whether both were tuned from a third."
)


def _says(method: Method, sentence: str, *evidence: str) -> Verdict:
    return Verdict(method, sentence, list(evidence), [*LIMITS, WHICH_CAME_FIRST], [])


def _near(c: Case, some: Sequence[Tensor], parent: str) -> Verdict:
    """Matrices that are like the parent's and no multiple of them."""
    looks = [c.looked[t.name] for t in some if t.name in c.looked]
    found = [one.residual for one in looks if one.residual is not None]
    sizes = [t.fit.elements for t in some]
    apart = typical([t.fit.donor_distance[0] for t in some], sizes)
    share = typical([t.fit.a[0] for t in some], sizes)
    left = typical([t.fit.free_residual for t in some], sizes)
    seen = f"they differ by {100 * apart:.2g} % of a matrix's length, median"
    if (told := _kept(c, looks, found, parent, seen)) is not None:
        return told
    if left > RELATED:
        said = f"{c.suspect} holds {share:.2f} times {parent} and more that {parent} does not "
        return _says("cannot tell", f"{said}explain; what that is, is not known.", seen)
    if found and all(one.white for one in found):
        size = float(np.median([one.size for one in found]))
        return _says(
            "noise on a parent",
            f"{c.suspect} is {parent} plus white noise of {size:.3g} a number "
            f"({100 * apart:.2g} % of a matrix's length).",
            seen,
        )
    return _says(
        "fine-tuned from",
        f"{c.suspect} and {parent} are of one origin, {100 * apart:.2g} % of a matrix's length "
        "apart: one was tuned or merged from the other, or both from a third.",
        seen,
    )


def _kept(
    c: Case, looks: Sequence[Look], found: Sequence[Residual], parent: str, seen: str
) -> Verdict | None:
    """What left the parent's numbers recognisable: pruned, scaled, a LoRA, a coarser grid."""
    if not looks:
        return None
    if found and all(r.zeroed > ZEROED and r.kept_in_rounding <= EXACT for r in found):
        zeroed = float(np.median([r.zeroed for r in found]))
        said = f"with {100 * zeroed:.0f} % of its weights set to zero, the others unchanged"
        return _says("pruned copy", f"{c.suspect} is {parent} {said}.", seen)
    if found and all(r.scaled for r in found):
        least, most = min(r.factors[0] for r in found), max(r.factors[1] for r in found)
        hows = listed(sorted({str(r.scaled) for r in found}))
        said = f"with its matrices scaled, by {hows}: factors from {least:.3g} to {most:.3g}"
        return _says("scaled copy", f"{c.suspect} is {parent} {said}.", seen)
    ranks = [one.donor_rank for one in looks if one.donor_rank is not None]
    if len(ranks) > len(looks) / 2:
        said = f"a change of rank {int(np.median(ranks))} apart (a LoRA merged in)"
        return _says("LoRA on the donor", f"{c.suspect} and {parent} are {said}.", seen)
    levels = float(np.median([one.levels for one in looks]))
    grid = float(np.median([one.in_grid for one in looks]))
    if (found and all(r.flat for r in found)) or levels < LEVELS or grid < EXACT:
        said = "quantised and stored wide: its rows hold few different values"
        return _says("quantised copy", f"{c.suspect} is {parent}, {said}.", seen)
    return None
