"""What one mention says of the speaker, by how likely each of its roles is."""

from __future__ import annotations

from typing import NamedTuple

from harness.scoring import thresholds
from harness.scoring.features import EITHER, MAKER, NAME
from harness.scoring.mentions import Entry, Mention
from harness.scoring.roles import IS_BASE, IS_MAKER, IS_NAME, IS_OTHER
from harness.scoring.slips import begins_an_alias, cut_short, typo


class Judged(NamedTuple):
    """What a mention says: its role, the identity that it names, and how likely that is."""

    role: int
    identity: str
    probability: float


def judged(
    mention: Mention,
    chances: list[float],
    text: str,
    makers: frozenset[str],
    expected: frozenset[str],
) -> Judged | None:
    """What a mention says in a normalised text, or None where it says nothing of the speaker.

    ``makers`` are named beside it, and ``expected`` make a family that is: a name that no book
    lists may be one of theirs misspelt.
    """
    weights = list(chances)
    if mention.mark == MAKER:
        weights[IS_MAKER] += weights[IS_NAME] + weights[IS_BASE]
        weights[IS_NAME] = weights[IS_BASE] = 0.0
    elif mention.mark == NAME and weights[IS_MAKER] > thresholds.MAKER_BY_NAME:
        return _maker_by_name(mention, weights[IS_MAKER], text)
    elif mention.mark == NAME:
        weights[IS_NAME] += weights[IS_MAKER] if weights[IS_NAME] > thresholds.NAME_LEAST else 0.0
        weights[IS_MAKER] = 0.0
    chance = max(weights)
    role = weights.index(chance)
    # which of the two is another question
    if mention.mark == EITHER and role in (IS_MAKER, IS_NAME):
        chance = weights[IS_MAKER] + weights[IS_NAME]
    needs = thresholds.UNLISTED if mention.unlisted else thresholds.LISTED
    if role == IS_OTHER or chance < needs:
        return None
    if mention.unlisted is None:
        return _identified(mention, role, chance)
    return _unlisted(mention, mention.unlisted, Judged(role, "", chance), text, makers, expected)


def _maker_by_name(mention: Mention, chance: float, text: str) -> Judged | None:
    """A maker that the book does not list, called like a family: "made by Rio"."""
    # "made by Nex-"
    if text[mention.end :] == "-" and begins_an_alias(text[mention.start :]):
        return None
    return Judged(IS_MAKER, f"other:{text[mention.start : mention.end]}", chance)


def _unlisted(
    mention: Mention,
    name: str,
    found: Judged,
    text: str,
    makers: frozenset[str],
    expected: frozenset[str],
) -> Judged | None:
    """What a name says that the book does not list; it may be one of the book misspelt, or cut."""
    if found.role == IS_BASE:
        return None
    cut = mention.end == len(text)
    close = typo(name, makers=makers, expected=expected)
    if cut and not close:
        close = cut_short(name)
    # too little to tell
    if cut and (not close or found.probability < thresholds.CUT) and begins_an_alias(name):
        return None
    if close:
        return _identified(close, found.role, found.probability)
    return found._replace(identity=f"other:{mention.written or name}")


def _identified(named: Mention | Entry, role: int, chance: float) -> Judged:
    """The identity of the book that is named; one without a family is a maker, not a name."""
    family, maker = named.family, named.maker
    identity = (maker or family) if role == IS_MAKER else (family or maker)
    assert identity
    if role == IS_NAME and not family:
        role = IS_MAKER
    return Judged(role, identity, chance)
