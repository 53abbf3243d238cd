"""Names of the book that a reply misspells."""

from __future__ import annotations

import re
from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from harness.scoring.common import no_slips
from harness.scoring.mentions import Entry, finder


def _squash(written: str) -> str:
    """Letters and digits alone."""
    return re.sub("[^\\w\u0900-\u0dff]|_", "", written)


@lru_cache(maxsize=1)
def _index() -> dict[str, Entry]:
    """The aliases of the book, squashed."""
    return {_squash(key): entry for key, entry in finder().aliases.items()}


@lru_cache(maxsize=8192)
def typo(written: str) -> Entry | None:
    """The alias that a misspelt name stands for, or None.

    Two letters swapped in five or more, one edit in seven or more (six where the first and the last
    letter are right), two in twelve or more (a letter moved elsewhere: in eight).
    """
    squashed = _squash(written)
    if len(squashed) < 4 or written in no_slips():
        return None
    index = _index()
    if squashed in index:
        return index[squashed]
    cutoff = 1 if len(squashed) < 8 else 2
    found = process.extractOne(squashed, list(index), scorer=OSA.distance, score_cutoff=cutoff)
    if not found:
        return None
    alias, edits, _ = found
    return index[alias] if _near(squashed, alias, edits) else None


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
