"""Names of the book that a reply misspells, or that its end cuts short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from harness.campaign import load_book
from harness.scoring.common import no_slips
from harness.scoring.mentions import Entry, Mention, finder

_DOUBLED: Final = re.compile(r"(.)\1+")
_LEET: Final = str.maketrans("0134578", "oleastb")


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
    """The one identity whose alias a cut reply had begun to write.

    It had written three letters and two thirds of it or more, or nine that begin no other's.
    """
    letters = len(_squash(written))
    found = _begun(written)
    if letters < 9:
        found = [key for key in found if letters > 2 and letters * 3 >= len(key) * 2]
    if not found:
        return None
    entries = [_index()[key] for key in found]
    one = len({(e.family, e.maker) for e in entries}) == 1
    forms_of_one = letters < 9 and all(key.startswith(found[0]) for key in found)
    return entries[0] if one or forms_of_one else None


def begins_an_alias(written: str) -> bool:
    """True if some alias of the book begins so."""
    return bool(_begun(written))


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
    return frozenset(
        maker for meant in _meant(mentions) for maker in load_book().makers_of(meant.family)
    )


@lru_cache(maxsize=8192)
def typo(
    written: str,
    makers: frozenset[str] = frozenset(),
    expected: frozenset[str] = frozenset(),
) -> Entry | None:
    """The alias that a misspelt name stands for, or None.

    Two letters swapped in five or more, one edit in seven or more (six where the first and the last
    letter are right), two in twelve or more (a letter moved elsewhere: in eight); beside the
    ``makers`` of a family, one edit of its name in four or more; one edit of the name of a maker
    that is ``expected``, for a family of its is named, in five or more.
    """
    squashed = _squash(written)
    if len(squashed) < 4 or written in no_slips():
        return None
    index = _index()
    for form in _other_forms(squashed):
        if form in index:
            return index[form]
    if (alike := _alike().get(squashed.replace("l", "i"))) is not None:
        return alike
    cutoff = 1 if len(squashed) < 8 else 2
    found = process.extract(squashed, list(index), scorer=OSA.distance, score_cutoff=cutoff)
    if not found:
        return None
    for alias, edits, _ in found:
        entry = index[alias]
        makes_it = len(alias) > 3 and makers.intersection(load_book().makers_of(entry.family))
        if edits == 1 and (makes_it or (len(alias) > 4 and entry.maker in expected)):
            return entry
    alias, edits, _ = found[0]
    return index[alias] if _near(squashed, alias, edits) else None


def _other_forms(squashed: str) -> tuple[str, ...]:
    """A name and the plain ways of writing it otherwise: "cl4ude", "xat gpt", "Qwenn"."""
    return (
        squashed,
        squashed.translate(_LEET),
        squashed.replace("x", "ch"),
        _DOUBLED.sub(r"\1", squashed),
    )


def _near(squashed: str, alias: str, edits: int) -> bool:
    """True if a name so many edits from an alias is long enough to be that alias misspelt."""
    begins, ends = alias[0] == squashed[0], alias[-1] == squashed[-1]
    swapped = sorted(alias) == sorted(squashed)
    if squashed == f"{alias}s":  # "llamas" is no slip
        return False
    if edits > 1 and not swapped and not (len(squashed) > 11 and begins and ends):
        return False
    least = 5 if swapped else 6 if begins and ends else 7
    return min(len(squashed), len(alias)) >= least and (begins or ends)
