"""What any model says: how likely a run of words is where nobody recites anything.

``P(w | c) = max(0, n(cw) - D) / n(c) + D t(c) / n(c) P(w | shorter c)``, with n(c) the count of the
up to three words c before w and t(c) the different words seen after them: backing off with absolute
discounting (Ney, Essen and Kneser 1994, doi:10.1006/csla.1994.1001). D is small on purpose: a
phrase that boilerplate holds is taken to be likely, which errs on the side of the model that is
tested.

The counts are arrays: a gram of up to four words is one number, 16 bits a word, so that in a sorted
array the grams that begin alike lie together, and what is known of a context is one slice.
They are built by `harness.scoring.learning` from written texts, and ship with the package.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.scoring.overlap.tokens import words

FITTED: Final = Path(__file__).parents[1] / "fitted" / "null.npz"
ORDER: Final = 4
#: Fewer tokens between two phrases of the null are a variation of boilerplate.
SHORT: Final = 4
BITS: Final = 16
UNKNOWN: Final = 1 / 50_000
DISCOUNT: Final = 0.1


class _Grams(NamedTuple):
    """All grams of one length: packed, sorted, each with its count."""

    packed: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint32]

    def slice(self, low: int, high: int) -> slice:
        """The grams from ``low`` on and below ``high``."""
        ends = np.searchsorted(self.packed, np.array([low, high], dtype=np.uint64))
        return slice(int(ends[0]), int(ends[1]))


class Null:
    """Counts of the grams of up to `ORDER` words in some texts."""

    def __init__(self, vocabulary: Sequence[str], grams: Sequence[_Grams]) -> None:
        self.numbers = {word: number for number, word in enumerate(vocabulary, 1)}
        self.grams = grams

    @classmethod
    def of(cls, texts: Iterable[str]) -> Null:
        """The counts of some texts.

        Raises
        ------
        ValueError
            The texts have more different words than 16 bits can number.
        """
        numbers: dict[str, int] = {}
        seen: list[Counter[int]] = [Counter() for _ in range(ORDER)]
        for text in texts:
            said = [numbers.setdefault(word, len(numbers) + 1) for word in words(text)]
            for length, counts in enumerate(seen, 1):
                counts.update(_packed(said[at : at + length]) for at in _places(said, length))
        if len(numbers) >= 1 << BITS:
            raise ValueError(f"{len(numbers)} different words are too many for {BITS} bits")
        grams = []
        for counts in seen:
            packed = np.array(sorted(counts), dtype=np.uint64)
            known = np.array([counts[key] for key in packed.tolist()], dtype=np.uint32)
            grams.append(_Grams(packed, known))
        return cls(list(numbers), grams)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `from_arrays` makes the same null of."""
        made: dict[str, npt.NDArray[Any]] = {"words": _bytes("\n".join(self.numbers))}
        for length, grams in enumerate(self.grams, 1):
            made |= {f"grams_{length}": grams.packed, f"counts_{length}": grams.counts}
        return made

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Null:
        grams = [_Grams(arrays[f"grams_{n}"], arrays[f"counts_{n}"]) for n in range(1, ORDER + 1)]
        return cls(arrays["words"].tobytes().decode("utf-8").split("\n"), grams)

    def __contains__(self, word: str) -> bool:
        return word in self.numbers

    def chance(self, context: Sequence[str], word: str) -> float:
        """P(word | context), the context being at most `ORDER` - 1 words."""
        return self._chance(self._numbered(context), self.numbers.get(word, 0))

    def _chance(self, context: tuple[int, ...], word: int) -> float:
        less = self._chance(context[1:], word) if context else UNKNOWN
        after = self._after(context)
        total = int(after.counts.sum())
        if not total:
            return less
        found = _count(after, _packed((*context, word))) if word else 0
        kept = max(0.0, found - DISCOUNT) / total
        return kept + DISCOUNT * len(after.counts) / total * less

    def _after(self, context: tuple[int, ...]) -> _Grams:
        """The grams that are a context and one word more."""
        grams = self.grams[len(context)]
        if 0 in context:
            return _Grams(grams.packed[:0], grams.counts[:0])
        low = _packed(context) << BITS
        here = grams.slice(low, low + (1 << BITS))
        return _Grams(grams.packed[here], grams.counts[here])

    def holds(self, gram: Sequence[str]) -> bool:
        """Whether the texts have these words one after the other."""
        numbered = self._numbered(gram)
        return 0 not in numbered and bool(_count(self.grams[len(gram) - 1], _packed(numbered)))

    def _numbered(self, said: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.numbers.get(word, 0) for word in said)

    def rarity(self, run: Sequence[str]) -> float:
        """-log10 of the probability of a run of tokens.

        What lies in phrases of the null (`ORDER` tokens), or between two of them and is short,
        weighs nothing.
        """
        usual = [False] * len(run)
        for at in _places(run, ORDER):
            if self.holds(run[at : at + ORDER]):
                usual[at : at + ORDER] = [True] * ORDER
        found, start = 0.0, 0
        for is_usual, stretch in groupby(usual):
            length = len(list(stretch))
            if not is_usual and length >= SHORT:
                found -= sum(
                    math.log10(self.chance(run[max(0, at - ORDER + 1) : at], run[at]))
                    for at in range(start, start + length)
                )
            start += length
        return found


def _places(said: Sequence[Any], length: int) -> range:
    return range(len(said) - length + 1)


def _packed(gram: Sequence[int]) -> int:
    packed = 0
    for number in gram:
        packed = packed << BITS | number
    return packed


def _count(grams: _Grams, packed: int) -> int:
    at = int(np.searchsorted(grams.packed, np.uint64(packed)))
    return int(grams.counts[at]) if at < len(grams.packed) and grams.packed[at] == packed else 0


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)


@lru_cache(maxsize=1)
def null() -> Null:
    """The null that ships: boilerplate and written replies, of no model in particular."""
    with np.load(FITTED, allow_pickle=False) as stored:
        return Null.from_arrays(stored)
