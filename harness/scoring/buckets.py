"""Buckets that features are hashed into (Weinberger et al. 2009, doi:10.1145/1553374.1553516)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from harness.scoring.concepts import CONCEPTS
from harness.scoring.vocabulary import Ints

#: Features fall into this many buckets; the first stays empty.
BUCKETS: Final = 1 << 20
_WIDTH: Final = len(CONCEPTS)
_BITS: Final = np.arange(_WIDTH, dtype=np.uint16)
Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Buckets = npt.NDArray[np.int32]

_SHIFT, _HALF, _KEPT, _FIRST = map(np.uint64, (29, 32, 44, 1))
_MULTIPLIERS: Final = tuple(
    map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
)
_NUMBERS: Final = tuple(
    np.uint64(number * 0x2545F4914F6CDD1D & 0xFFFFFFFFFFFFFFFF) for number in range(100)
)


def bucket(number: int, *parts: Hashes) -> Buckets:
    """The buckets, from 1, of features of one kind; the number tells kinds of one model apart."""
    mixed = parts[0] * _MULTIPLIERS[0]
    for part in parts[1:]:
        mixed ^= mixed >> _SHIFT
        mixed = (mixed + part) * _MULTIPLIERS[1]
    mixed ^= (mixed >> _HALF) ^ _NUMBERS[number]
    mixed *= _MULTIPLIERS[2]
    mixed >>= _KEPT
    return np.asarray(np.maximum(mixed, _FIRST), dtype=np.int32)


def column(number: int, *parts: Hashes, where: Bools | None = None) -> Buckets:
    """A column of buckets, empty but ``where`` they mean something."""
    buckets = bucket(number, *parts)
    return (buckets if where is None else np.where(where, buckets, 0))[:, None]


def unpacked(masks: npt.NDArray[np.uint16]) -> Bools:
    """A column a concept for each column of masks: (rows, columns * concepts)."""
    return np.asarray(
        ((masks[:, :, None] >> _BITS) & 1).astype(bool).reshape(len(masks), masks.shape[1] * _WIDTH)
    )


def placed(bits: Bools, block: Ints, blocks: int) -> Bools:
    """Bits set into one of several blocks of columns."""
    found = np.zeros((len(bits), blocks, bits.shape[1]), dtype=bool)
    found[np.arange(len(bits)), block] = bits
    return found.reshape(len(bits), blocks * bits.shape[1])
