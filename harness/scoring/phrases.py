"""Finds all phrases of some lists at once.

A phrase in an alphabet counts only from the beginning of a word. In a phrase
`(a|b|)` stands for any one of its parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain, product
from typing import Final, Generic, TypeVar

import ahocorasick_rs

#: Latin, Greek and Cyrillic letters lie below.
ALPHABETS_END: Final = "\u0530"
FEW: Final = 100
_CHOICE: Final = re.compile(r"\(([^()]*)\)")
Kind = TypeVar("Kind", bound=str)


class Phrases(Generic[Kind]):
    """An Aho-Corasick automaton over lists of phrases, each list of one kind.

    ``ending`` is what stands behind every phrase.
    """

    def __init__(self, lists: Mapping[Kind, Iterable[str]], *, ending: str = "") -> None:
        self.phrases = [
            (phrase + ending, kind)
            for kind, written in lists.items()
            for phrase in chain.from_iterable(map(_written_out, written))
        ]

    @cached_property
    def _automaton(self) -> ahocorasick_rs.AhoCorasick:
        phrases = [phrase for phrase, _ in self.phrases]
        # for a few, the package knows a faster way by itself
        table = ahocorasick_rs.Implementation.DFA if len(phrases) > FEW else None
        return ahocorasick_rs.AhoCorasick(phrases, implementation=table)

    def find(self, text: str) -> list[tuple[Kind, int, int]]:
        """Kind, start and end of the phrases in normalised text.

        They come in order of their ends, and can overlap.
        """
        found = self._automaton.find_matches_as_indexes(text, overlapping=True)
        return [
            (self.phrases[phrase][1], start, end)
            for phrase, start, end in found
            if not (start and text[start] < ALPHABETS_END and text[start - 1].isalnum())
        ]


def _written_out(phrase: str) -> Iterator[str]:
    pieces = _CHOICE.split(phrase)  # by turns a fixed piece and a choice
    parts = [piece.split("|") if place % 2 else [piece] for place, piece in enumerate(pieces)]
    return map("".join, product(*parts))
