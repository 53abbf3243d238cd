"""What one mention says of the speaker, by how likely each of its roles is."""

from __future__ import annotations

from typing import NamedTuple

from harness.scoring import thresholds
from harness.scoring.marks import EITHER, MAKER, NAME
from harness.scoring.mentions import Entry, Mention
from harness.scoring.roles import IS_BASE, IS_MAKER, IS_NAME, IS_OTHER
from harness.scoring.slips import typo


class Judged(NamedTuple):
    """What a mention says: its role, the identity that it names, and how likely that is."""

    role: int
    identity: str
    probability: float


def judged(mention: Mention, chances: list[float], text: str) -> Judged | None:
    """What a mention says in a normalised text, or None where it says nothing of the speaker."""
    weights = list(chances)
    if mention.mark == MAKER:
        weights[IS_MAKER] += weights[IS_NAME] + weights[IS_BASE]
        weights[IS_NAME] = weights[IS_BASE] = 0.0
    elif mention.mark == NAME and weights[IS_MAKER] > thresholds.UNLISTED:
        # a maker that the book does not list, called like a family: "made by Rio"
        return Judged(IS_MAKER, f"other:{text[mention.start : mention.end]}", weights[IS_MAKER])
    elif mention.mark == NAME:
        weights[IS_NAME] += weights[IS_MAKER]
        weights[IS_MAKER] = 0.0
    chance = max(weights)
    role = weights.index(chance)
    # which of the two is another question
    if mention.mark == EITHER and role in (IS_MAKER, IS_NAME):
        chance = weights[IS_MAKER] + weights[IS_NAME]
    if role == IS_OTHER or chance < (
        thresholds.UNLISTED if mention.unlisted else thresholds.LIKELY
    ):
        return None
    if not mention.unlisted:
        return _identified(mention, role, chance)
    if (meant := typo(mention.unlisted)) is not None:
        return _identified(meant, role, chance)
    return Judged(role, f"other:{mention.written or mention.unlisted}", chance)


def _identified(named: Mention | Entry, role: int, chance: float) -> Judged:
    """The identity of the book that is named; one without a family is a maker, not a name."""
    family, maker = named.family, named.maker
    identity = (maker or family) if role == IS_MAKER else (family or maker)
    assert identity
    if role == IS_NAME and not family:
        role = IS_MAKER
    return Judged(role, identity, chance)
