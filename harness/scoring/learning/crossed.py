"""What the first look says of written replies whose writers it has not learned from.

The files of replies, each by one writer, are dealt into folds; the replies of a fold are looked at
by models that were fitted without it. The second look learns from that, and what decides is chosen
by it: what models say of replies that they know would flatter.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.scoring.buckets import Bools
from harness.scoring.classifier import Floats, Looks
from harness.scoring.learning.wholes import Whole
from harness.scoring.learning.written import MARKS, Span, files
from harness.scoring.mentions import Mention
from harness.scoring.reply import Reply
from harness.scoring.roles import ROLES
from harness.scoring.scorer import declined, first_look, prepared
from harness.scoring.second import Sight, described
from harness.scoring.vocabulary import Ints

FOLDS: Final = 5
_TOGETHER: Final = 400
_OTHER: Final = ROLES.index("other")


class Crossed(NamedTuple):
    """What was seen of one written reply, and what its writer marked."""

    mentions: list[Mention]
    chances: Floats  # (mentions, roles), at first sight
    table: Floats | None  # (mentions, columns) for the second look; none without mentions
    roles: Ints  # (mentions,): as the writer marked them
    declining: Floats | None  # (columns,); none where no sentence could decline
    stance: str
    fold: int


def folds() -> dict[str, int]:
    """The fold of each file of written replies."""
    names = [path.stem for path in files()]
    random.Random(7).shuffle(names)
    return {name: at % FOLDS for at, name in enumerate(names)}


def of_mentions(seen: Iterable[Crossed]) -> tuple[list[Floats], list[Floats], list[Ints]]:
    """Tables for the second look, chances at first sight and roles, of replies with mentions."""
    named = [(each.table, each.chances, each.roles) for each in seen if each.table is not None]
    tables, chances, roles = zip(*named, strict=True)
    return list(tables), list(chances), list(roles)


def of_declining(seen: Iterable[Crossed]) -> tuple[Floats, Bools]:
    """What tells whether replies decline, a row each, and whether they do."""
    said = [
        (each.declining, each.stance == "refuses") for each in seen if each.declining is not None
    ]
    columns, refuses = zip(*said, strict=True)
    return np.stack(columns), np.array(refuses)


def looked_at(replies: Sequence[Whole], looks: Looks, fold: int) -> Iterator[Crossed]:
    """What the models of a fold see of its replies."""
    for at in range(0, len(replies), _TOGETHER):
        some = replies[at : at + _TOGETHER]
        found, tokens = prepared([each.normal.original for each in some])
        sights = first_look(found, tokens, looks.roles)
        chances = [sight.chances for sight in sights]
        every: Bools = np.ones(len(found), dtype=bool)
        columns = dict(declined(found, tokens, chances, looks.refuses, every))
        for number, (whole, reply, sight) in enumerate(zip(some, found, sights, strict=True)):
            yield Crossed(
                reply.mentions,
                sight.chances,
                described(reply.mentions, sight) if reply.mentions else None,
                _roles(reply, whole.spans),
                columns.get(number),
                whole.stance,
                fold,
            )


def _roles(reply: Reply, spans: Sequence[Span]) -> npt.NDArray[np.int64]:
    """The role that the writer gave to each mention that a verdict finds."""
    roles = []
    for mention in reply.mentions:
        place = reply.normal.span(mention.start, mention.end)
        marks = [span.mark for span in spans if span.mark in MARKS and span.meets(*place)]
        roles.append(ROLES.index(MARKS[marks[-1]][0]) if marks else _OTHER)
    return np.array(roles, dtype=np.int64)


def shape(whole: Whole) -> Floats:
    """The table of a reply of which nothing is known: it tells what columns there are."""
    mentions = [each.mention for each in whole.learned]
    count = len(mentions)
    even = np.full((count, len(ROLES)), 1 / len(ROLES), dtype=np.float32)
    none, numbers = np.zeros(count, dtype=bool), np.arange(count)
    return described(mentions, Sight(even, none, none, numbers // 2, count)) if count else even
