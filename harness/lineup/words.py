"""The word of a one-word answer: by Unicode, in any script.

In: the text of a reply. Out: its first word as it is counted, and whether it is all there is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

#: Letters of a word that are kept, and of a reply that are looked at: replies come from strangers.
LONGEST: Final = 40
LOOKED_AT: Final = 2000


class Word(NamedTuple):
    """The first word of a reply; ``direct`` where the reply holds no other."""

    word: str
    direct: bool


def word_of(text: str | None) -> Word | None:
    """The first word of a reply, or None where it holds none.

    Compatibility forms are one (NFKC), case is folded, digits of every script are those of ASCII,
    and what is neither letter, mark nor digit parts words. Scripts without spaces part at their
    punctuation.

    >>> word_of(" **Blue**. ")
    Word(word='blue', direct=True)
    >>> word_of("٤٢"), word_of("I'd say 7")
    (Word(word='42', direct=True), Word(word='i', direct=False))
    """
    found = _words(unicodedata.normalize("NFKC", (text or "")[:LOOKED_AT]).casefold())
    first = next(found, None)
    return None if first is None else Word(first, next(found, None) is None)


def _words(text: str) -> Iterator[str]:
    held: list[str] = []
    for letter in text:
        if unicodedata.category(letter)[0] in "LMN":
            if len(held) < LONGEST:
                digit = unicodedata.decimal(letter, None)
                held.append(letter if digit is None else str(digit))
        elif held:
            yield "".join(held)
            held = []
    if held:
        yield "".join(held)
