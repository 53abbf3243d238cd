"""What a word near a mention is about, the same in every language: making, naming, denying, ...

A word counts by its stem; Han, Kana and Thai, which are not cut into words, by characters in a row.
The concepts let the classifier carry over to one language what it learned of a turn of phrase in
another. The words stand in `data/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from harness.scoring.lists import any_of

#: The order of the bits of a set of concepts.
CONCEPTS: Final = (
    *("make", "name", "base", "not", "like", "say", "you", "doubt", "assistant", "tell"),
    *("company", "there", "serve", "news", "text", "kin"),
)
#: Stems of words (a final $ ends the word).
_MATCH: Final = [re.compile(f"(?:{any_of('concepts', concept)})") for concept in CONCEPTS]
_JOINED_ON: Final = re.compile("^[وف]?(?:ال|بال|كال|لل|[بلك])?(?=[\u0620-\u06ff]{3})")
_IN_A_ROW: Final = re.compile(
    "|".join(f"(?P<{concept}>{any_of('characters', concept)})" for concept in CONCEPTS)
)


def concepts_of(token: str) -> int:
    """The concepts of one word, a bit each."""
    if len(token) < 2:
        return 0
    bare = _JOINED_ON.sub("", token)  # Arabic joins "and", "in", "for" and "the" to a word
    return sum(
        1 << bit
        for bit, stems in enumerate(_MATCH)
        if stems.match(token) or (bare != token and stems.match(bare))
    )


def in_a_row(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """The concepts, as bits, of characters in a row, with the place of the first."""
    text = "".join([t if len(t) == 1 else " " for t in tokens])
    if text.isascii():
        return []
    return [(1 << CONCEPTS.index(str(m.lastgroup)), m.start()) for m in _IN_A_ROW.finditer(text)]
