"""What a reply takes back of what it said: claims that a correction follows become denials."""

from __future__ import annotations

from typing import Final, NamedTuple

from harness.scoring.lists import phrases
from harness.scoring.mentions import Mention
from harness.scoring.phrases import ALPHABETS_END, Phrases
from harness.scoring.roles import IS_DENIED, IS_MAKER, IS_NAME

_CORRECTIONS: Final[Phrases[str]] = Phrases({"correction": phrases("corrections")})


class Said(NamedTuple):
    """A mention that says something of the speaker."""

    mention: Mention
    sentence: int  # its number in the batch
    role: int
    identity: str
    probability: float


def revised(said: list[Said], text: str) -> list[Said]:
    """The claims of a reply less those that it takes back, which become denials.

    Taken back is a claim that a word of correction and then another claim follow, and a name that
    is denied later on.
    """
    if len(said) < 2:
        return said
    marks = _corrections(text)
    if not marks and all(each.role != IS_DENIED for each in said):
        return said
    return [
        each._replace(role=IS_DENIED) if _taken_back(each, said, marks) else each for each in said
    ]


def _corrections(text: str) -> list[int]:
    """Where the words of correction in normalised text end."""
    return [end for _, start, end in _CORRECTIONS.find(text) if not _goes_on(text, start, end)]


def _goes_on(text: str, start: int, end: int) -> bool:
    """True if the last word of a phrase in an alphabet has more letters than the phrase."""
    letters = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return letters and text[start] < ALPHABETS_END


def _taken_back(claim: Said, said: list[Said], marks: list[int]) -> bool:
    """True if a correction and then another claim follow, or the denial of a name."""
    if claim.role not in (IS_NAME, IS_MAKER):
        return False
    later = [other for other in said if other.mention.start > claim.mention.end]
    if any(o.identity == claim.identity and o.role == claim.role for o in later):
        return False
    if any(o.identity == claim.identity and o.role == IS_DENIED for o in later):
        return claim.role == IS_NAME
    after = min((mark for mark in marks if mark >= claim.mention.end), default=None)
    if after is None:
        return False
    following = [other.role for other in later if other.mention.start >= after - 1]
    return IS_NAME in following or (claim.role == IS_MAKER and IS_MAKER in following)
