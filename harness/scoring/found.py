"""What is found in a text: the verdict, and the spans that support it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Stance = Literal["claims", "denies", "refuses", "none"]


class Evidence(NamedTuple):
    """A span of the original text (end exclusive) that supports a part of the verdict."""

    role: str
    identity: str
    start: int
    end: int
    probability: float


class Verdict(NamedTuple):
    """What a reply says of its speaker.

    Identities are ids of the book, or ``other:<name in lower case>``. ``abstain`` is set where the
    strongest evidence is weak; ``version`` is the text that names a version.
    """

    stance: Stance
    names: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    hedged: bool = False
    abstain: bool = False
    version: str | None = None
    evidence: tuple[Evidence, ...] = ()
