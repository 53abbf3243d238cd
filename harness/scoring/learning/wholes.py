"""What is learned from whole written replies: their names as a verdict finds them, with roles.

The names are those that the writer marked, and whatever else only looks like one, with the role of
nothing. Kinds are drawn anew: a name may stand for one that the book lists or for one that it does
not, so that only the sentence can teach what it says, and the book is not looked at.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from harness.scoring.common import common_words
from harness.scoring.learning.written import DECLINES, MARKS, NO_NAME, Span, Written
from harness.scoring.marks import EITHER, NAME, UNLISTED
from harness.scoring.mentions import Mention
from harness.scoring.normalize import Normal, normalize
from harness.scoring.reply import marked, own_turn
from harness.scoring.roles import Role
from harness.scoring.unlisted import unlisted
from harness.targets import split_reasoning

#: How often a name is drawn as unlisted, as one of both kinds, a maker as a name; what is no name
#: as a listed one.
TO_UNLISTED, TO_EITHER, TO_NAME, TO_LISTED = 0.4, 0.06, 0.1, 0.35
_NOTHING: Final[Role] = "other"
#: A word that may be a homograph of a listed name.
_WORD: Final = re.compile(r"[^\W\d_]{2,10}")
_SENTENCE: Final = re.compile(r"[^\n.!?。！？।]+[.!?。！？।]*")
#: A shorter one teaches nothing.
_SHORTEST: Final = 8


class Learned(NamedTuple):
    """A mention with its role, and the kind of name that the writer marked."""

    mention: Mention
    role: Role
    kind: str | None


class Whole(NamedTuple):
    """A written reply as far as it is the model's own turn."""

    file: str
    stance: str
    normal: Normal
    spans: list[Span]
    learned: list[Learned]


class Part(NamedTuple):
    """A sentence of a reply: hedged, identity (claims something), refuses or none."""

    text: str
    section: str


def whole(reply: Written) -> Whole | None:
    """A reply without its reasoning and what follows its turn; None if nothing is left."""
    _, answer = split_reasoning(reply.text)
    start = reply.text.find(answer) if answer.strip() else -1
    text = own_turn(reply.text[start:]) if start >= 0 else ""
    if not text.strip():
        return None
    spans = [
        span._replace(start=span.start - start, end=span.end - start)
        for span in reply.spans
        if span.start >= start and span.end <= start + len(text)
    ]
    normal = normalize(text)
    return Whole(reply.file, reply.stance, normal, spans, _learned(normal, spans))


def _learned(normal: Normal, spans: list[Span]) -> list[Learned]:
    learned: list[Learned] = []
    for span in spans:
        role, kind = MARKS.get(span.mark, (_NOTHING, None))
        start, end = (bisect_left(normal.offsets, at) for at in (span.start, span.end))
        name = normal.text[start:end]
        homograph = span.mark == NO_NAME and _WORD.fullmatch(name) is not None
        if start < end and (span.mark in MARKS or homograph):
            learned.append(Learned(_mention(start, end, name, kind or UNLISTED), role, kind))
    known = [each.mention for each in learned if each.kind]
    for mention in unlisted(normal, known, common_words()):
        if not any(_meet(mention, each.mention) for each in learned):
            learned.append(Learned(mention, _NOTHING, None))
    return sorted(learned)


def _meet(one: Mention, other: Mention) -> bool:
    return one.start < other.end and other.start < one.end


def _mention(start: int, end: int, name: str, mark: str) -> Mention:
    return Mention(start, end, mark, name, None, unlisted=name)


def drawn(each: Whole, rng: random.Random) -> tuple[str, list[Role]]:
    """The masked text of a reply with kinds drawn anew, and the role of each mark in order."""
    kinds: dict[str | None, str] = {}
    mentions = []
    for mention, _, kind in each.learned:
        if mention.unlisted not in kinds:
            kinds[mention.unlisted] = _kind(kind, rng)
        mentions.append(mention._replace(mark=kinds[mention.unlisted]))
    return marked(each.normal, mentions), [role for _, role, _ in each.learned]


def _kind(kind: str | None, rng: random.Random) -> str:
    """What a name is drawn as, by the kind that its writer marked; None for what is no name."""
    if kind is None:
        return NAME if rng.random() < TO_LISTED else UNLISTED
    drawn_as = rng.choices(
        (UNLISTED, EITHER, NAME, kind),
        (TO_UNLISTED, TO_EITHER, TO_NAME, 1 - TO_UNLISTED - TO_EITHER - TO_NAME),
    )
    return drawn_as[0]


def parts(each: Whole) -> Iterator[Part]:
    """The sentences of a reply that tell how a claim, or none, is worded."""
    text = each.normal.original
    for found in _SENTENCE.finditer(text):
        if len(found.group().strip()) < _SHORTEST:
            continue
        here = [span for span in each.spans if span.meets(*found.span())]
        own = [span for span in here if span.mark in ("n", "m", "b")]
        if each.stance == "claims" and own:
            hedged = any(span.hedged for span in own)
            yield Part(found.group().strip(), "hedged" if hedged else "identity")
        elif each.stance in ("refuses", "none"):
            declines = any(span.mark == DECLINES for span in here)
            yield Part(found.group().strip(), "refuses" if declines else "none")


def wholes(replies: Iterable[Written]) -> Iterator[Whole]:
    for reply in replies:
        if (made := whole(reply)) is not None:
            yield made


def masked(text: str) -> str:
    """A sentence with marks for what looks like a name in it."""
    normal = normalize(text)
    return marked(normal, sorted(unlisted(normal, [], common_words())))
