"""The second look: what the mentions of a reply, taken together, say of the role of each.

The first look sees the words around one mention. The second sees how likely each role seemed at
first sight: of the mention itself, of the same name elsewhere, of other names, of those that the
book says belong to the same maker, and of the neighbours in the sentence. It has learned from what
the first look says of replies that it has not learned from (stacked generalisation: Wolpert 1992,
doi:10.1016/S0893-6080(05)80023-1). A third set of trees says in the same manner whether a reply as
a whole declines to say who speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.campaign import load_book
from harness.scoring.buckets import Bools
from harness.scoring.classifier import Floats
from harness.scoring.marks import EITHER, MAKER, NAME, UNLISTED
from harness.scoring.mentions import Mention
from harness.scoring.roles import IS_DENIED, OWN
from harness.scoring.thresholds import SECOND_LOOK
from harness.scoring.vocabulary import Ints

_KINDS: Final = (NAME, MAKER, EITHER, UNLISTED)
#: What stands where there is no neighbour.
_NONE: Final = -0.1
#: A neighbour so near (characters) is joined by a comma, a bracket or a short word.
_NEAR: Final = 4
#: Probabilities are cut off so far from 0 and 1.
_LEAST: Final = 1e-4


class Sight(NamedTuple):
    """What the first look saw of the mentions of a reply."""

    chances: Floats  # (mentions, roles)
    nobody: Bools  # no word for the speaker is near
    field: Bools  # behind the sign of a field in a table or form
    sentence: Ints  # number of the sentence in the batch
    length: int  # tokens of the reply


def described(mentions: Sequence[Mention], seen: Sight) -> Floats:
    """The columns that the second look judges by: shape (mentions, columns)."""
    chances, count = seen.chances, len(mentions)
    identities = _numbers([_identity(m) for m in mentions])
    same = identities[:, None] == identities[None, :]
    others = ~same
    makers = _makers(mentions)
    related = ((makers @ makers.T) > 0) & others
    np.fill_diagonal(same, val=False)
    families = len({m.family for m in mentions if m.family})
    row = (np.log(max(1, seen.length)), np.log1p(count), families, identities.max(initial=0) + 1)
    kinds = [[m.mark == kind for kind in _KINDS] for m in mentions]
    flags = [[m.weak, m.cased] for m in mentions]
    before, behind = _neighbours(mentions, seen)
    return np.concatenate(
        [
            chances,
            np.array(kinds, dtype=np.float32),
            np.array(flags, dtype=np.float32),
            np.stack((seen.nobody, seen.field), axis=1),
            np.broadcast_to(np.array(row, dtype=np.float32), (count, len(row))),
            same.sum(axis=1)[:, None],
            *(_highest(chances, which) for which in (same, others, related)),
            before,
            behind,
        ],
        axis=1,
        dtype=np.float32,
    )


def _identity(mention: Mention) -> str:
    if mention.unlisted:
        return f"other:{mention.unlisted}"
    return mention.family or mention.maker or ""


def _numbers(identities: Sequence[str]) -> Ints:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(each, len(numbers)) for each in identities], dtype=np.int64)


def _makers(mentions: Sequence[Mention]) -> npt.NDArray[np.float32]:
    """Which makers of the book each mention has to do with: shape (mentions, makers)."""
    book = load_book()
    every = [
        book.makers_of(m.family) if m.family else [m.maker] if m.maker else [] for m in mentions
    ]
    numbers = {maker: n for n, maker in enumerate(sorted({x for some in every for x in some}))}
    table = np.zeros((len(mentions), max(1, len(numbers))), dtype=np.float32)
    for row, some in enumerate(every):
        table[row, [numbers[maker] for maker in some]] = 1
    return table


def _highest(chances: Floats, which: Bools) -> Floats:
    """The highest chance of each role among some mentions; 0 where there are none."""
    return np.asarray(np.where(which[:, :, None], chances[None], np.float32(0)).max(axis=1))


def _neighbours(mentions: Sequence[Mention], seen: Sight) -> tuple[Floats, Floats]:
    """The chances of the mention before, and behind, in one sentence, and whether it is near."""
    count, roles = seen.chances.shape
    before = np.full((count, roles + 1), _NONE, dtype=np.float32)
    behind = before.copy()
    before[:, roles] = behind[:, roles] = 0
    for at in range(1, count):
        if seen.sentence[at] == seen.sentence[at - 1]:
            near = mentions[at].start - mentions[at - 1].end <= _NEAR
            before[at, :roles], before[at, roles] = seen.chances[at - 1], near
            behind[at - 1, :roles], behind[at - 1, roles] = seen.chances[at], near
    return before, behind


def blended(first: Floats, second: Floats, weight: float = SECOND_LOOK) -> Floats:
    """Both looks together: a geometric mean, so that neither is overruled lightly."""
    least = 1e-6
    mixed = (second + least) ** weight * (first + least) ** (1 - weight)
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True), dtype=np.float32)


def declining(sentences: Floats, chances: Floats, length: int) -> Floats:
    """The columns that tell whether a reply declines: shape (columns,).

    Of the chance of each of its sentences, the chances of its mentions, and its tokens.
    """
    said = sentences if len(sentences) else np.zeros(1, dtype=np.float32)
    highest = np.sort(said)[::-1]
    second = _odds(highest[1]) if len(said) > 1 else -9.0
    own = chances[:, OWN].max() if len(chances) else 0.0
    denied = chances[:, IS_DENIED].max() if len(chances) else 0.0
    likely = said > 0.5
    return np.array(
        [
            _odds(highest[0]), second, np.log(max(1, length)), len(said), likely.mean(),
            likely.sum(), _odds(said[0]), said.argmax(), _odds(own), _odds(denied), len(chances),
            _odds(said.mean()),
        ],
        dtype=np.float32,
    )  # fmt: skip


def _odds(chance: float) -> float:
    cut = min(max(float(chance), _LEAST), 1 - _LEAST)
    return float(np.log(cut / (1 - cut)))
