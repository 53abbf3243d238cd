"""Finds what could be a name that no book lists.

Names are taken from where a name can stand: capitals in scripts that have them, and phrases of
naming in those that have none. The classifier decides which of them are names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import filterfalse
from typing import Final

from harness.scoring.common import common_words, given_names
from harness.scoring.lists import any_of, namings, phrases
from harness.scoring.marks import MAKER, UNLISTED
from harness.scoring.memory import Remembered
from harness.scoring.mentions import MAX_MENTIONS, UPPER, Mention, finder
from harness.scoring.normalize import Normal
from harness.scoring.phrases import Phrases

#: A word with a capital. The class comes first, so that `re` runs from capital to capital.
_WORD: Final = rf"[{UPPER}](?<!\w.)[\w'’+]*(?:[-.·][\w]+)*"
CAPITALISED: Final = re.compile(rf"[{UPPER}][^\W_]*(?:-\d\w*)?")
_CAPITALS: Final = re.compile(
    rf"{_WORD}(?:(?: (?:{'|'.join(phrases('joins'))}))? (?:{_WORD}|\d+(?:[.\w]*\w)?))*"
)
#: What a name follows at once.
INTRODUCTIONS: Final[Phrases[str]] = Phrases(
    {kind: phrases("introduces", kind) for kind in ("called", "am")}, ending=" "
)
#: A name that is a common word elsewhere or a place, right behind a phrase of naming:
#: "I'm Hope, ...", "I'm Sofia from ...".
_BORNE: Final = re.compile(rf"([{UPPER}]\w+)(?=\W*$|[,.!:;]| -| (?:{any_of('behind_names')})\b)")
#: Endings behind an apostrophe, English and Turkish.
_SUFFIX: Final = re.compile(
    "'(?:s|[ndy]?[ıiuü][nm]?|[nyd]?[aeıiuü]|[dt][ae]n?|y?l[ae]|y[ıiuü]m|[ıiuü]m)?$"
)
#: What Korean, Japanese and Chinese write at once behind a name in Latin letters: "AI입니다".
_JOINED_ON: Final = re.compile("(?<=[a-z0-9])[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+$")
#: Words that show a kind of thing, no name.
THING: Final = re.compile(rf"\b(?:{any_of('things')})")
#: How a name is given in scripts without capitals: by a character of the script, what stands where
#: the name does.
NAMINGS: Final = {
    re.compile(script): [
        re.compile(f"(?:{each['before']})({each['name']})(?={each['behind']})") for each in ways
    ]
    for script, ways in namings()
}
#: Words in the name of a house: what carries one at its end or beginning is a maker.
HOUSE: Final = re.compile(f"(?:{any_of('houses')})")
#: What can stand between the end of a sentence and the first word of the next.
_OPENERS: Final = frozenset(" \"'*«“„¡¿(>")


def unlisted(
    normal: Normal, known: list[Mention], common: frozenset[str] | None = None
) -> list[Mention]:
    """Candidates for names that the book does not list, beside the known mentions.

    With ``common`` words that are none, as in fitting, the book is not looked at.
    """
    listed: frozenset[str] = frozenset()
    if common is None:
        common, listed = common_words(), finder().words
    borne = _borne(normal)
    capitalised = list(_capitalised(normal, known, common, listed))
    taken = [(m.start, m.end) for m in known]
    found: list[Mention] = []
    for start, end in (*borne, *_in_normalised(normal, capitalised), *_behind_naming(normal)):
        if any(s <= start < e for s, e in taken):
            continue
        name = _SUFFIX.sub("", normal.text[start:end].strip(" .-'"))
        if listed:  # what was learned from has too few of these to matter
            name = _JOINED_ON.sub("", name)
        end = start + len(name)
        if (
            len(name) > 1
            and ((start, end) in borne or _is_house(name) or not common.issuperset(name.split()))
            and not any(s < end and start < e for s, e in taken)
        ):
            taken.append((start, end))
            found.append(_mention(normal, start, end, name))
            if len(found) >= MAX_MENTIONS:
                break
    return found


def _mention(normal: Normal, start: int, end: int, name: str) -> Mention:
    mark = MAKER if _is_house(name) else UNLISTED
    written = normal.written(start, end)
    return Mention(start, end, mark, None, None, unlisted=name, written=written)


def _is_house(name: str) -> bool:
    """True if an unlisted name is written like that of a company or an institute."""
    parts = name.split()
    ends = (parts[-1].strip(".,"), parts[0]) if len(parts) > 1 else ()
    return any(map(HOUSE.fullmatch, ends))


def _borne(normal: Normal) -> list[tuple[int, int]]:
    """Words that are common, or places, but stand where a name does and are written so."""
    found = []
    for kind, _, start in INTRODUCTIONS.find(normal.text):
        place = normal.offsets[start] if start < len(normal.text) else len(normal.original)
        m = _BORNE.match(normal.original, place)
        name = m.group(1).lower() if m else ""
        if m and (kind == "called" or name in given_names()) and not THING.search(name):
            found.append((start, start + len(m.group(1))))
    return found


@lru_cache(maxsize=2)
def ordinary(common: frozenset[str], listed: frozenset[str]) -> Remembered[str, bool]:
    """Whether a capitalised word is a ``common`` one and no part of a house's name.

    One that the book has ``listed`` is ordinary too.
    """

    def is_ordinary(word: str) -> bool:
        lower = word.lower()
        return (lower in common and not HOUSE.fullmatch(lower)) or lower in listed

    return Remembered(is_ordinary, 100_000)


def _capitalised(
    normal: Normal, known: list[Mention], common: frozenset[str], listed: frozenset[str]
) -> Iterator[tuple[int, int]]:
    """Capitalised words that are not all common, nor all parts of ``known`` names.

    The spans are of the original.
    """
    original = normal.original
    uncommon = set(filterfalse(ordinary(common, listed).__getitem__, CAPITALISED.findall(original)))
    if uncommon:
        parts = (CAPITALISED.findall(original, *normal.span(m.start, m.end)) for m in known)
        uncommon.difference_update(*parts)
    if not uncommon:
        return
    for m in _CAPITALS.finditer(original):
        if m.group().lower() not in common:
            start, end = _without_common(original, *m.span(), common)
            if start < end:
                yield start, end


def _without_common(text: str, start: int, end: int, common: frozenset[str]) -> tuple[int, int]:
    """A run of capitalised words less the common words that it begins with.

    Those are left out that stand at the start of a sentence.
    """
    while start < end:
        stop = next((p for p in range(start, end) if text[p] == " "), end)
        word = text[start:stop].lower().strip(".'’")
        if not (word in common or ("-" in word and common.issuperset(word.split("-")))):
            break
        if not (len(word) < 3 or _opens(text, start)):
            break
        start = stop + 1
    return min(start, end), end


def _opens(text: str, start: int) -> bool:
    """True if a word at ``start`` can be the first of a sentence, a line or a clause."""
    while start and text[start - 1] in _OPENERS:
        start -= 1
    return (
        not start
        or text[start - 1] in ".!?…:;\n—-,|。！？"
        or (text[start - 1].isspace() and text[:start].isspace())
    )


def _in_normalised(normal: Normal, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of the original as spans of the normalised text, where they have one."""
    if not spans or normal.cased is not None:
        yield from spans
        return
    # of several characters that one became, the first
    back = {p: i for i, p in reversed(list(enumerate(normal.offsets)))}
    for start, end in spans:
        first, last = back.get(start, -1), back.get(end - 1, -1)
        if 0 <= first <= last:
            yield first, last + 1


def _behind_naming(normal: Normal) -> list[tuple[int, int]]:
    """What stands behind a phrase of naming in scripts without capitals."""
    text = normal.text
    if text.isascii():
        return []
    return [
        m.span(1)
        for script, ways in NAMINGS.items()
        if script.search(text)
        for way in ways
        for m in way.finditer(text)
    ]
