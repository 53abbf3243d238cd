"""A glance at the tokens of many replies at once: in which can a slower search find something?

A token is looked at once for each vocabulary; what stands beside it is asked of arrays. The glance
errs on one side only: in what it passes over, there is nothing to find.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.scoring.features import MARKS, Bools, Ints, Numbered, Vocabulary
from harness.scoring.mentions import UPPER, finder
from harness.scoring.training import common_words, given_names
from harness.scoring.unlisted import (
    CAPITALISED,
    HOUSE,
    INTRODUCTIONS,
    JOINING,
    LONGEST_QUOTED,
    NAMINGS,
    THING,
    ordinary,
)

#: What a token can be to an unlisted name. By itself: enough; with a capital, or a mark; the first
#: of two words with capitals, the second; one that a speaker can be called by, or that is called.
_ENOUGH, _CAPITAL, _FIRST, _SECOND, _GIVEN, _NAMED = (1 << bit for bit in range(6))
#: No common word; a word; a hyphen or the like; a number; a quotation mark; what joins words with
#: capitals; what a sentence can go on behind; what is none in quotation marks.
_RARE, _LETTERS, _HYPHEN, _NUMBER, _QUOTE, _JOINS, _INSIDE, _PLAIN = (
    1 << bit for bit in range(6, 14)
)
#: The last word of a phrase that introduces, the one before it, or the only one; the last of one
#: that calls, and the one before it.
_INTRODUCES, _INTRODUCING, _ALONE, _CALLS, _CALLING = (1 << bit for bit in range(14, 19))
#: A letter, or a digit, by itself.
_SINGLE: Final = 1 << 19
#: What stands for a known mention.
_MARK: Final = 1 << 20
#: "l'Atelier"
_ELIDED: Final = re.compile(f"['’][{UPPER}]")


class _Looks:
    """What the tokens of a vocabulary can be, and their lengths."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._known = np.zeros((2, 0), dtype=np.int32)
        phrases = [(phrase.split(), kind) for phrase, kind in INTRODUCTIONS.phrases]
        self._phrases = {
            _INTRODUCES: {words[-1] for words, _ in phrases if len(words) > 1},
            _INTRODUCING: {words[-2] for words, _ in phrases if len(words) > 1},
            _ALONE: {words[-1] for words, _ in phrases if len(words) == 1},
            _CALLS: {words[-1] for words, kind in phrases if kind == "called"},
            _CALLING: {words[-2] for words, kind in phrases if kind == "called"},
        }

    def of(self, numbered: Numbered) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """What the tokens of some texts can be, and their lengths."""
        if self._known.shape[1] < len(self.vocabulary):
            self._look_at_new()
        looks, lengths = self._known
        return looks.take(numbered.numbers), lengths.take(numbered.numbers)

    def _look_at_new(self) -> None:
        """Look at the tokens that the vocabulary got since the last time."""
        every = zip(self.vocabulary, self.vocabulary.tokens, strict=True)
        new = islice(every, self._known.shape[1], None)
        looked = [(self._look(written, token), len(token)) for written, token in new]
        self._known = np.concatenate((self._known, np.array(looked, dtype=np.int32).T), axis=1)

    def _look(self, written: str, token: str) -> int:
        common, capitals = common_words(), CAPITALISED.findall(written)
        capital, thing = written[:1].isupper(), THING.match(token) is not None
        named = capital and token[:2].isalnum() and len(token) > 1 and not thing
        in_common = token.isalpha() and token in common and not HOUSE.fullmatch(token)
        unusual = not all(map(ordinary(common, finder().words).__getitem__, capitals))
        naming = any(script.search(token) for script in NAMINGS)
        found = {
            _ENOUGH: naming or _ELIDED.search(written) or unusual,
            _CAPITAL: capitals or token in MARKS,
            _FIRST: capital and len(token) > 1,
            _SECOND: capital and len(token) > 1 and not thing,
            _GIVEN: named and token in given_names(),
            _NAMED: named,
            _RARE: token[:1].isalpha() and token not in common,
            _LETTERS: token[:1].isalpha(),
            _HYPHEN: token in frozenset("-+·"),
            _NUMBER: token[:1].isdigit(),
            _QUOTE: token in frozenset('"'),
            _JOINS: token in JOINING,
            _PLAIN: token in MARKS or in_common,
            _MARK: token in MARKS,
            _SINGLE: len(token) == 1 and token.isalnum(),
            _INSIDE: token[-1:].isalnum() or token in MARKS or token in (",", ":"),
        } | {bit: token in words for bit, words in self._phrases.items()}
        return sum(bit for bit, there in found.items() if there)


_looks: _Looks | None = None


class Glance:
    """What some texts can hold, by their place.

    They are to be written with their capitals, and their known mentions marked.
    """

    def __init__(self, numbered: Numbered) -> None:
        global _looks
        if _looks is None or _looks.vocabulary is not numbered.vocabulary:
            _looks = _Looks(numbered.vocabulary)
        self._numbered = numbered
        looks, self._lengths = _looks.of(numbered)
        self._looks = np.pad(looks, 2)

    def _are(self, bits: int, *, by: int = 0) -> Bools:
        """Which tokens have one of the bits, or have a token so far behind them that does."""
        return np.asarray((self._looks[2 + by : len(self._looks) - 2 + by] & bits) != 0)

    def _texts(self, there: Bools) -> list[int]:
        return list(dict.fromkeys(self._numbered.text_of(np.flatnonzero(there)).tolist()))

    def apart(self) -> list[int]:
        """The texts in which `normalize` can find letters set apart."""
        return self._texts(self._are(_SINGLE) & self._are(_SINGLE, by=1))

    def names(self) -> list[int]:
        """The texts in which `unlisted` can find a name."""
        are = self._are
        could = are(_ENOUGH) | (are(_CAPITAL) & are(_HYPHEN, by=1) & are(_NUMBER, by=2))
        second = are(_SECOND, by=1) | (are(_JOINS, by=1) & are(_SECOND, by=2))
        could |= are(_INSIDE, by=-1) & are(_FIRST) & second
        introduced = (are(_INTRODUCES, by=-1) & are(_INTRODUCING, by=-2)) | are(_ALONE, by=-1)
        could |= introduced & are(_GIVEN)
        nameable = are(_NAMED) | are(_RARE) | (are(_LETTERS) & are(_HYPHEN, by=1))
        could |= are(_CALLS, by=-1) & are(_CALLING, by=-2) & nameable
        could[self._quoted()] = True
        return self._texts(could)

    def _quoted(self) -> Ints:
        """Places of the quotation marks that close what could be a name."""
        quotes = np.flatnonzero(self._are(_QUOTE))
        counts = (self._lengths, ~self._are(_PLAIN), self._are(_MARK))
        # what the marks enclose, and with it the mark that closes
        letters, strange, known = (np.diff(np.cumsum(counted)[quotes]) for counted in counts)
        could = (letters <= LONGEST_QUOTED + 1) & (strange > 1) & (known == 0)
        return np.asarray(quotes[1:][could])
