"""What is left of attention when rows and columns are put in another order, or rotated.

HuRef (Zeng et al., arXiv 2312.04828): with the embeddings E of tokens that two models share,

    M_a = E W_Q^T W_K E^T   and   M_b = E W_V^T W_O^T E^T

do not change when hidden dimensions are permuted or rotated, in E and in all matrices that read
from them, nor when heads change places. Two models are compared by the cosine of each, layer by
layer. But:

- the gains of the norm before attention are multiplied into W_Q, W_K and W_V, so that scaling
  which those undo changes nothing either;
- E is centred over the tokens and each token's row scaled to length 1, for what all tokens share,
  and how frequent they are, is alike in models that never met;
- tokens are taken by their numbers: a vocabulary in another order is not seen through;
- rotary embeddings are left out, as in the paper, and the MLP has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.weights.checkpoint import Checkpoint, Piece
from harness.weights.matching import alike, evenly, layer_of

Numbers = npt.NDArray[np.float32]
#: Tokens that are compared, in so many runs of neighbours; layers; bytes decoded at once.
TOKENS: Final = 512
PLACES: Final = 16
LAYERS: Final = 12
BLOCK: Final = 8_000_000
#: From this mean cosine on a model is related to another, up to the other it is not.
#: (`python benchmarks/invariants.py` measures both on the lab's models.)
RELATED: Final = 0.5
APART: Final = 0.2
#: Sizes of a head, the likeliest first, where query heads share the heads of keys.
HEADS: Final = (128, 64, 256, 96, 80, 32)

PROJECTIONS: Final = ("q_proj", "k_proj", "v_proj", "o_proj")


class Kinship(NamedTuple):
    """Mean cosines of M_a and M_b of a suspect with one parent's, over some layers."""

    label: str
    query_key: float
    value_output: float
    layers: int

    @property
    def least(self) -> float:
        return min(self.query_key, self.value_output)

    @property
    def related(self) -> bool:
        return self.least >= RELATED

    @property
    def apart(self) -> bool:
        return max(self.query_key, self.value_output) <= APART


class Invariants(NamedTuple):
    """M_a and M_b of some layers of one model, each scaled to length 1."""

    query_key: list[Numbers]
    value_output: list[Numbers]


def kinships(suspect: Checkpoint, parents: Sequence[Checkpoint]) -> list[Kinship]:
    """How near a suspect is to each parent by its invariants; an empty list, if one has none.

    That is so where embeddings or attention are not there under the names of Llama's kind.
    """
    everyone = [suspect, *parents]
    named = alike(everyone, [])
    embeddings = [pieces.get("embed_tokens.weight") for pieces in named]
    if any(e is None or e.columns < 2 for e in embeddings):
        return []
    tokens = min(e.rows for e in embeddings if e is not None)
    layers = [_layers(pieces) for pieces in named]
    if not all(layers):
        return []
    common = sorted(set.intersection(*map(set, layers)))
    chosen = evenly(common, LAYERS)
    mine, *theirs = (
        _invariants(pieces, embedding, tokens, chosen)
        for pieces, embedding in zip(named, embeddings, strict=True)
        if embedding is not None
    )
    return [
        Kinship(
            one.label,
            _cosine(mine.query_key, other.query_key),
            _cosine(mine.value_output, other.value_output),
            len(chosen),
        )
        for one, other in zip(parents, theirs, strict=True)
    ]


def _layers(pieces: dict[str, Piece]) -> list[int]:
    """Layers that have all four projections."""
    numbers = {layer for name in pieces if (layer := layer_of(name)) is not None}
    return [n for n in numbers if all(_name(n, p) in pieces for p in PROJECTIONS)]


def _name(layer: int, projection: str) -> str:
    return f"layers.{layer}.self_attn.{projection}.weight"


def _invariants(
    pieces: dict[str, Piece], embedding: Piece, tokens: int, layers: Sequence[int]
) -> Invariants:
    e = _tokens(embedding, tokens)
    e = e - e.mean(axis=0)
    with np.errstate(over="ignore"):  # absurd numbers get length 0
        e = e / np.maximum(1e-30, np.linalg.norm(e, axis=1, keepdims=True))
    found = Invariants([], [])
    for layer in layers:
        gain = pieces.get(f"layers.{layer}.input_layernorm.weight")
        x = e if gain is None else e * _whole(gain).reshape(-1)
        q, k, v = (_through(x, pieces[_name(layer, p)]) for p in PROJECTIONS[:3])
        o = _onto(e, pieces[_name(layer, "o_proj")])
        found.query_key.append(_unit(q @ _shared(k, q.shape[1]).T))
        found.value_output.append(_unit(_shared(v, o.shape[1]) @ o.T))
    return found


def _tokens(embedding: Piece, tokens: int) -> Numbers:
    """Some rows of the embedding, in runs that are the same for all models."""
    places = min(PLACES, tokens)
    rows = max(1, min(TOKENS, tokens) // places)
    starts = np.linspace(0, tokens - rows, places).astype(int)
    runs = [np.empty((rows, embedding.columns), np.float32) for _ in starts]
    for start, out in zip(starts, runs, strict=True):
        embedding.read(int(start), out)
    return _finite(np.concatenate(runs))


def _whole(piece: Piece) -> Numbers:
    out = np.empty((piece.rows, piece.columns), np.float32)
    piece.read(0, out)
    return _finite(out)


def _finite(values: Numbers) -> Numbers:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _blocks(piece: Piece) -> list[tuple[int, int]]:
    step = max(1, BLOCK // (4 * piece.columns))
    return [(first, min(step, piece.rows - first)) for first in range(0, piece.rows, step)]


def _read(piece: Piece, first: int, rows: int) -> Numbers:
    out = np.empty((rows, piece.columns), np.float32)
    piece.read(first, out)
    return _finite(out)


def _through(x: Numbers, piece: Piece) -> Numbers:
    """x W^T: the tokens seen through a matrix (out x hidden)."""
    return np.concatenate([x @ _read(piece, *block).T for block in _blocks(piece)], axis=1)


def _onto(e: Numbers, piece: Piece) -> Numbers:
    """E W: the tokens on what a matrix (hidden x heads) writes into the hidden state."""
    total = np.zeros((len(e), piece.columns), np.float32)
    for first, rows in _blocks(piece):
        total += e[:, first : first + rows] @ _read(piece, first, rows)
    return total


def _shared(values: Numbers, wide: int) -> Numbers:
    """Heads of keys or values that several query heads share, once for each of those."""
    if values.shape[1] == wide or wide % values.shape[1]:
        return values[:, :wide]
    size = next((s for s in HEADS if values.shape[1] % s == 0), values.shape[1])
    heads = values.reshape(len(values), -1, size)
    return np.repeat(heads, wide // values.shape[1], axis=1).reshape(len(values), wide)


def _unit(m: Numbers) -> Numbers:
    return np.asarray(m / max(1e-30, float(np.linalg.norm(m))), np.float32).reshape(-1)


def _cosine(mine: list[Numbers], theirs: list[Numbers]) -> float:
    return float(np.mean([float(a @ b) for a, b in zip(mine, theirs, strict=True)]))
