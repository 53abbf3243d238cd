"""The header of a safetensors file, read with distrust.

Every length, type and place is checked before it is used. The format is described at
https://github.com/huggingface/safetensors#format (8 bytes of length, JSON, then the tensors
without gaps).
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NamedTuple

import numpy as np

from harness.errors import WeightsError
from harness.weights.sources import Source

#: The format's own limit for the header.
LARGEST: Final = 100_000_000
BYTES: Final = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
    "C64": 8,
}


class Stored(NamedTuple):
    """A tensor as it lies in a file: ``begin`` counts bytes from the file's start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    source: Source

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * BYTES[self.dtype]


def read_header(source: Source) -> list[Stored]:
    """The tensors of a safetensors file.

    Raises
    ------
    WeightsError
        The header is no such header, or lies about the file.
    """
    if source.size < 8:
        raise _bad(source, f"it has {source.size} bytes, a header needs more")
    first = np.empty(8, np.uint8)
    source.read(0, first)
    length = int(first.view("<u8")[0])
    if length > LARGEST or length > source.size - 8:
        raise _bad(
            source, f"it announces a header of {length:,} bytes, and has {source.size:,} in all"
        )
    raw = np.empty(length, np.uint8)
    source.read(8, raw)
    try:
        header = json.loads(
            raw.tobytes().decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as problem:
        raise _bad(source, f"its header is no JSON ({str(problem)[:100]})") from None
    if not isinstance(header, dict):
        raise _bad(source, "its header is no JSON object")
    header.pop("__metadata__", None)
    tensors = [_stored(source, name, entry, 8 + length) for name, entry in header.items()]
    _refuse_gaps(source, tensors, 8 + length)
    return tensors


def _refuse_gaps(source: Source, tensors: list[Stored], at: int) -> None:
    """Tensors have to lie one after the other from a place on, up to the end of the file."""
    for tensor in sorted(tensors, key=lambda t: (t.begin, t.size)):
        if tensor.begin < at:
            raise _bad(source, f"the tensor {tensor.name[:100]!r} overlaps another")
        if tensor.begin > at:
            raise _bad(source, f"bytes {at:,} to {tensor.begin:,} belong to no tensor")
        at = tensor.begin + tensor.size
    if at != source.size:
        raise _bad(source, f"its tensors end at byte {at:,}, the file at {source.size:,}")


def _stored(source: Source, name: str, entry: Any, start: int) -> Stored:
    said = f"the tensor {name[:100]!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise _bad(source, f"{said} lacks dtype, shape or data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise _bad(source, f"{said} has the unknown type {str(dtype)[:40]!r}")
    if not _whole(shape) or len(shape) > 16 or not _whole(offsets) or len(offsets) != 2:
        raise _bad(source, f"{said} has a shape or place that is not made of whole numbers")
    begin, end = offsets
    needed = math.prod(shape) * BYTES[dtype]
    if needed != end - begin:
        raise _bad(
            source,
            f"{said} has {end - begin:,} bytes, its shape {shape} in {dtype} needs {needed:,}",
        )
    if start + end > source.size:
        raise _bad(
            source,
            f"{said} ends at byte {start + end:,}, the file at {source.size:,}: "
            "it was cut off, or the header is wrong",
        )
    return Stored(name, dtype, tuple(shape), start + begin, source)


def _whole(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in numbers)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _bad(source: Source, what: str) -> WeightsError:
    return WeightsError(
        f"this is no sound safetensors file: {what}",
        where=source.where,
        next="get the file again, or check it with the tool that wrote it",
    )
