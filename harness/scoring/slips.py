"""Names of the book that a reply misspells, or that its end cuts short."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from harness.campaign.identities import load_book
from harness.scoring.mentions import Entry, Mention, finder
from harness.scoring.normalize import Normal
from harness.scoring.training import common_words, no_slips

#: What a Korean name is written together with.
_COPULA: Final = re.compile("(?:이?(?:라고|라는|며|고|야|에요|예요|에여|임다)|입니다|임)$")
_GAPS: Final = (" ", "-", "")
#: Letters, and the signs of vowels that Indic letters carry.
_LETTER: Final = "(?:[^\\W_\u3040-\u9fff]|[\u0900-\u0963\u0966-\u0dff])"
_SPELT: Final = re.compile(f"{_LETTER}+(?:[-.]{_LETTER}+)*")
_DOUBLED: Final = re.compile(r"(.)\1+")
_LEET: Final = str.maketrans("0134578", "oleastb")


def misspelt(normal: Normal, known: list[Mention]) -> list[Mention]:
    """Names of the book that a short, carelessly written reply misspells: one to three words, none of them common but one that the name begins with."""
    if len(normal.text) > 200 or (
        any(map(str.isupper, normal.original[1:])) and normal.text.isascii()
    ):
        return []
    words = list(_SPELT.finditer(normal.text))
    common, found, at, makers = common_words(), [], 0, makers_named(known)
    while at < len(words):
        for length in (3, 2, 1):
            part = words[at : at + length]
            if (
                len(part) == length
                and not any(
                    w.group() in common
                    and (length == 1 or (w is not part[0] and len(w.group()) > 3))
                    for w in part
                )
                and not (part[0].group() in common and len(part[0].group()) < 3)
                and all(normal.text[a.end() : b.start()] in _GAPS for a, b in pairwise(part))
                and not any(m.start < part[-1].end() and part[0].start() < m.end for m in known)
            ):
                start, end = part[0].start(), part[-1].end()
                ending = _COPULA.search(normal.text, start, end)
                end = ending.start() if ending else end
                entry = typo(normal.text[start:end], careless=True, makers=makers)
                if entry and (
                    len(part[0].group()) < 4
                    or part[0].group() not in common
                    or _squash(entry.alias.lower()).startswith(part[0].group())
                ):
                    found.append(Mention(start, end, entry.mark, entry.family, entry.maker))
                    at += length - 1
                    break
        at += 1
    if not makers and any(m.maker for m in found):  # they tell more of what stands beside them
        found += misspelt(normal, sorted(known + found))
    return found


def _squash(written: str) -> str:
    """Letters and digits alone."""
    return re.sub("[^\\w\u0900-\u0dff]|_", "", written)


@lru_cache(maxsize=1)
def _index() -> dict[str, Entry]:
    """The aliases of the book, squashed."""
    return {_squash(key): entry for key, entry in finder().aliases.items()}


@lru_cache(maxsize=1)
def _alike() -> dict[str, Entry]:
    """The same with i for l, which look alike: "OpenAl"."""
    return {key.replace("l", "i"): entry for key, entry in _index().items()}


def _begun(written: str) -> list[str]:
    """The aliases of the book, squashed, that begin so, the shortest first."""
    letters = _squash(written)
    return sorted((key for key in _index() if key.startswith(letters)), key=len)


def cut_short(written: str) -> Entry | None:
    """The one identity whose alias a cut reply had begun to write: in three letters and two thirds of it or more, or in nine letters that begin no other's."""
    letters = len(_squash(written))
    begun = _begun(written)
    found = (
        begun
        if letters > 8
        else [key for key in begun if letters > 2 and letters * 3 >= len(key) * 2]
    )
    entries = [_index()[key] for key in found]
    one = len({(e.family, e.maker) for e in entries}) == 1 or (
        letters < 9 and all(key.startswith(found[0]) for key in found)
    )
    return entries[0] if entries and one else None


def begins_an_alias(written: str) -> bool:
    """True if some alias of the book begins so."""
    return bool(_begun(written))


def _makers_of(entry: Entry | Mention) -> Collection[str]:
    return load_book().families[entry.family].makers if entry.family else ()


def _meant(mentions: Iterable[Mention]) -> Iterator[Entry | Mention]:
    """What mentions stand for in the book, misspelt ones too."""
    for mention in mentions:
        meant = typo(mention.unlisted) if mention.unlisted else mention
        if meant:
            yield meant


def makers_named(mentions: Iterable[Mention]) -> frozenset[str]:
    """The makers of the book among mentions, misspelt ones too."""
    return frozenset(meant.maker for meant in _meant(mentions) if meant.maker)


def makers_expected(mentions: Iterable[Mention]) -> frozenset[str]:
    """The makers of the families of the book among mentions, misspelt ones too."""
    return frozenset(maker for meant in _meant(mentions) for maker in _makers_of(meant))


@lru_cache(maxsize=8192)
def typo(
    written: str,
    careless: bool = False,
    makers: frozenset[str] = frozenset(),
    expected: frozenset[str] = frozenset(),
) -> Entry | None:
    """The alias that a misspelt name stands for, or None.

    Two letters swapped in five or more, one edit in seven or more (six where the first and the last letter are right), two in twelve or more (a letter moved elsewhere: in eight); in careless writing, which has no
    capitals, one edit in five (Hangul: four) or more, for there an unknown name is likelier a slip than a name; beside
    the ``makers`` of a family, one edit of its name in four or more; one edit of the name of a maker that is ``expected``,
    for a family of its is named, in five or more.
    """
    squashed = _squash(written)
    if len(squashed) < 4 or written in no_slips():
        return None
    index = _index()
    for form in (
        squashed,
        squashed.translate(_LEET),
        squashed.replace("x", "ch"),
        _DOUBLED.sub(r"\1", squashed),
    ):  # "xat gpt", "Qwenn"
        if form in index:
            return index[form]
    if (alike := _alike().get(squashed.replace("l", "i"))) is not None:
        return alike
    found = process.extract(
        squashed, list(index), scorer=OSA.distance, score_cutoff=1 if len(squashed) < 8 else 2
    )
    if not found:
        return None
    for alias, edits, _ in found:
        entry = index[alias]
        if edits == 1 and (
            (len(alias) > 3 and makers.intersection(_makers_of(entry)))
            or (len(alias) > 4 and entry.maker in expected)
        ):
            return entry
    alias, edits, _ = found[0]
    swapped = sorted(alias) == sorted(squashed)
    ends = alias[0] == squashed[0] and alias[-1] == squashed[-1]
    if squashed == f"{alias}s" or (
        edits > 1 and (len(squashed) < 12 or not ends) and not swapped
    ):  # "llamas" is no slip
        return None
    hangul = "\uac00" <= alias[0] <= "\ud7af"
    least = 4 if hangul else 5 if careless or swapped else 6 if ends else 7
    return (
        index[alias]
        if len(squashed) >= least
        and len(alias) >= least
        and (alias[-1] == squashed[-1] or alias[0] == squashed[0])
        else None
    )
