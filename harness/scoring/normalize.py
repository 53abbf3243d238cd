"""One written form for matching, with the way back to the original text.

NFKC, lower case, straight quotes, one dash; zero-width and direction marks, harakat and light
markup dropped; Cyrillic and Greek letters inside a Latin word read as the Latin letters that they
look like (Unicode TR 39); letters set apart by spaces ("Q w e n", "通 义") joined again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple

from harness.scoring.memory import Remembered

MAX_CHARACTERS: Final = 200_000
_MARKUP: Final = "*`_~"
_INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufe00-\ufe0f\ufeff"
)
_HARAKAT: Final = "\u0640\u064b-\u065f\u0670"
_DROPPED: Final = re.compile(f"[{_MARKUP}{_INVISIBLE}{_HARAKAT}]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_SPACES: Final = (
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t"
)
#: One character for one, so that offsets stay.
_STRAIGHT: Final = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛ʼ´＇", "'"),
        **dict.fromkeys("“”„‟«»「」『』", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys(_SPACES, " "),
        **dict.fromkeys("أإآٱ", "ا"),
        "ى": "ي",
        "İ": "i",
    }
)
_MIXED: Final = re.compile("[a-z][\u0370-\u052f]|[\u0370-\u052f][a-z]")
_WORD: Final = re.compile(r"[^\W_]+")
#: Look-alikes of Latin letters (a part of Unicode TR 39's confusables).
_LOOK_ALIKE: Final = str.maketrans(
    "авеԁһіјкмнорԛѕтухүԝпгабγαοορνικτυχ", "abedhijkmhopqstyxywnrabyaoopviktux"
)
_APART: Final = re.compile(r"(?<![\w'])[^\W\d_](?: [^\W_]){2,}(?!\w)")
_MAYBE_APART: Final = re.compile(r" [^\W\d_] [^\W_](?!\w)")
_HAN_APART: Final = re.compile("(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])")


class Normal(NamedTuple):
    """Normalised text; character ``i`` comes from character ``offsets[i]`` of the original."""

    text: str
    offsets: Sequence[int]
    original: str

    @property
    def cased(self) -> str | None:
        """The original, if it has a character for each of the normalised text."""
        return self.original if isinstance(self.offsets, range) else None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original offsets of a normalised span (end exclusive)."""
        if start >= end:
            return (0, 0)
        return self.offsets[start], self.offsets[end - 1] + 1

    def written(self, start: int, end: int) -> str:
        """A span in lower case as the original spells it.

        Matching folds more: the hamza, look-alike letters.
        """
        text = self.text[start:end]
        if text.isascii() or self.offsets[end - 1] - self.offsets[start] != end - start - 1:
            return text
        first, last = self.span(start, end)
        return unicodedata.normalize("NFKC", self.original[first:last]).lower()


def normalize(text: str, *, join: bool = True) -> Normal:
    """Normalise ``text``; with ``join`` letters set apart are joined.

    What lies past `MAX_CHARACTERS` is not looked at.
    """
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS]
    ascii_only = text.isascii()
    if not ascii_only:
        text = _SURROGATES.sub("\ufffd", text)
    found, offsets = _fold(text)
    if not ascii_only and _MIXED.search(found):
        found = _WORD.sub(_read_alike, found)
    if join and _may_be_apart(found, ascii_only=ascii_only):
        found, offsets = _joined(text, found, offsets)
    return Normal(found, offsets, text)


def _may_be_apart(found: str, *, ascii_only: bool) -> bool:
    """True if a quick look shows letters that may be set apart by spaces."""
    if _MAYBE_APART.search(found) or found[1:4:2] == "  ":
        return True
    return not ascii_only and _HAN_APART.search(found) is not None


def _joined(text: str, found: str, offsets: Sequence[int]) -> tuple[str, Sequence[int]]:
    """Letters set apart by spaces written together again."""
    gaps = {m.start() for m in _HAN_APART.finditer(found)}
    for m in _APART.finditer(found):
        start, letters = m.start(), [text[offsets[p]] for p in range(m.start(), m.end(), 2)]
        # "sou o R I O": the first is a word of its own
        if letters[0].islower() and letters[1].isupper():
            start, letters = start + 2, letters[1:]
        if len(letters) > 2:
            gaps.update(range(start + 1, m.end(), 2))
    return _without(found, offsets, sorted(gaps)) if gaps else (found, offsets)


def _without(text: str, offsets: Sequence[int], places: Iterable[int]) -> tuple[str, Sequence[int]]:
    """A text less some of its characters."""
    pieces: list[str] = []
    left: list[int] = []
    at = 0
    for place in chain(places, (len(text),)):
        pieces.append(text[at:place])
        left.extend(offsets[at:place])
        at = place + 1
    return "".join(pieces), left


def _folded(code: int) -> str:
    """What a character becomes."""
    composed = unicodedata.normalize("NFKC", chr(code).translate(_STRAIGHT))
    return _DROPPED.sub("", composed.lower().translate(_STRAIGHT))


_FOLDING: Final = Remembered(_folded, 50_000)


def _is_only_lowered(character: str) -> bool:
    """True if nothing but its lower case is taken, whatever stands beside it (sigma has two)."""
    lower = character.lower()
    return character != "Σ" and len(lower) == 1 and _FOLDING[ord(character)] == lower


_ONLY_LOWERED: Final = Remembered(_is_only_lowered, 50_000)


def _fold(text: str) -> tuple[str, Sequence[int]]:
    """Lower case and NFKC, less markup and what cannot be seen."""
    if text.isascii():
        folded, offsets = text.lower().replace("\t", " "), range(len(text))
        if "*" in text or "_" in text or "`" in text or "~" in text:
            return _without(folded, offsets, (m.start() for m in _DROPPED.finditer(folded)))
        return folded, offsets
    characters = set(text)
    if all(map(_ONLY_LOWERED.__getitem__, characters)):
        return text.lower(), range(len(text))
    folded = text.translate(_FOLDING)
    if all(len(_FOLDING[ord(character)]) == 1 for character in characters):
        return folded, range(len(text))
    return folded, [place for place, character in enumerate(text) for _ in _FOLDING[ord(character)]]


def _read_alike(word: re.Match[str]) -> str:
    """A word of mixed scripts as Latin, if every foreign letter looks like a Latin one."""
    if not _MIXED.search(word.group()):
        return word.group()
    read = word.group().translate(_LOOK_ALIKE)
    return read if read.isascii() else word.group()
