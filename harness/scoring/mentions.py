"""Finds every mention of the identity book in a reply, in any script.

Scripts without word boundaries (Han, Kana, Hangul, Thai) match anywhere; others need a boundary on both sides, so
that "Nex" is not found in "next". Aliases of homographs count only as they are written in the book.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

import ahocorasick_rs

from harness.identities import Book, load_book
from harness.scoring.normalize import Normal, normalize

Kind = Literal["name", "maker"]


class Entry(NamedTuple):
    """One alias of the book. ``either`` is set where the same words name a family and a maker (DeepSeek, Mistral)."""

    kind: Kind
    identity: str
    alias: str
    weak: bool
    cased: bool
    either: str | None


class Mention(NamedTuple):
    """An alias found at ``start:end`` of the normalised text."""

    start: int
    end: int
    entry: Entry


def _unbounded(character: str) -> bool:
    return unicodedata.name(character, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI"))


def _is_word(character: str) -> bool:
    return (character.isalnum() or unicodedata.category(character).startswith("M")) and not _unbounded(character)


class Finder:
    """An Aho-Corasick automaton over all aliases, longest match first."""

    def __init__(self, book: Book) -> None:
        self.entries: list[Entry] = []
        patterns: dict[str, int] = {}
        for maker in book.makers.values():
            for alias in maker.aliases:
                self._add(patterns, Entry("maker", maker.id, alias, False, bool(maker.homograph), None))
        for family in book.families.values():
            if family.base_only:
                continue
            for alias in family.aliases:
                self._add(patterns, Entry("name", family.id, alias, alias in family.weak, bool(family.homograph), None))
        self.automaton = ahocorasick_rs.AhoCorasick(list(patterns), matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)
        self.order = list(patterns.values())

    def _add(self, patterns: dict[str, int], entry: Entry) -> None:
        key = normalize(entry.alias).text
        if key in patterns:
            known = self.entries[patterns[key]]
            if known.kind != entry.kind:
                self.entries[patterns[key]] = entry._replace(
                    kind="name", identity=entry.identity if entry.kind == "name" else known.identity, either=entry.identity if entry.kind == "maker" else known.identity
                )
            return
        patterns[key] = len(self.entries)
        self.entries.append(entry)

    def find(self, normal: Normal) -> list[Mention]:
        text, found = normal.text, []
        for pattern, start, end in self.automaton.find_matches_as_indexes(text):
            entry = self.entries[self.order[pattern]]
            if self._bounded(text, start, end) and (not entry.cased or self._as_written(normal, start, end, entry)):
                found.append(Mention(start, end, entry))
        return found

    @staticmethod
    def _bounded(text: str, start: int, end: int) -> bool:
        if _is_word(text[start]) and start and _is_word(text[start - 1]):
            return False
        return not (_is_word(text[end - 1]) and end < len(text) and _is_word(text[end]) and not _is_version(text, end))

    @staticmethod
    def _as_written(normal: Normal, start: int, end: int, entry: Entry) -> bool:
        """A homograph counts with the capital that the book gives it (or in full capitals)."""
        first, last = normal.span(start, end)
        written = normal.original[first:last]
        return written[:1] == entry.alias[:1] or written.isupper()


def _is_version(text: str, end: int) -> bool:
    """Digits that follow a name at once are its version: Qwen2, SmolLM2."""
    return text[end].isdigit()


@lru_cache(maxsize=1)
def finder() -> Finder:
    return Finder(load_book())
