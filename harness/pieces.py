"""Pieces of secrets in a text: all of them at once, in time that hangs on its length alone.

    secrets   ->  a number for each `PART` letters that follow one another
    a text    ->  the same numbers: where one is a secret's, a piece of it begins

The number is a polynomial of the letters modulo 2^64 (Karp and Rabin 1987, IBM Journal of Research
and Development 31(2)). No piece is missed; where other letters have the number of a piece, they are
hidden too. Pieces that begin at places that follow one another are one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

#: The least that is hidden of a secret that was cut.
PART: Final = 8
#: Letters that are looked through at once: few, so that what is made of them is soon used again.
WINDOW: Final = 1 << 16
#: An odd number without a pattern (of the golden ratio), and what places far apart are raised to.
_BASE: Final = 0x9E3779B97F4A7C15
_POWERS: Final = tuple(
    np.uint64(pow(_BASE, PART - place - 1, 1 << 64)) for place in (PART - 2, PART - 3, PART - 5)
)
#: Of a number its highest bits, by which most are known to be no secret's.
_BITS: Final = 16
#: Pieces without and with a digit.
_PLAIN, _DIGIT = 1, 2
Places = npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Where pieces begin and end, and which of them hold a digit."""

    starts: Places
    stops: Places
    digits: npt.NDArray[np.bool_]


class Pieces:
    """The pieces of some secrets of `PART` letters or more."""

    def __init__(self, secrets: Iterable[str]) -> None:
        made = {
            secret[at : at + PART] for secret in secrets for at in range(len(secret) - PART + 1)
        }
        by_number = {int(_numbers(_letters(piece))[0]): piece for piece in made}
        in_order = sorted(by_number)
        self._known = np.array(in_order, dtype=np.uint64)
        self._kind = np.array(
            [_DIGIT if re.search("[0-9]", by_number[number]) else _PLAIN for number in in_order],
            dtype=np.int8,
        )
        self._likely = np.zeros(1 << _BITS, dtype=np.bool_)
        self._likely[_highest(self._known)] = True

    def runs(self, text: str) -> Runs:
        """The runs of pieces in a text."""
        begins = np.zeros(len(text) + 1, dtype=np.int8)  # the kind of the piece at each place
        for at in range(0, len(text), WINDOW):
            numbers = _numbers(_letters(text[at : at + WINDOW + PART - 1]))
            likely = np.flatnonzero(self._likely[_highest(numbers)])
            found = np.searchsorted(self._known, numbers[likely])
            found[found == len(self._known)] = 0
            known = self._known[found] == numbers[likely]
            begins[at + likely[known]] = self._kind[found[known]]
        changes = np.flatnonzero(np.diff(begins != 0, prepend=False))
        starts, ends = changes[::2], changes[1::2]
        digits = np.maximum.reduceat(begins, changes)[::2] == _DIGIT if len(changes) else changes
        return Runs(starts, ends + PART - 1, digits.astype(np.bool_))


def _letters(text: str) -> npt.NDArray[np.uint64]:
    raw = text.encode("utf-32-le", "surrogatepass")
    return np.frombuffer(raw, dtype=np.uint32).astype(np.uint64)


def _numbers(letters: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The number of each `PART` letters: of two from one each, of four from two, of eight."""
    found = letters + np.uint64(1)
    for power, width in zip(_POWERS, (1, 2, 4), strict=True):
        if len(found) <= width:
            return found[:0]
        found = found[:-width] * power + found[width:]
    return found


def _highest(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    return (numbers >> np.uint64(64 - _BITS)).astype(np.int64)
