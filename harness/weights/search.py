"""Which two checkpoints of a folder explain a suspect best.

They are found from a few rows of each tensor that all of them have.
"""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from harness.errors import WeightsError
from harness.progress import watched
from harness.weights.checkpoint import Checkpoint, Piece, open_checkpoint
from harness.weights.matching import evenly

Numbers = npt.NDArray[np.float64]
#: Matrices that are sampled, and numbers of each.
TENSORS: Final = 64
NUMBERS: Final = 1 << 14


class Pair(NamedTuple):
    """One or two checkpoints: what no blend of them explains, and the first's ratio.

    ``unexplained`` is a median share of a tensor's length.
    """

    places: tuple[str, ...]
    labels: tuple[str, ...]
    unexplained: float
    ratio: float


def best_pair(suspect: str, folder: Path, seed: int = 0) -> list[Pair]:
    """All pairs of the checkpoints in a folder, and each alone, the best first.

    A pair is told from its better half only where the blend explains more than that half does by
    itself.

    Raises
    ------
    WeightsError
        The folder holds fewer than two checkpoints that share matrices with the suspect.
    """
    with threadpool_limits(1):  # many small products: threads would wait for one another
        return _ranked(suspect, folder, seed)


def _ranked(suspect: str, folder: Path, seed: int) -> list[Pair]:
    mine = open_checkpoint(suspect)
    places = sorted(folder.iterdir())
    opened = (_opened(place) for place in watched(places, "checkpoints opened", len(places)))
    others = [one for one in opened if one is not None and not _same_place(one, mine)]
    names = sorted(name for name, piece in mine.pieces.items() if piece.columns > 1)
    related = [
        one for one in others if sum(_same(one, mine, name) for name in names) > len(names) / 2
    ]
    common = [name for name in names if all(_same(one, mine, name) for one in related)]
    if len(related) < 2 or not common:
        raise WeightsError(
            f"{len(related)} checkpoints there have the suspect's tensors in the same shapes; "
            "a pair is needed",
            where=str(folder),
            next="put the candidates there, each as a folder or a file",
        )
    chosen = evenly(common, TENSORS)
    suspects = [_numbers(mine.pieces[name], name, seed) for name in chosen]
    candidates = [
        _Candidate(one, [_numbers(one.pieces[name], name, seed) for name in chosen])
        for one in watched(related, "checkpoints sampled", len(related))
    ]
    lengths = np.array([np.linalg.norm(v) for v in suspects]) + 1e-300
    found = [_alone(suspects, one, lengths) for one in candidates]
    pairs = list(itertools.combinations(candidates, 2))
    for first, second in watched(pairs, "pairs compared", len(pairs)):
        found.append(_together(suspects, first, second, lengths))
    return sorted(found, key=lambda pair: (pair.unexplained, len(pair.places)))


def _same_place(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints are one, however their paths are written."""
    places = (Path(one.where).resolve(), Path(other.where).resolve())
    return one.where == other.where or places[0] == places[1]


class _Candidate(NamedTuple):
    """A checkpoint, and some numbers of each of its tensors."""

    checkpoint: Checkpoint
    numbers: list[Numbers]


def _alone(suspects: list[Numbers], one: _Candidate, lengths: Numbers) -> Pair:
    rests = [np.linalg.norm(s - p) for s, p in zip(suspects, one.numbers, strict=True)]
    found = one.checkpoint
    return Pair((found.where,), (found.label,), float(np.median(rests / lengths)), 1.0)


def _together(
    suspects: list[Numbers], one: _Candidate, other: _Candidate, lengths: Numbers
) -> Pair:
    tensors = zip(suspects, one.numbers, other.numbers, strict=True)
    fits = [_line(s, p, q) for s, p, q in tensors]
    first, second = one.checkpoint, other.checkpoint
    return Pair(
        (first.where, second.where),
        (first.label, second.label),
        float(np.median([rest for rest, _ in fits] / lengths)),
        float(np.median([a for _, a in fits])),
    )


def _opened(place: Path) -> Checkpoint | None:
    try:
        return open_checkpoint(str(place))
    except WeightsError:
        return None


def _same(one: Checkpoint, other: Checkpoint, name: str) -> bool:
    return name in one.pieces and one.pieces[name].shape == other.pieces[name].shape


def _numbers(piece: Piece, name: str, seed: int) -> Numbers:
    rows = min(piece.rows, max(1, NUMBERS // piece.columns))
    drawn = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:6], "big")
    out = np.empty((rows, piece.columns), np.float64)
    piece.read(drawn % (piece.rows - rows + 1), out)
    return np.where(np.isfinite(out), out, 0.0).reshape(-1)


def _line(s: Numbers, p: Numbers, q: Numbers) -> tuple[float, float]:
    """How far s is from the line through p and q, and where on it: 1 at p, 0 at q."""
    x, y = p - q, s - q
    a = float(x @ y) / max(1e-300, float(x @ x))
    return float(np.linalg.norm(y - a * x)), a
