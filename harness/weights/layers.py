"""Which layer of a parent each layer of the suspect is, where layers were stacked anew.

Such a model is called a "frankenmerge".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.weights.checkpoint import Checkpoint, Piece
from harness.weights.matching import layer_of

#: Numbers of a tensor that are compared, and tensors of a layer.
NUMBERS: Final = 4096
TENSORS: Final = 3
#: A layer is another's, if the distance is less than this share of its own length.
NEAR: Final = 0.6


def count(checkpoint: Checkpoint) -> int:
    """How many layers a checkpoint has."""
    return len(_layers(checkpoint))


def aligned(
    suspect: Checkpoint, parents: Sequence[Checkpoint]
) -> dict[int, tuple[int, ...]] | None:
    """For each layer of the suspect the nearest layer, in whichever parent.

    None where that is everywhere the layer of the same number. A layer that is near none keeps
    its own number.
    """
    names = _telling(suspect, parents)
    mine, theirs = _vectors(suspect, names), [_vectors(p, names) for p in parents]
    if not names or not mine or not all(theirs):
        return None
    found: dict[int, tuple[int, ...]] = {}
    for layer, numbers in mine.items():
        far = [
            (_distance(numbers, other), abs(there - layer), there)
            for one in theirs
            for there, other in one.items()
        ]
        distance, _, best = min(far)
        found[layer] = tuple(best if distance < NEAR and best in one else layer for one in theirs)
    return None if all(set(places) == {layer} for layer, places in found.items()) else found


def _vectors(
    checkpoint: Checkpoint, names: Sequence[str]
) -> dict[int, list[npt.NDArray[np.float32]]]:
    """Numbers of the named matrices of each layer that has them all."""
    return {
        layer: [_numbers(checkpoint.pieces[_at(name, layer)]) for name in names]
        for layer in _layers(checkpoint)
        if all(_at(name, layer) in checkpoint.pieces for name in names)
    }


def _layers(checkpoint: Checkpoint) -> list[int]:
    return sorted({layer for name in checkpoint.pieces if (layer := layer_of(name)) is not None})


def _telling(suspect: Checkpoint, parents: Sequence[Checkpoint]) -> list[str]:
    """Matrices that every layer has, by name with the number left out: the largest ones."""
    kinds = []
    for one in (suspect, *parents):
        last = max(_layers(one), default=-1)
        number = re.compile(rf"(?<=\.){last}(?=\.)|^{last}(?=\.)")
        kinds.append(
            {
                number.sub("{}", name, count=1): piece.rows * piece.columns
                for name, piece in one.pieces.items()
                if layer_of(name) == last and piece.columns > 1
            }
        )
    common = [kind for kind in kinds[0] if all(kind in other for other in kinds)]
    return sorted(common, key=lambda kind: (-kinds[0][kind], kind))[:TENSORS]


def _at(name: str, layer: int) -> str:
    return name.replace("{}", str(layer), 1)


def _numbers(piece: Piece) -> npt.NDArray[np.float32]:
    rows = min(piece.rows, max(1, NUMBERS // piece.columns))
    out = np.empty((rows, piece.columns), np.float32)
    piece.read((piece.rows - rows) // 2, out)
    return out.reshape(-1)


def _distance(mine: list[npt.NDArray[np.float32]], theirs: list[npt.NDArray[np.float32]]) -> float:
    if any(a.shape != b.shape for a, b in zip(mine, theirs, strict=True)):
        return math.inf
    shares = [
        math.dist(a, b) / max(1e-30, math.hypot(*a)) for a, b in zip(mine, theirs, strict=True)
    ]
    return float(np.mean(shares)) if np.isfinite(shares).all() else math.inf
