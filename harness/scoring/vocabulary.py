"""Tokens as numbers, and what is known of each, looked up once.

Words in scripts with spaces, single characters in Han, Kana and Thai, every sign a token of its
own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.scoring.concepts import concepts_of
from harness.scoring.lists import any_of, words
from harness.scoring.marks import BORDER, MARKS
from harness.scoring.normalize import normalize

ENDS: Final = frozenset(".!?。！？।؟\n;；…")
SENTENCE_ENDS: Final = frozenset(".!?。！？।؟\n")
#: Signs and words that end a clause.
CLAUSE_ENDS: Final = frozenset((*', ; : ( ) | " - ، 、 ，'.split(), *words("clause_ends")))
_QUESTIONS: Final = frozenset("?？؟")
_TOKEN: Final = re.compile(
    "[\ue000-\ue003]|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|"
    "(?:[^\\W_]|[\u0300-\u036f\u0900-\u0dff])+(?:'[^\\W_]+)*|[^\\w\\s]|\n"
)

#: Words by which a speaker speaks of itself; characters for Han and Kana.
_SELF: Final = frozenset(words("speaker"))
_SELF_ENDING: Final = re.compile(f"(?:{any_of('speaker_endings')})$")
Ints = npt.NDArray[np.int64]


class Is:
    """What is known of a token, a bit each."""

    OWN = 1 << 0
    SPEAKER = 1 << 1
    END = 1 << 2
    CLAUSE_END = 1 << 3
    MARK = 1 << 4
    QUESTION = 1 << 5
    SENTENCE_END = 1 << 6
    QUOTE = 1 << 7
    NEW_LINE = 1 << 8
    QUOTES = 1 << 9
    FIELD = 1 << 10
    SPACELESS = 1 << 11


_MEMBERS: Final[dict[int, frozenset[str]]] = {
    Is.SPEAKER: _SELF,
    Is.END: ENDS,
    Is.CLAUSE_END: CLAUSE_ENDS,
    Is.MARK: MARKS,
    Is.QUESTION: _QUESTIONS,
    Is.SENTENCE_END: SENTENCE_ENDS,
    Is.QUOTE: frozenset('"'),
    Is.NEW_LINE: frozenset("\n"),
    Is.QUOTES: frozenset(">"),
    Is.FIELD: frozenset("|:"),
}
#: So many different tokens, and pieces of text, are remembered.
_MOST: Final = 1 << 18


def hashed(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little") | 1


class Vocabulary(dict[str, int]):
    """The numbers of the tokens seen so far, as they are written.

    What is known of each is in arrays by number.
    """

    def __init__(self) -> None:
        #: Hashes of the whole token, its first 3, 4 and 5 letters and its last 3.
        self.hashes = np.zeros((5, 4096), dtype=np.uint64)
        self.flags = np.zeros(4096, dtype=np.uint16)
        self.about = np.zeros(4096, dtype=np.uint16)
        #: The tokens, normalised.
        self.tokens: list[str] = []
        self.pieces = _Pieces(self)
        self.border = self[BORDER]

    def __missing__(self, written: str) -> int:
        number, token = len(self.tokens), normalize(written, join=False).text
        if number == len(self.flags):
            self.hashes = np.concatenate((self.hashes, np.zeros_like(self.hashes)), axis=1)
            self.flags = np.concatenate((self.flags, np.zeros_like(self.flags)))
            self.about = np.concatenate((self.about, np.zeros_like(self.about)))
        self.hashes[:, number] = (
            hashed(token),
            hashed(token[:3]) if len(token) > 3 and token[0] > "\u0500" else 0,
            hashed(token[:4]),
            hashed(token[:5]) if len(token) > 5 else 0,
            hashed(token[-3:]),
        )
        about = concepts_of(token)
        own = token in _SELF or _SELF_ENDING.search(token) is not None
        self.flags[number] = sum(flag for flag, members in _MEMBERS.items() if token in members)
        self.flags[number] |= Is.OWN * own | Is.SPACELESS * ("\u3040" <= token <= "\u9fff")
        self.about[number] = about
        self.tokens.append(token)
        self[written] = number
        return number


class _Pieces(dict[str, bytes]):
    """The numbers of the tokens of what stands between spaces, as the bytes of an array.

    Those of short pieces are remembered.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def __missing__(self, piece: str) -> bytes:
        folded = normalize(piece, join=False).text
        written = piece if len(folded) == len(piece) else folded
        numbers = np.array(
            [self._vocabulary[written[m.start() : m.end()]] for m in _TOKEN.finditer(folded)],
            dtype=np.int64,
        ).tobytes()
        if len(piece) < SHORT_PIECE:
            if len(self) >= _MOST:
                self.clear()
            self[piece] = numbers
        return numbers


#: The tokens of pieces shorter than this are remembered.
SHORT_PIECE: Final = 20
_VOCABULARY = Vocabulary()


class Numbered(NamedTuple):
    """The numbers of the tokens of some texts, one behind the other."""

    numbers: Ints
    starts: Ints  # where each text begins; the last one's end
    vocabulary: Vocabulary

    def of(self, text: int) -> Ints:
        """Those of one text."""
        return self.numbers[self.starts[text] : self.starts[text + 1]]

    def text_of(self, places: Ints) -> Ints:
        """The texts that the tokens at some places are of."""
        return np.asarray(np.searchsorted(self.starts, places, side="right") - 1)


def numbered(texts: Iterable[str]) -> Numbered:
    """The tokens of texts with marks.

    The texts are normalised, or as long as their normalised form and with the capitals that it
    lacks.
    """
    global _VOCABULARY
    if len(_VOCABULARY) > _MOST:
        _VOCABULARY = Vocabulary()
    vocabulary = _VOCABULARY
    pieces = "".join([f"{text} {BORDER} " for text in texts]).replace("\n", " \n ").split(" ")
    numbers = np.frombuffer(b"".join(map(vocabulary.pieces.__getitem__, pieces)), dtype=np.int64)
    border = numbers == vocabulary.border
    borders = np.flatnonzero(border)
    starts = np.concatenate(([0], borders - np.arange(len(borders))))
    return Numbered(numbers[~border], starts, vocabulary)
