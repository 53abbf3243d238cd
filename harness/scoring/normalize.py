"""One written form for matching, with the way back to the original text.

NFKC, case folding, curly quotes straightened, zero-width and direction marks and light markup dropped. ``offsets``
lets evidence be highlighted in the text as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MAX_CHARACTERS = 200_000
_DROPPED = frozenset("\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad*`_~")
_SURROGATES = re.compile("[\ud800-\udfff]")
_STRAIGHT = {"‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-", "\u00a0": " "}


class Normal(NamedTuple):
    """Normalised text; character ``i`` of it comes from character ``offsets[i]`` of the original."""

    text: str
    offsets: list[int]
    original: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original offsets of a normalised span (end exclusive)."""
        if start >= end:
            return (0, 0)
        return self.offsets[start], self.offsets[end - 1] + 1


def normalize(text: str) -> Normal:
    """Normalise ``text``; what lies past `MAX_CHARACTERS` is not looked at."""
    text = _SURROGATES.sub("\ufffd", text[:MAX_CHARACTERS])
    if text.isascii() and not any(c in text for c in "*`_~"):
        return Normal(text.lower(), list(range(len(text))), text)
    pieces: list[str] = []
    offsets: list[int] = []
    for position, character in enumerate(text):
        if character in _DROPPED:
            continue
        folded = unicodedata.normalize("NFKC", _STRAIGHT.get(character, character)).lower()
        pieces.append(folded)
        offsets.extend([position] * len(folded))
    return Normal("".join(pieces), offsets, text)
