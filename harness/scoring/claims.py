"""What a reply takes back of what it said: corrections, retractions, jokes, words struck out."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import Final, NamedTuple

from harness.scoring.cues import Cue, cues
from harness.scoring.mentions import Mention
from harness.scoring.normalize import Normal
from harness.scoring.roles import IS_DENIED, IS_MAKER, IS_NAME, OWN

#: A maker this near (characters) goes with the name that is taken back.
BESIDE: Final = 60
#: Markup that strikes words out.
_STRUCK: Final = re.compile(r"~~[^~]+~~|<(s|del|strike)>(?:(?!<(?:s|del|strike)>).)*?</\1>")


class Said(NamedTuple):
    """A mention that says something of the speaker."""

    mention: Mention
    sentence: int  # its number in the batch
    role: int
    identity: str
    probability: float


def revised(said: list[Said], mentions: list[Mention], normal: Normal) -> list[Said]:
    """The claims of a reply less those that it takes back; some become denials."""
    found = cues(normal.text)
    taken_back = [cue for cue in found if cue.kind != "namesake"]
    if len(found) > len(taken_back):
        said = said + _namesakes(said)
    if any(cue.kind != "correction" for cue in taken_back):
        said = _retracted(said, taken_back)
    if len(said) > 1:
        said = _corrected(said, mentions, normal, taken_back, _struck(normal.original))
    return said


def _namesakes(said: list[Said]) -> list[Said]:
    """The maker of a speaker that is called like it.

    "DeepSeek, made by the company of the same name"
    """
    if any(s.role == IS_MAKER for s in said):
        return []
    named = [s for s in said if s.role == IS_NAME and s.mention.maker]
    return [s._replace(role=IS_MAKER, identity=s.mention.maker or "") for s in named[:1]]


def _retracted(said: list[Said], taken_back: list[Cue]) -> list[Said]:
    """Claims that a retraction ends are gone, those that turn out a joke denied.

    Both only if no claim follows.
    """
    ends = [cue for cue in taken_back if cue.kind != "correction"]
    kind, last, _ = max(ends, key=attrgetter("start"))
    if any(s.mention.start > last and s.role in OWN for s in said):
        return said
    if kind == "joke":
        return [s._replace(role=IS_DENIED) if s.role in OWN else s for s in said]
    return [s for s in said if s.mention.start > last]


def _struck(original: str) -> list[tuple[int, int]]:
    """Spans of the original that its markup strikes out."""
    if "~~" not in original and "</" not in original:
        return []
    return [m.span() for m in _STRUCK.finditer(original)]


def _corrected(
    said: list[Said],
    mentions: list[Mention],
    normal: Normal,
    taken_back: list[Cue],
    struck: list[tuple[int, int]],
) -> list[Said]:
    """Claims that the reply itself takes back further on become denials.

    Taken back is a claim that a word of correction and then another claim follow, or whose identity
    is denied later on; a maker goes with the name beside it where another maker is claimed later.
    """
    marks = [cue.end for cue in taken_back if cue.kind == "correction"]
    denied = {s.mention.start for s in said if s.role == IS_DENIED}
    if not (marks or denied or struck):
        return said
    out: list[Said] = []
    overturned: list[int] = []
    for s in said:
        later = [o for o in said if o.mention.start > s.mention.end]
        if s.role in (IS_NAME, IS_MAKER) and not _said_again(s.mention, mentions, denied):
            place = normal.offsets[s.mention.start]
            if (
                _taken_back(s, later, marks)
                or _goes_with(s, later, overturned)
                or any(start <= place < end for start, end in struck)
            ):
                overturned.append(s.mention.start)
                s = s._replace(role=IS_DENIED)
        elif s.role == IS_DENIED and s.mention.family and any(o.role == IS_NAME for o in later):
            overturned.append(s.mention.start)
        out.append(s)
    return out


def _said_again(mention: Mention, mentions: list[Mention], denied: set[int]) -> bool:
    """True if what is mentioned is mentioned further on, and not denied there."""
    identity = (mention.family, mention.maker)
    if identity == (None, None):
        return False
    return any(
        m.start > mention.end and (m.family, m.maker) == identity and m.start not in denied
        for m in mentions
    )


def _taken_back(claim: Said, later: list[Said], marks: list[int]) -> bool:
    """True if a correction and then another claim follow, or the denial of a name."""
    after = min((mark for mark in marks if mark >= claim.mention.end), default=None)
    if after is not None:
        following = [o.role for o in later if o.mention.start >= after - 1]
        if IS_NAME in following or (claim.role == IS_MAKER and IS_MAKER in following):
            return True
    return claim.role == IS_NAME and any(
        o.role == IS_DENIED and o.identity == claim.identity for o in later
    )


def _goes_with(claim: Said, later: list[Said], overturned: list[int]) -> bool:
    """True if a maker stands beside a name that is taken back, and another maker is claimed."""
    return (
        claim.role == IS_MAKER
        and any(o.role == IS_MAKER for o in later)
        and any(abs(claim.mention.start - place) < BESIDE for place in overturned)
    )
