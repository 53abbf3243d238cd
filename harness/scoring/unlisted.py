"""Finds what could be a name that no book lists.

Names are taken from where a name can stand: capitals in scripts that have them, phrases of naming
in those that have none, and quotation marks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import filterfalse
from typing import Final

from harness.scoring.common import common_words, given_names, places, uncapitalised_words
from harness.scoring.features import MAKER, UNLISTED
from harness.scoring.lists import any_of, namings, phrases, words
from harness.scoring.memory import Remembered
from harness.scoring.mentions import MAX_MENTIONS, TITLES, UPPER, Mention, finder
from harness.scoring.normalize import Normal
from harness.scoring.phrases import Phrases

#: A word with a capital, "Dr. " before it perhaps.
#: The class comes first, so that `re` runs from capital to capital.
_WORD: Final = (
    rf"[{UPPER}](?<!\w.)(?:(?:(?<=D)r|(?<=M)(?:rs?|s)|(?<=S)t)\. [{UPPER}])?"
    r"[\w'’+]*(?:[-.·][\w]+)*"
)
CAPITALISED: Final = re.compile(rf"[{UPPER}][^\W_]*(?:-\d\w*)?")
_CAPITAL: Final = re.compile(f"[{UPPER}]")
_ADDRESSED: Final = re.compile(r"(?:Dr|Mr|Mrs|Ms|St)\. ")
_CAPITALS: Final = re.compile(
    rf"{_WORD}"
    rf"(?:(?: (?:{'|'.join(phrases('joins'))}))?"
    rf" (?:{_WORD}|\d+(?:[.\w]*\w)?))*"
)
#: "AI-powered", "Lambda-based": no names.
_COMPOUND: Final = re.compile(rf"[\w.]+-(?:{any_of('compounds')})")
#: German writes nouns with capitals: what stands behind these words is one.
_BEFORE_A_NOUN: Final = re.compile(rf"\b(?:{any_of('before_nouns')}) $")
#: A name in quotation marks has no more characters.
LONGEST_QUOTED: Final = 40
_QUOTED: Final = re.compile(rf'"([^"\n]{{2,{LONGEST_QUOTED}}})"')
#: Two words with capitals.
_TWO_TITLED: Final = re.compile(
    rf"[{UPPER}](?<=[ '’].)[^\W\d_]+ (?:(?:{any_of('joins_two')}) )?[{UPPER}][^\W\d_]"
)
#: What a name follows at once; behind the first ones it can be written small.
INTRODUCTIONS: Final[Phrases[str]] = Phrases(
    {kind: phrases("introduces", kind) for kind in ("called", "am")}, ending=" "
)
#: A name that is a common word elsewhere or a place, right behind a phrase of naming:
#: "I'm Hope, ...", "I'm Sofia from ...".
_BORNE: Final = re.compile(
    rf"(?!{_ADDRESSED.pattern})([{UPPER}]\w+)"
    r"(?=\W*$|[,.!:;]| -|"
    r" (?:from|by|at|de|da|di|del|of|von|vom|aus|and|und|et|y|e|dan|ve|và|bên|từ|của|dari)\b)"
)
#: Endings behind an apostrophe, English and Turkish.
_SUFFIX: Final = re.compile(
    "'(?:s|[ndy]?[ıiuü][nm]?|[nyd]?[aeıiuü]|[dt][ae]n?|y?l[ae]|y[ıiuü]m|[ıiuü]m)?$"
)
#: What Korean, Japanese and Chinese write at once behind a name in Latin letters: "AI입니다".
_JOINED_ON: Final = re.compile("(?<=[a-z0-9])[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+$")
#: Words for a kind of house that are no part of its name.
_KIND_OF_HOUSE: Final = frozenset(words("kinds_of_house"))
_SMALL: Final = re.compile(r"[^\W\d_][\w-]{2,20}")
_TITLED: Final = re.compile(r"[A-Z]\w+ [A-Z]\w")
#: Words that show a kind of thing, no name.
THING: Final = re.compile(rf"\b(?:{any_of('things')})")
_THING_ELSEWHERE: Final = re.compile(any_of("no_names"))
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
_HOUSE_ENDS: Final = re.compile(f"(?:{any_of('house_ends')})$")
_I: Final = frozenset("i'm i'd i've i'll".split())
#: What can stand between the end of a sentence and the first word of the next.
_OPENERS: Final = frozenset(" \"'*«“„¡¿(>")


def _shouted(text: str) -> bool:
    """True if a text is written in capitals, as far as its beginning shows."""
    return len(_CAPITAL.findall(text, 0, 200)) * 2 >= len(text[:200])


def _is_house(name: str) -> bool:
    """True if an unlisted name is written like that of a company or an institute."""
    parts = name.split()
    if len(parts) > 1 and (HOUSE.fullmatch(parts[-1].strip(".,")) or HOUSE.fullmatch(parts[0])):
        return True
    return _HOUSE_ENDS.search(name) is not None


def _introduced(text: str) -> dict[int, bool]:
    """Where a name can begin, right behind "I am" or the like.

    With it, whether it could be written small there.
    """
    found: dict[int, bool] = {}
    for kind, _, end in INTRODUCTIONS.find(text):
        if end < len(text):
            found[end] = found.get(end, False) or kind == "called"
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


def unlisted(
    normal: Normal, known: list[Mention], common: frozenset[str] | None = None
) -> list[Mention]:
    """Candidates for names that the book does not list, beside the known mentions.

    With ``common`` words that are none, as in fitting, the book is not looked at.
    """
    listed: frozenset[str] = frozenset()
    if common is None:
        common, listed = common_words(), finder().words
    introduced = _introduced(normal.text)
    borne = _borne(normal, introduced)
    capitalised = list(_capitalised(normal, known, common, listed, introduced))
    spans = [
        *borne,
        *_quoted(normal),
        *_in_normalised(normal, capitalised),
        *_behind_naming(normal, introduced),
    ]
    if not spans:
        return []
    taken = [(m.start, m.end) for m in known]
    surely = {start for start, _ in borne}
    found: list[Mention] = []
    for start, end in spans:
        if any(s <= start < e for s, e in taken):
            continue
        name = _SUFFIX.sub("", normal.text[start:end].strip(" .-'"))
        if listed:  # what was learned from has too few of these to matter
            name = _JOINED_ON.sub("", name)
        end = start + len(name)
        if (
            len(name) > 1
            and not _COMPOUND.fullmatch(name)
            and (start in surely or _stands_out(normal, start, name, common, introduced))
            and not any(s < end and start < e for s, e in taken)
        ):
            taken.append((start, end))
            found.append(_mention(normal, start, end, name))
            if len(found) >= MAX_MENTIONS:
                break
    return found


def _stands_out(
    normal: Normal,
    start: int,
    name: str,
    common: frozenset[str],
    introduced: Collection[int],
) -> bool:
    """True if a candidate is more than common words.

    Two common words or more can be a name where they are introduced, or written as one.
    """
    if not common.issuperset(name.split()):
        return True
    if " " not in name or THING.search(name):
        return False
    return (
        start in introduced
        or _is_house(name)
        or _two_titled(normal.original, normal.offsets[start], name)
    )


def _mention(normal: Normal, start: int, end: int, name: str) -> Mention:
    mark = MAKER if _is_house(name) else UNLISTED
    written = normal.written(start, end)
    return Mention(start, end, mark, None, None, unlisted=name, written=written)


def _within(original: str, space: int) -> bool:
    """True if the word behind a space is not the first of its sentence."""
    return space > 0 and (original[space - 1].isalnum() or original[space - 1] in ",:")


def _two_titled(original: str, start: int, name: str) -> bool:
    """True if two words with capitals begin at ``start``, inside a sentence, that are no place.

    One of them is written small elsewhere.
    """
    parts = name.split()
    return (
        _within(original, start - 1)
        and _TWO_TITLED.match(original, start) is not None
        and any(part in uncapitalised_words() for part in parts)
        and not any(part in places() for part in parts)
    )


def _quoted(normal: Normal) -> list[tuple[int, int]]:
    if '"' not in normal.text:
        return []
    return [m.span(1) for m in _QUOTED.finditer(normal.text) if len(m.group(1).split()) < 5]


def _borne(normal: Normal, introduced: dict[int, bool]) -> list[tuple[int, int]]:
    """Words that are common, or places, but stand where a name does and are written so."""
    found = []
    for start, called in introduced.items():
        m = _BORNE.match(normal.original, normal.offsets[start])
        name = m.group(1).lower() if m else ""
        if m and (called or name in given_names()) and not THING.search(name):
            found.append((start, start + len(m.group(1))))
    return found


def _capitalised(
    normal: Normal,
    known: list[Mention],
    common: frozenset[str],
    listed: frozenset[str],
    introduced: Collection[int],
) -> Iterator[tuple[int, int]]:
    """Capitalised words that are not all common, nor all parts of ``known`` names.

    The spans are of the original.
    """
    original = normal.original
    spans = [normal.span(m.start, m.end) for m in known]
    uncommon = set(filterfalse(ordinary(common, listed).__getitem__, CAPITALISED.findall(original)))
    if uncommon:
        parts = [CAPITALISED.findall(original, start, end) for start, end in spans]
        uncommon.difference_update(*parts)
    titled = _titled(normal, introduced, spans)
    if not (uncommon or titled) or _shouted(original):
        return
    # common words alone are a name at most where one is introduced
    runs = _CAPITALS.finditer(original) if uncommon else _runs_at(original, titled)
    for m in runs:
        if m.group().lower() in common:
            continue
        start, end = m.span()
        if not _ADDRESSED.match(m.group()):
            start, end = _without_common(original, start, end, common)
        if start < end and not _is_a_noun(original, start, end):
            yield start, end


def _titled(normal: Normal, introduced: Collection[int], spans: list[tuple[int, int]]) -> list[int]:
    """Where in the original two words with capitals begin that can be a name, outside ``spans``."""
    original = normal.original
    places = [p for p in map(normal.offsets.__getitem__, introduced) if _TITLED.match(original, p)]
    places += [
        m.start() for m in _TWO_TITLED.finditer(original) if _within(original, m.start() - 1)
    ]
    return sorted(p for p in places if not any(start <= p < end for start, end in spans))


def _is_a_noun(original: str, start: int, end: int) -> bool:
    """True if one word stands where German has a noun."""
    if " " in original[start:end]:
        return False
    return _BEFORE_A_NOUN.search(original, max(0, start - 12), start) is not None


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


def _runs_at(original: str, places: list[int]) -> Iterator[re.Match[str]]:
    """The runs of capitalised words that begin at some places, less those inside another."""
    reached = 0
    for place in places:
        m = _CAPITALS.match(original, place) if place >= reached else None
        if m:
            reached = m.end()
            yield m


def _behind_naming(normal: Normal, introduced: dict[int, bool]) -> list[tuple[int, int]]:
    """Words written small behind a phrase of naming.

    In scripts without capitals, all that stands behind one.
    """
    text = normal.text
    called = (start for start, can_be_small in introduced.items() if can_be_small)
    small = [word.span() for start in called if (word := _SMALL.match(text, start))]
    if text.isascii():
        return small
    return small + [
        m.span(1)
        for script, ways in NAMINGS.items()
        if script.search(text)
        for pattern in ways
        for m in pattern.finditer(text)
        if not _THING_ELSEWHERE.search(m.group(1))
    ]


def _without_common(text: str, start: int, end: int, common: frozenset[str]) -> tuple[int, int]:
    """A run of capitalised words less the common words that it begins with.

    Those are left out that stand at the start of a sentence.
    """
    while start < end:
        stop = next((p for p in range(start, end) if text[p] == " "), end)
        word = text[start:stop].lower().strip(".'’")
        if (word in TITLES and stop < end) or _ADDRESSED.match(text, start):
            break
        if not (word in common or ("-" in word and common.issuperset(word.split("-")))):
            break
        if not (len(word) < 3 or word in _I or word in _KIND_OF_HOUSE or _opens(text, start)):
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
