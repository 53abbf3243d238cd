"""From roles of mentions to the verdict on one reply. Name, maker and base are three facts and stay three."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from harness.scoring.classifier import RoleOf, classifier, window
from harness.scoring.mentions import Mention, finder
from harness.scoring.normalize import Normal, normalize

Stance = Literal["claims", "denies", "refuses", "none"]
WEAK_NEEDS: Final = 0.6
MAX_MENTIONS: Final = 200
BATCH: Final = 2000

#: "I am an AI assistant", "I cannot say": a reply that speaks of itself and gives no identity.
_REFUSES: Final = re.compile(
    r"\b(an?|um|uma|un|une|ein|eine) [^.!?]{0,24}(assistant|assistente|asistente|assistent|language model|modelo de linguagem|modelo de lenguaje|modèle de langage|sprachmodell|computer program|artificial intelligence)"
    r"|\bi (can(no|')t|don't|do not|am not able to) (say|tell|reveal|share|disclose|know|have a name)"
    r"|(一个|个)[^。！？]{0,10}(助手|语言模型|人工智能)|不能透露|无法告诉|アシスタントです|言語モデルです|языковая модель|ассистент|não posso (dizer|revelar)|no puedo (decir|revelar)|je ne peux pas (dire|révéler)|kann ich nicht (sagen|verraten)"
)


@dataclass(frozen=True)
class Evidence:
    """A span of the original text (end exclusive) that supports a part of the verdict."""

    role: str
    identity: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class Verdict:
    """What a reply says of its speaker; identities are ids of the book."""

    stance: Stance
    names: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def verdicts(texts: Iterable[str | None]) -> Iterator[Verdict]:
    """Verdicts in the order of ``texts``, in batches; None and blank texts say nothing."""
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        normals = [normalize(text or "") for text in batch]
        found = [finder().find(normal)[:MAX_MENTIONS] for normal in normals]
        windows = [_window(normal, mentions, m) for normal, mentions in zip(normals, found, strict=True) for m in mentions]
        roles = iter(classifier().roles(windows))
        for normal, mentions in zip(normals, found, strict=True):
            yield _combine(normal, [(mention, next(roles)) for mention in mentions])


def verdict(text: str | None) -> Verdict:
    return next(verdicts([text]))


def _window(normal: Normal, mentions: list[Mention], mention: Mention) -> str:
    others = [(m.start, m.end) for m in mentions if m is not mention]
    return window(normal.text, mention.start, mention.end, _kind(mention, normal), others)


def _kind(mention: Mention, normal: Normal) -> str:
    """Words that name a family and a maker alike (DeepSeek, Mistral) are a maker after "by" and its sisters."""
    if mention.entry.either and re.search(r"(\bby|\bfrom|\bat|\bby the company|por|pela|por la|par|von|от|компанией|由|来自|by)\s*$", normal.text[max(0, mention.start - 24) : mention.start]):
        return "maker"
    return mention.entry.kind


def _combine(normal: Normal, judged: list[tuple[Mention, RoleOf]]) -> Verdict:
    parts: dict[str, list[str]] = {"self_name": [], "self_maker": [], "self_base": [], "denied": []}
    evidence = []
    for mention, role in judged:
        if role.role == "other" or (mention.entry.weak and role.probability < WEAK_NEEDS):
            continue
        kind, identity = _kind(mention, normal), mention.entry.identity
        if kind == "maker" and mention.entry.either:
            identity = mention.entry.either
        said = "self_maker" if role.role == "self_name" and kind == "maker" else "self_name" if role.role == "self_maker" and kind == "name" else role.role
        if identity not in parts[said]:
            parts[said].append(identity)
        start, end = normal.span(mention.start, mention.end)
        evidence.append(Evidence(said, identity, start, end, round(role.probability, 4)))
    denied = [i for i in parts["denied"] if i not in parts["self_name"] and i not in parts["self_maker"]]
    stance: Stance = "claims" if parts["self_name"] or parts["self_maker"] or parts["self_base"] else "denies" if denied else "refuses" if _REFUSES.search(normal.text) else "none"
    return Verdict(stance, tuple(parts["self_name"]), tuple(parts["self_maker"]), tuple(parts["self_base"]), tuple(denied), tuple(evidence))
