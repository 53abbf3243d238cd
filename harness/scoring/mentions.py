"""Finds every alias of the identity book in a reply, in any script.

Scripts without word boundaries (Han, Kana, Hangul, Thai) match anywhere; others need a boundary on
both sides, so that "Nex" is not found in "next". Aliases of homographs count only as they are
written in the book.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

import ahocorasick_rs

from harness.campaign import Book, load_book
from harness.scoring.lists import any_of
from harness.scoring.marks import EITHER, MAKER, NAME
from harness.scoring.normalize import Normal, normalize

MAX_MENTIONS: Final = 200
#: Words that follow a family's name and belong to it: versions, sizes, editions.
_EDITION: Final = (
    r"(?:[- ]?(?:"
    r"v?\d+(?:\.\d+)*[a-z]{0,2}(?![^\W\d_])|r\d|r\+|[a-z]?\d+b|"
    r"(?:turbo|mini|small|medium|large|nano|micro|pro|ultra|flash|lite|max|plus|opus|sonnet|haiku|"
    r"instruct|chat|coder|vl|vision|preview|thinking|open|next|distill)(?!\w)"
    r"))"
)
_VERSION: Final = re.compile(rf"(?<=\d)(?:\.\d+)+[a-z]{{0,2}}(?![^\W\d_]){_EDITION}*|{_EDITION}+")
#: What no other word has, though the name alone may be one: a second word, a number.
_UNMISTAKABLE: Final = re.compile(r"[ \d]|GPT|ГПТ")
#: "Step 1" is no version.
_BARE_NUMBER: Final = re.compile(r" \d{1,2}")
#: Russian endings of a name.
_CASES: Final = re.compile(f"(?:{any_of('cases')})(?![^\\W\\d_])")
#: What often stands before a name, or behind it, and is no part of its word, nor of a version.
_BEFORE: Final = frozenset(' \n,.;:!?()"')
_BEHIND: Final = frozenset("\n,;:!?()\"'")
_PREFIXES: Final = re.compile("(?:^|[^\u0600-\u06ff])(?:و|ف)?(?:ب|ل|ك|ال|بال|لل)?$")
#: Capital letters, for classes of characters.
UPPER: Final = (
    "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĪİŁŃŇŌŐŘŚŞŠŢŤŪŮŰŹŻŽƠƯẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸА-ЯЁІЇЄ"
)
_WITHOUT_BOUNDARIES: Final = frozenset(
    ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "THAI")
)
_WORDS: Final = re.compile(r"[^\W_]+")


class Entry(NamedTuple):
    """One alias of the book: the family, the maker, or both that it names (DeepSeek, Mistral)."""

    alias: str
    family: str | None
    maker: str | None
    weak: bool
    cased: bool
    #: The alias holds digits.
    numbered: bool
    #: What stands for it in a window.
    mark: str


#: A phrase that only holds a name of the book.
_UNRELATED: Final = Entry("", None, None, False, False, False, "")


class Mention(NamedTuple):
    """Something that could be an identity, at ``start:end`` of the normalised text."""

    start: int
    end: int
    mark: str
    family: str | None
    maker: str | None
    weak: bool = False
    cased: bool = False
    unlisted: str | None = None
    version: str | None = None
    #: An unlisted name as the reply writes it, in lower case.
    written: str | None = None


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "?").split()[0]


def _unbounded(character: str) -> bool:
    return _script(character) in _WITHOUT_BOUNDARIES


def _of_a_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _joined(one: str, other: str) -> bool:
    """True if two characters side by side belong to one word."""
    if not (_of_a_word(one) and _of_a_word(other)):
        return False
    if one.isascii() and other.isascii():
        return True
    if _unbounded(one) or _unbounded(other):
        return False
    return _script(one) == _script(other) or one.isdigit() or other.isdigit()


def _inside_a_word(text: str, place: int) -> bool:
    """True if a word goes on at ``place``.

    What Arabic writes together with a name is no part of its word.
    """
    if not _joined(text[place - 1], text[place]):
        return False
    arabic = "\u0600" < text[place] < "\u06ff"
    return not (arabic and _PREFIXES.search(text[max(0, place - 6) : place]))


def _mistakable(alias: str, weak: bool = False) -> bool:
    """True if an alias of a homograph can be the other word.

    It is one word in a script with capitals, or one that the book calls weak.
    """
    return not _UNMISTAKABLE.search(alias) and (weak or alias.isascii() or alias != alias.lower())


class Finder:
    """An Aho-Corasick automaton over all aliases; of those that overlap, the first and longest."""

    def __init__(self, book: Book) -> None:
        entries = _aliases(book)
        for family in book.families.values():
            for phrase in family.unrelated:
                entries.setdefault(normalize(phrase).text, _UNRELATED)
        # written with a hyphen for a space, or a space for a hyphen
        for key, entry in list(entries.items()):
            entries.setdefault(key.replace(" ", "-"), entry)
            entries.setdefault(key.replace("-", " "), entry)
        self.entries = list(entries.values())
        self.automaton = ahocorasick_rs.AhoCorasick(
            list(entries),
            matchkind=ahocorasick_rs.MatchKind.Standard,
            implementation=ahocorasick_rs.Implementation.DFA,
        )
        self.words = frozenset(key for key in entries if _WORDS.fullmatch(key))
        self.aliases = {key: entry for key, entry in entries.items() if entry is not _UNRELATED}

    def _matches(self, text: str) -> list[tuple[int, int, int]]:
        """Start, end and pattern of all that matches, of those that start alike the longest first.

        What a longer one hides may still be a name, where that is a piece of words: "while ChatGPT"
        holds "le Chat".
        """
        every = self.automaton.find_matches_as_indexes(text, overlapping=True)
        found = [(start, end, pattern) for pattern, start, end in every]
        if len(found) > 1:
            found.sort(key=lambda match: (match[0], -match[1]))
        return found

    def find(self, normal: Normal) -> list[Mention]:
        """Mentions of the book in order, at most `MAX_MENTIONS`."""
        text, entries = normal.text, self.entries
        found: list[Mention] = []
        free = 0  # where the last one ended
        for start, end, pattern in self._matches(text):
            entry = entries[pattern]
            if start < free:
                continue
            if entry is _UNRELATED:
                free = end
                continue
            if start and text[start - 1] not in _BEFORE and _inside_a_word(text, start):
                continue
            stop, behind = end, text[end : end + 1]
            if behind and behind not in _BEHIND:
                version = _VERSION.match(text, end) if entry.family else None
                if version:
                    stop = version.end()
                elif behind not in " ." and _joined(text[end - 1], behind):
                    end = stop = _with_ending(text, start, end)
                    if not end:
                        continue
            if entry.cased and not _as_written(normal, entry, start, end):
                continue
            found.append(_mention(text, entry, start, end, stop))
            free = stop
            if len(found) >= MAX_MENTIONS:
                break
        return found


def _aliases(book: Book) -> dict[str, Entry]:
    """The aliases of a book by their normalised form."""
    entries: dict[str, Entry] = {}
    for maker in book.makers.values():
        for alias in maker.aliases:
            cased = bool(maker.homograph) and _mistakable(alias)
            _add(entries, alias, maker=maker.id, weak=False, cased=cased)
    for family in book.families.values():
        if family.base_only:
            continue
        for alias in family.aliases:
            weak = alias in family.weak
            cased = bool(family.homograph) and _mistakable(alias, weak)
            _add(entries, alias, family=family.id, weak=weak, cased=cased)
    return entries


def _add(
    entries: dict[str, Entry],
    alias: str,
    *,
    family: str | None = None,
    maker: str | None = None,
    weak: bool,
    cased: bool,
) -> None:
    """Add an alias; the family and the maker that one alias names share an entry."""
    key = normalize(alias).text
    if known := entries.get(key):
        alias, cased = known.alias, known.cased
        family, maker = known.family or family, known.maker or maker
        weak = known.weak and weak
    mark = EITHER if family and maker else NAME if family else MAKER
    numbered = any(map(str.isdigit, key))
    entries[key] = Entry(alias, family, maker, weak, cased, numbered, mark)


def _mention(text: str, entry: Entry, start: int, end: int, stop: int) -> Mention:
    """What is found of an entry that ends at ``end``, its version at ``stop``."""
    longer = stop > end
    sure_version = longer and _BARE_NUMBER.fullmatch(text, end, stop) is None
    return Mention(
        start,
        stop,
        NAME if longer else entry.mark,  # a version makes it a family
        entry.family,
        entry.maker,
        entry.weak and not sure_version,
        entry.cased,
        None,
        text[start:stop] if longer or entry.numbered else None,
    )


def _with_ending(text: str, start: int, end: int) -> int:
    """Where an alias ends that goes on with a Russian ending; 0 if it is another word."""
    inflected = end - start > 3 and "\u0400" < text[end - 1] < "\u0530"
    ending = _CASES.match(text, end) if inflected else None
    return ending.end() if ending else 0


def _as_written(normal: Normal, entry: Entry, start: int, end: int) -> bool:
    """True if a homograph has the capitals of the book, or stands in a text of none or all."""
    original, first = normal.original, normal.offsets[start]
    if not entry.weak and original.isascii() and original[first] == entry.alias[0]:
        return True
    written = original[first : normal.offsets[end - 1] + 1]
    if normal.cased is None or not written.isascii():
        written = unicodedata.normalize("NFKC", written.lstrip("*_`~"))
    # "Mai", where the book has MAI
    if entry.weak and entry.alias[1:2].isupper() and written[1:].islower():
        return False
    return written[:1] == entry.alias[:1] or written.isupper() or original.islower()


@lru_cache(maxsize=1)
def finder() -> Finder:
    return Finder(load_book())
