"""Words by which a speaker takes back what it said: corrections, retractions, jokes owned up to.

A correction puts something else in the place of what was said, a retraction nothing; a joke turns
what was claimed into a denial; a namesake is a maker called as its model is.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from harness.scoring.lists import phrases
from harness.scoring.phrases import ALPHABETS_END, Phrases

Kind = Literal["correction", "retraction", "joke", "namesake"]
KINDS: Final[tuple[Kind, ...]] = ("correction", "retraction", "joke", "namesake")
_PHRASES: Final[Phrases[Kind]] = Phrases({kind: phrases("takes_back", kind) for kind in KINDS})


class Cue(NamedTuple):
    """A phrase found at ``start:end`` of the normalised text."""

    kind: Kind
    start: int
    end: int


def cues(text: str) -> list[Cue]:
    """The cues in normalised text, in order of their ends; they can overlap."""
    return [
        Cue(kind, start, end)
        for kind, start, end in _PHRASES.find(text)
        if kind != "correction" or not _goes_on(text, start, end)
    ]


def _goes_on(text: str, start: int, end: int) -> bool:
    """True if the last word of a phrase in an alphabet has more letters than the phrase."""
    letters = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return letters and text[start] < ALPHABETS_END
