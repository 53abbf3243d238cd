"""The same tensor in every checkpoint: by name, or from fused, stacked and tied ones.

Where layouts differ, the rows of those are taken apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from harness.errors import WeightsError
from harness.weights.checkpoint import Checkpoint, Piece

T = TypeVar("T")
#: Fused matrices whose parts lie in their rows, one below the other (as in Phi-3 and vLLM).
#: Layouts that interleave heads (GPT-NeoX, Qwen3-Next) are not taken apart: they meet only their
#: own kind.
FUSED: Final = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "W_pack": ("q_proj", "k_proj", "v_proj"),
}
_STACKED: Final = re.compile(r"(.*\.experts)\.([a-z_]+(?:\.weight)?)")
_EXPERT: Final = re.compile(r"\.experts\.\d+\.")
LAYER: Final = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")


class Match(NamedTuple):
    """One tensor in the suspect, in each parent, and in the base (the last parent)."""

    name: str
    suspect: Piece
    parents: tuple[Piece, ...]

    @property
    def elements(self) -> int:
        return self.suspect.rows * self.suspect.columns

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The suspect's, then the parents'."""
        return self.suspect, *self.parents

    @property
    def row_bytes(self) -> float:
        """Stored bytes of one row, in all checkpoints together."""
        return sum(piece.row_bytes for piece in self.pieces)

    def bytes_of(self, rows: int) -> int:
        """Stored bytes of some rows, in all checkpoints together."""
        return math.ceil(self.row_bytes * rows)


class Compared(NamedTuple):
    """How much of the suspect has a counterpart in every parent: numbers, and matrices."""

    numbers: int
    of_numbers: int
    matrices: int
    of_matrices: int

    @property
    def share(self) -> float:
        return self.numbers / max(1, self.of_numbers)

    @property
    def least(self) -> float:
        """The smaller of the shares of the numbers and of the matrices."""
        return min(self.share, self.matrices / self.of_matrices if self.of_matrices else 1.0)


class Matched(NamedTuple):
    """What can be compared, what cannot (with the reason), and what was done to make names meet."""

    matches: list[Match]
    unmatched: dict[str, str]
    renamed: list[str]
    compared: Compared


def match(
    suspect: Checkpoint,
    parents: Sequence[Checkpoint],
    layers: dict[int, tuple[int, ...]] | None = None,
) -> Matched:
    """Bring the tensors of all checkpoints together.

    Parameters
    ----------
    layers
        For each layer of the suspect the layer that it is compared with in each parent; the same
        ones, if None.

    Raises
    ------
    WeightsError
        No tensor is in all of them.
    """
    everyone = [suspect, *parents]
    labels = [one.label for one in parents]
    renamed: list[str] = []
    mine, *theirs = alike(everyone, renamed)
    matches: list[Match] = []
    unmatched: dict[str, str] = {}
    for name, piece in mine.items():
        places = [_moved(name, layers, number) for number in range(len(parents))]
        found = [pieces.get(place) for pieces, place in zip(theirs, places, strict=True)]
        why = _why_not(piece, found, suspect.label, labels)
        if why is None:
            matches.append(Match(name, piece, tuple(p for p in found if p is not None)))
        else:
            unmatched[name] = why
    for one, pieces in zip(parents, theirs, strict=True):
        extra = [name for name in pieces if name not in mine] if layers is None else []
        unmatched |= {f"{name} ({one.label})": f"not in {suspect.label}" for name in extra}
    for one in everyone:
        unmatched |= {f"{name} ({one.label})": left.why for name, left in one.left_out.items()}
    if not matches:
        first, reason = next(iter(unmatched.items()), ("", "nothing is in it"))
        raise WeightsError(
            f"no tensor of {suspect.label} is in all of {', '.join(dict.fromkeys(labels))} "
            f"in the same shape; the first: {first}: {reason}",
            where=suspect.where,
            next="give checkpoints of one architecture and size",
        )
    compared = _compared(matches, mine, suspect)
    renamed = list(dict.fromkeys(renamed))
    return Matched(sorted(matches, key=lambda m: _order(m.name)), unmatched, renamed, compared)


def _compared(matches: Sequence[Match], mine: dict[str, Piece], suspect: Checkpoint) -> Compared:
    left = [one.shape for one in suspect.left_out.values() if one.weights]
    matched = [m.suspect for m in matches]
    return Compared(
        sum(p.rows * p.columns for p in matched),
        sum(p.rows * p.columns for p in mine.values()) + sum(map(math.prod, left)),
        sum(p.columns > 1 for p in matched),
        sum(p.columns > 1 for p in mine.values()) + sum(len(shape) > 1 for shape in left),
    )


def alike(everyone: Sequence[Checkpoint], renamed: list[str]) -> list[dict[str, Piece]]:
    """The tensors of each checkpoint, taken apart so that names meet; ``renamed`` says which."""
    named = [dict(one.pieces) for one in everyone]
    _unstack(named, everyone, renamed)
    _unfuse(named, everyone, renamed)
    _tie(named, everyone, renamed)
    return named


def _why_not(
    piece: Piece, found: Sequence[Piece | None], label: str, labels: Sequence[str]
) -> str | None:
    """Why a tensor cannot be compared with what was found of it in the parents, if it cannot."""
    missing = dict.fromkeys(one for one, p in zip(labels, found, strict=True) if p is None)
    if missing:
        return f"not in {', '.join(missing)}"
    size = piece.rows, piece.columns
    different = dict.fromkeys(
        f"{one} {list(p.shape)}"
        for one, p in zip(labels, found, strict=True)
        if p is not None and p.shape != piece.shape and (p.rows, p.columns) != size
    )
    if different:
        return f"shapes differ: {label} {list(piece.shape)}, {', '.join(different)}"
    return None if piece.rows * piece.columns else "it holds no number"


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of some items, spread over them from the first to the last."""
    if not items:
        return []
    last, count = len(items) - 1, min(most, len(items))
    return [items[i] for i in sorted({round(last * n / max(1, count - 1)) for n in range(count)})]


def layer_of(name: str) -> int | None:
    """The number of the layer that a tensor belongs to."""
    found = LAYER.search(name)
    return int(found[1]) if found else None


def component_of(name: str) -> str:
    """The part of the network that a tensor belongs to."""
    for component, pattern in _COMPONENTS:
        if re.search(pattern, name):
            return component
    return "other"


_COMPONENTS: Final = (
    ("norms", r"norm|ln_\d|layer_scale"),
    ("router", r"(mlp|block_sparse_moe|feed_forward)\.(gate|router)\.|router"),
    ("shared experts", r"shared_expert"),
    ("experts", r"experts\."),
    ("linear attention", r"linear_attn|\.mamba|\.ssm|conv1d"),
    ("attention", r"attn|attention"),
    ("mlp", r"mlp|feed_forward|ffn"),
    ("lm_head", r"^lm_head|^output\."),
    ("embeddings", r"embed|wte|wpe"),
)


def _order(name: str) -> tuple[int, int, str]:
    layer = layer_of(name)
    return (0 if name.startswith("embed") else 2 if layer is None else 1, layer or 0, name)


def _moved(name: str, layers: dict[int, tuple[int, ...]] | None, parent: int) -> str:
    layer = layer_of(name)
    if layers is None or layer is None or layer not in layers:
        return name
    return LAYER.sub(lambda m: m[0].replace(m[1], str(layers[layer][parent])), name, count=1)


def _unstack(
    named: list[dict[str, Piece]], everyone: Sequence[Checkpoint], renamed: list[str]
) -> None:
    """Experts that one checkpoint holds as a stack and another one by one."""
    apart = {
        _EXPERT.sub(".experts.", name).removesuffix(".weight")
        for pieces in named
        for name in pieces
        if _EXPERT.search(name)
    }
    for pieces, one in zip(named, everyone, strict=True):
        for name in list(pieces):
            found = _STACKED.fullmatch(name)
            if not found or len(pieces[name].shape) != 3:
                continue
            stack, what = found[1], found[2].removesuffix(".weight")
            parts = FUSED.get(what, (what,))
            if not any(f"{stack}.{part}" in apart for part in (*parts, what)):
                continue
            piece = pieces.pop(name)
            experts, rows, columns = piece.shape
            for expert in range(experts):
                part = piece.part(expert * rows, rows, (rows, columns))
                pieces[f"{stack}.{expert}.{what}.weight"] = part
            renamed.append(f"{one.label}: {name} is a stack of {experts} experts; taken apart")


def _unfuse(
    named: list[dict[str, Piece]], everyone: Sequence[Checkpoint], renamed: list[str]
) -> None:
    """Projections that one checkpoint holds in one matrix and another apart.

    The sizes of the parts are those of the other.
    """
    for pieces, one in zip(named, everyone, strict=True):
        for name in list(pieces):
            parts = [
                name.replace(f".{fused}.", f".{part}.")
                for fused, split in FUSED.items()
                if f".{fused}." in name
                for part in split
            ]
            others = (other for other in named if other is not pieces)
            other = next((o for o in others if all(part in o for part in parts)), None)
            if not parts or other is None:
                continue
            piece, wanted = pieces[name], [other[part] for part in parts]
            if sum(part.rows for part in wanted) != piece.rows:
                continue
            if any(part.columns != piece.columns for part in wanted):
                continue
            del pieces[name]
            at = 0
            for part, like in zip(parts, wanted, strict=True):
                pieces[part] = piece.part(at, like.rows, like.shape)
                at += like.rows
            renamed.append(f"{one.label}: {name} holds {', '.join(parts)}; taken apart")


def _tie(named: list[dict[str, Piece]], everyone: Sequence[Checkpoint], renamed: list[str]) -> None:
    """An output matrix that is not stored is the embedding (tied), if another stores one."""
    if not any("lm_head.weight" in pieces for pieces in named):
        return
    for pieces, one in zip(named, everyone, strict=True):
        if "lm_head.weight" not in pieces and "embed_tokens.weight" in pieces:
            pieces["lm_head.weight"] = pieces["embed_tokens.weight"]
            renamed.append(
                f"{one.label}: no lm_head.weight is stored; the embedding stands for it (tied)"
            )
