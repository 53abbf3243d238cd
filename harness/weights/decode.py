"""Stored numbers to floating point, and how coarse the stored type is.

Its coarseness is the yardstick for "equal up to rounding".
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[Any]
#: Types that can be compared; others (integers, booleans, complex numbers) are listed and left out.
READABLE: Final = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
RAW: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F8_E4M3": "u1",
    "F8_E5M2": "u1",
    "F8_E8M0": "u1",
    "I8": "i1",
    "U8": "u1",
}
#: Bits of the significand, the leading one counted: a number of magnitude 2**e stands on a grid
#: of 2**(e + 1 - bits).
SIGNIFICAND: Final = {"F64": 53, "F32": 24, "F16": 11, "BF16": 8, "F8_E4M3": 4, "F8_E5M2": 3}


def decode(raw: npt.NDArray[Any], dtype: str, out: Real) -> None:
    """Write stored numbers into ``out`` (float32 or float64, same shape).

    Exact, but for F64 into float32.
    """
    if dtype == "BF16" and out.dtype == np.float32:
        np.left_shift(raw, 16, out=out.view(np.uint32), dtype=np.uint32)
    elif dtype == "BF16":
        out[...] = (raw.astype(np.uint32) << 16).view(np.float32)
    elif dtype in ("F8_E4M3", "F8_E5M2", "F8_E8M0"):
        np.take(_f8(dtype, out.dtype), raw, out=out, mode="clip")
    else:
        out[...] = raw


@cache
def _f8(dtype: str, to: np.dtype[Any]) -> Real:
    """The 256 values of an eight-bit type.

    By the OCP 8-bit Floating Point and Microscaling Formats specifications.
    """
    import ml_dtypes

    kind = {
        "F8_E4M3": ml_dtypes.float8_e4m3fn,
        "F8_E5M2": ml_dtypes.float8_e5m2,
        "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    }[dtype]
    table: Real = np.arange(256, dtype=np.uint8).view(kind).astype(to)
    return table


def rounding(values: Real, bits: int, scratch: Real) -> float:
    """Sum over ``values`` of the variance that rounding to ``bits`` of significand leaves.

    The error is uniform: of each number, the grid step squared by 12. ``scratch`` has the shape
    and type of ``values`` and is overwritten.
    """
    narrow = values.dtype == np.float32
    kind = np.dtype(np.uint32 if narrow else np.uint64)
    exponent = kind.type(0x7F800000 if narrow else 0x7FF0000000000000)
    np.bitwise_and(values.view(kind), exponent, out=scratch.view(kind))
    flat = scratch.reshape(-1)
    return float(np.dot(flat, flat)) * 4.0 ** (1 - bits) / 12


def rounded(values: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float32]:
    """Values as a type with so many bits of significand would store them.

    Half is rounded to even; the type's range is not regarded.
    """
    drop = np.uint32(24 - bits)
    said = values.view(np.uint32)
    half = (np.uint32(1) << (drop - np.uint32(1))) - np.uint32(1)
    return ((said + half + ((said >> drop) & np.uint32(1))) >> drop << drop).view(np.float32)


def significand(values: npt.NDArray[np.float32]) -> int:
    """Bits of significand that float32 values really use.

    They are 8 or 11 where a merge was computed in a coarser type and stored wider.
    """
    used = int(np.bitwise_or.reduce(values.reshape(-1).view(np.uint32))) if values.size else 0
    if not used & 0xFFFF:
        return 8
    return 11 if not used & 0x1FFF else 24


def grid(values: Real, block: int = 32) -> float:
    """Sum of the rounding variance of dequantised values.

    Each block of a row stands on a grid of its own, whose step is the smallest gap.
    """
    columns = values.shape[1]
    block = block if columns % block == 0 else columns
    ordered = np.sort(values.reshape(-1, block).astype(np.float64), axis=1)
    gaps = np.diff(ordered, axis=1) if block > 1 else np.zeros((len(ordered), 1))
    floor = 1e-6 * np.maximum(np.abs(ordered[:, 0]), np.abs(ordered[:, -1]))[:, None]
    steps = np.where(gaps > floor, gaps, np.inf).min(axis=1)
    steps = np.where(np.isfinite(steps), steps, 0.0)
    return float(steps @ steps) * block / 12
