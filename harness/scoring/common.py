"""Words that are no names: those that people wrote, and some that the data lists."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

NEVER: Final = Path(__file__).with_name("data") / "never.txt"
#: A word a line, as written: made by `harness.scoring.learning`.
WORDS: Final = Path(__file__).with_name("fitted") / "words.txt"


@lru_cache(maxsize=1)
def _written() -> frozenset[str]:
    """The words of all sentences, and the plain ones of written replies, as written."""
    return frozenset(WORDS.read_text("utf-8").split("\n"))


@lru_cache(maxsize=1)
def _never() -> tuple[frozenset[str], ...]:
    """The three parts of `never.txt`, in lower case."""
    parts = re.split("^# .*$", NEVER.read_text("utf-8").lower(), flags=re.MULTILINE)
    return tuple(frozenset(part.split()) for part in parts[1:])


@lru_cache(maxsize=1)
def common_words() -> frozenset[str]:
    """Words that are no names, in lower case.

    They are those of the written sentences, and places, languages and the like.
    """
    return _never()[0].union(places(), map(str.lower, _written()))


@lru_cache(maxsize=1)
def given_names() -> frozenset[str]:
    """The common words that a speaker can be called by all the same, in lower case.

    They are all but those that `never.txt` lists first.
    """
    return common_words() - _never()[0]


def places() -> frozenset[str]:
    """The places and people of `never.txt`, in lower case."""
    return _never()[1]


def no_slips() -> frozenset[str]:
    """Words, in lower case, that are near to a name of the book and not that name misspelt."""
    return _never()[2]


@lru_cache(maxsize=1)
def uncapitalised_words() -> frozenset[str]:
    """The words of all sentences that are written small somewhere.

    What is left are those that look like names in a sentence.
    """
    return frozenset(filter(str.islower, _written()))
