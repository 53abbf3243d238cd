"""Tokens of a text for word-for-word comparison, and where they stand in it.

A token is a word (letters and digits, case folded) or a single Han, Kana, Hangul or Thai character.
"""

from __future__ import annotations

import re
from typing import Final

from harness.scoring.normalize import normalize

#: Scripts that are written without spaces: Thai, Kana, Han, Hangul.
_UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(f"[{_UNSPACED}]|(?:[^\\W_{_UNSPACED}]|[\u0300-\u036f\u0900-\u0dff])+")
#: The same tokens in plain text, faster.
_ASCII: Final = re.compile("[a-z0-9]+")


def words(text: str) -> list[str]:
    """Tokens of ``text``."""
    folded = normalize(text, join=False).text
    return (_ASCII if folded.isascii() else _TOKEN).findall(folded)


def places(text: str) -> list[tuple[int, int]]:
    """Start and end of each token in the original text (characters)."""
    normal = normalize(text, join=False)
    return [normal.span(m.start(), m.end()) for m in _TOKEN.finditer(normal.text)]
