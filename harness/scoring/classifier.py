"""The role of each mention: is it the speaker's own name, its maker, its base, denied, or something else?

A logistic regression over character and word n-grams of a short window around the mention (scikit-learn). It is
fitted at first use from the sentences in `training/` (about a second), never unpickled. Every draw of names is
seeded, so the fit is the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import yaml

Role = Literal["self_name", "self_maker", "self_base", "denied", "other"]
ROLES: Final[tuple[Role, ...]] = ("denied", "other", "self_base", "self_maker", "self_name")
TRAINING: Final = Path(__file__).with_name("training")
LEFT, RIGHT = 48, 24
FILLINGS: Final = 3
MARK_NAME, MARK_MAKER, OTHER_NAME = " \ue000n ", " \ue000m ", " \ue001 "
_ENDS = ".!?。！？\n;；"


class RoleOf(NamedTuple):
    """The likeliest role of a mention, with its probability."""

    role: Role
    probability: float


def window(text: str, start: int, end: int, kind: str, others: Sequence[tuple[int, int]]) -> str:
    """The context that the classifier sees: this mention and the others replaced by marks, one sentence around it."""
    left = text[max(0, start - LEFT) : start]
    right = text[end : end + RIGHT]
    for other_start, other_end in sorted(others, reverse=True):
        if start - LEFT <= other_start and other_end <= start:
            at = other_start - max(0, start - LEFT)
            left = left[:at] + OTHER_NAME + left[at + other_end - other_start :]
        elif end <= other_start and other_end <= end + RIGHT:
            right = right[: other_start - end] + OTHER_NAME + right[other_end - end :]
    left = left[max(left.rfind(mark) for mark in _ENDS) + 1 :]
    stops = [p for p in (right.find(mark) for mark in _ENDS) if p >= 0]
    right = right[: min(stops) + 1] if stops else right
    return f"^{left}{MARK_NAME if kind == 'name' else MARK_MAKER}{right}$"


def _training_rows() -> Iterator[tuple[str, Role]]:
    """Windows and roles from the written sentences, each filled with a few names."""
    rng = random.Random(7)
    names = ["zorbly", "qwen", "claude", "nex", "rio", "gpt-4", "kimi", "tavira", "通义千问", "velkora-2"]
    makers = ["acme ai", "openai", "nex-agi", "阿里云", "google", "lumenfold", "polarwind labs"]
    for path in sorted(TRAINING.glob("*.yaml")):
        for role, sentences in yaml.safe_load(path.read_text("utf-8")).items():
            for sentence in sentences:
                for _ in range(FILLINGS):
                    filled, spans = _fill(sentence.lower(), rng.choice(names), rng.choice(makers))
                    for kind, start, end in spans:
                        if role == "self_both":
                            said: Role = "self_name" if kind == "name" else "self_maker"
                        elif (role, kind) in (("self_name", "maker"), ("self_maker", "name"), ("self_base", "maker")):
                            continue
                        else:
                            said = role
                        yield window(filled, start, end, kind, [(s, e) for _, s, e in spans if s != start]), said


def _fill(sentence: str, name: str, maker: str) -> tuple[str, list[tuple[str, int, int]]]:
    text = ""
    spans: list[tuple[str, int, int]] = []
    while sentence:
        places = [(p, kind, word) for slot, kind, word in (("{n}", "name", name), ("{m}", "maker", maker)) if (p := sentence.find(slot)) >= 0]
        if not places:
            return text + sentence, spans
        at, kind, word = min(places)
        text += sentence[:at]
        spans.append((kind, len(text), len(text) + len(word)))
        text, sentence = text + word, sentence[at + 3 :]
    return text, spans


class RoleClassifier:
    """Decides roles for many windows at once."""

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline, make_union

        rows = list(_training_rows())
        features = make_union(
            HashingVectorizer(analyzer="char", ngram_range=(1, 4), n_features=2**16, lowercase=False),
            HashingVectorizer(analyzer="word", token_pattern=r"[^\s,;:]+", ngram_range=(1, 3), n_features=2**15, lowercase=False),  # noqa: S106
        )
        self.model: Any = make_pipeline(features, LogisticRegression(C=20, max_iter=400, class_weight="balanced"))
        self.model.fit([text for text, _ in rows], [role for _, role in rows])

    def roles(self, windows: Sequence[str]) -> list[RoleOf]:
        if not windows:
            return []
        classes = list(self.model.classes_)
        return [RoleOf(classes[int(p.argmax())], float(p.max())) for p in self.model.predict_proba(list(windows))]


@lru_cache(maxsize=1)
def classifier() -> RoleClassifier:
    return RoleClassifier()
