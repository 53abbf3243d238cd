"""What the claims of one reply say of each other.

Corrections, retractions, names and makers that belong together.
"""

from __future__ import annotations

import re
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from harness.campaign import load_book
from harness.scoring.cues import Cue, cues
from harness.scoring.features import SENTENCE_ENDS
from harness.scoring.mentions import Mention
from harness.scoring.normalize import Normal
from harness.scoring.training import ROLES

#: The roles by number, and those that claim something.
IS_DENIED, IS_OTHER, IS_BASE, IS_MAKER, IS_NAME = range(5)
OWN: Final = (IS_BASE, IS_MAKER, IS_NAME)
assert ROLES == ("denied", "other", "self_base", "self_maker", "self_name")
#: A claim so sure helps what stands beside it.
SURE: Final = 0.9
#: A name is no more than possible under this.
NAME_LEAST: Final = 0.2
#: A second name, or maker, beside a sure one.
SECOND_NEEDS: Final = 0.9
#: A maker this near (characters) goes with the name that is taken back.
BESIDE: Final = 60
#: A maker this near (characters) behind a base that it is known to make, or behind another model,
#: or before either, belongs to it.
LINKED, FOLLOWING, POSSESSIVE = 24, 80, 4
#: Markup that strikes words out.
_STRUCK: Final = re.compile(r"~~[^~]+~~|<(s|del|strike)>(?:(?!<(?:s|del|strike)>).)*?</\1>")


class Said(NamedTuple):
    """A mention that says something of the speaker."""

    mention: Mention
    sentence: int  # its number in the batch
    role: int
    identity: str
    probability: float
    as_name: float = 0.0  # how likely it is the speaker's name


def revised(said: list[Said], mentions: list[Mention], normal: Normal) -> list[Said]:
    """The claims of a reply less those that it takes back, or that belong to others.

    Some change their role.
    """
    if len(said) > 1:
        said = _in_full(_named_like_its_maker(said))
    found = cues(normal.text)
    taken_back = [cue for cue in found if cue.kind != "namesake"]
    if len(found) > len(taken_back):
        said = said + _namesakes(said)
    if any(cue.kind != "correction" for cue in taken_back):
        said = _retracted(said, taken_back)
    if len(said) > 1:
        struck = _struck(normal.original)
        if not taken_back and not struck:
            said = _without_doubtful(said)
        said = _corrected(said, mentions, normal, taken_back, struck)
        said = _without_makers_of_others(said, mentions, normal)
    return said


def _namesakes(said: list[Said]) -> list[Said]:
    """The maker of a speaker that is called like it.

    "DeepSeek, made by the company of the same name"
    """
    if any(s.role == IS_MAKER for s in said):
        return []
    named = [s for s in said if s.role == IS_NAME and s.mention.maker]
    return [s._replace(role=IS_MAKER, identity=s.mention.maker or "") for s in named[:1]]


def _named_like_its_maker(said: list[Said]) -> list[Said]:
    """Claims in which a word for both a model and its maker is the name.

    It was taken for a maker that is surely claimed elsewhere: "DeepSeek, made by DeepSeek".
    """
    sure = [s for s in said if s.role == IS_MAKER and s.probability > SURE]
    out = []
    for s in said:
        family = s.mention.family if s.as_name > NAME_LEAST else None
        elsewhere = any(o.identity == s.identity for o in sure if o is not s)
        if s.role == IS_MAKER and family and elsewhere:
            s = s._replace(role=IS_NAME, identity=family)
        out.append(s)
    return out


def _in_full(said: list[Said]) -> list[Said]:
    """Claims in which a part of an unlisted name is the whole.

    "I'm Professor Ada, ... just call me Professor"
    """
    named = [s for s in said if s.role == IS_NAME and s.mention.unlisted]
    whole = [s.identity for s in named if " " in s.identity]
    if not whole:
        return said
    parts = {
        f"other:{word}": identity
        for identity in whole
        for word in identity.removeprefix("other:").split()
    }
    return [
        s._replace(identity=parts.get(s.identity, s.identity))
        if s.role == IS_NAME and s.mention.unlisted
        else s
        for s in said
    ]


def _without_doubtful(said: list[Said]) -> list[Said]:
    """Claims less the names, and makers, that are no more than likely.

    That is so where another sentence claims one surely: few speakers have two.
    """
    if all(s.probability > SECOND_NEEDS for s in said):
        return said
    out = []
    for s in said:
        sure = [o for o in said if o.role == s.role and o.probability > SURE]
        if (
            s.role not in (IS_NAME, IS_MAKER)
            or s.probability > SECOND_NEEDS
            or not sure
            or any(o.identity == s.identity or o.sentence == s.sentence for o in sure)
        ):
            out.append(s)
    return out


def _without_makers_of_others(
    said: list[Said], mentions: list[Mention], normal: Normal
) -> list[Said]:
    """Claims less the makers that belong to a model beside them.

    The model is a base, another one or, less surely, a denied one: "based on Llama, by Meta", "not
    Google's Gemini".
    """
    if all(s.role != IS_MAKER for s in said):
        return said
    names = {s.identity for s in said if s.role == IS_NAME}
    roles = {s.mention.start: s for s in said}
    before = {other.start: one for one, other in pairwise(mentions)}
    behind = {one.start: other for one, other in pairwise(mentions)}

    def is_of_another(maker: Said) -> bool:
        start = maker.mention.start
        return any(
            model
            and _is_another_by(maker.identity, model, names)
            and _belongs(normal.text, maker, model, roles.get(model.start))
            for model in (before.get(start), behind.get(start))
        )

    return [s for s in said if s.role != IS_MAKER or not is_of_another(s)]


def _is_another_by(maker: str, model: Mention, names: set[str]) -> bool:
    """True if a model of the book is made by the maker, and none of the speaker's names."""
    if not model.family or model.family in names:
        return False
    return maker in load_book().families[model.family].makers


def _belongs(text: str, maker: Said, model: Mention, said: Said | None) -> bool:
    """True if a maker is told of a model beside it, which is none of the speaker's names.

    It stands right before it, or follows in the sentence.
    """
    if said and said.role == IS_DENIED and maker.probability >= SURE:
        return False
    if maker.mention.end <= model.start:
        gap = text[maker.mention.end : model.start]
        return len(gap) <= POSSESSIVE and "(" not in gap
    gap = text[model.end : maker.mention.start]
    nearest = LINKED if said else FOLLOWING
    return len(gap) <= nearest and not any(end in gap for end in SENTENCE_ENDS)


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
