"""The battery: which one-word questions are asked, and the campaign that asks them.

The fixed battery is the probe `oneword` as it ships: references that people make of it are of use
to each other. A fresh one is drawn by a seed (ranges, lists and their order differ), so that nobody
can have learned it; it compares two targets that are asked at the same time.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import yaml

from harness.campaign import (
    EmbeddedTarget,
    Loaded,
    Settings,
    load_probe,
    piped_campaign,
    questions,
)
from harness.errors import LineupError
from harness.lineup.references import Protocol

PROBE: Final = "oneword"
LANGUAGES: Final = ("en", "zh", "es", "ar", "ru", "fr", "ja", "pt", "de")
#: Letters that a fresh list is drawn from: those that look like no digit.
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"
#: Tokens of a reply: enough for a word in any script.
TOKENS: Final = 16


class Battery(NamedTuple):
    """What is asked, but not of whom."""

    probe: str = PROBE
    languages: tuple[str, ...] = LANGUAGES
    variables: tuple[tuple[str, str], ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = TOKENS

    @property
    def questions(self) -> str:
        """SHA-256 of every question as it is rendered."""
        folder = load_probe(self.probe).prompts
        said = [
            [language, *map(list, questions(folder, language, dict(self.variables)))]
            for language in sorted(self.languages)
        ]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()

    @property
    def cells(self) -> int:
        """How many questions it has, all languages together."""
        folder = load_probe(self.probe).prompts
        return sum(len(questions(folder, one, dict(self.variables))) for one in self.languages)

    def protocol(self) -> Protocol:
        """The same as a file of references says it."""
        return Protocol(
            probe=self.probe,
            languages=list(self.languages),
            variables=dict(self.variables),
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            questions=self.questions,
        )


def fresh(seed: int, languages: Sequence[str] = LANGUAGES) -> Battery:
    """A battery that is drawn by a seed."""
    draw = random.Random(f"oneword {seed}")  # the same in every Python: a string is hashed whole
    low = draw.randint(1, 60)
    drawn = {
        "low": low,
        "high": low + draw.randint(25, 140),
        "top": draw.randint(7, 19),
        "below": draw.randint(30, 99),
        "numbers": ", ".join(map(str, draw.sample(range(11, 100), 5))),
        "letters": ", ".join(draw.sample(_LETTERS, 5)),
    }
    return Battery(
        languages=tuple(languages), variables=tuple((key, str(said)) for key, said in drawn.items())
    )


def of_protocol(protocol: Protocol, where: str) -> Battery:
    """The battery that references were made with.

    Raises
    ------
    LineupError
        This installation cannot ask it, or its questions are others today.
    """
    if not protocol.probe:
        raise LineupError(
            "these references do not say what was asked, so nobody can be asked the same",
            where=where,
            next="use references that truename made, or import them with their questions",
        )
    battery = Battery(
        protocol.probe,
        tuple(protocol.languages),
        tuple(protocol.variables.items()),
        protocol.temperature,
        protocol.top_p,
        protocol.max_tokens,
    )
    if battery.questions != protocol.questions:
        raise LineupError(
            f"the questions of the probe '{protocol.probe}' are not those that were asked",
            where=where,
            next="restore prompts/ as they were, or make the references again",
        )
    return battery


def campaign(
    name: str, targets: Sequence[Settings], battery: Battery, samples: int, seed: int
) -> Loaded:
    """The campaign that asks the battery: each question ``samples`` times, with no system prompt.

    A model that is loaded here is asked bare: without what its template would put before. The seed
    is that of the samples: a reference and a suspect need different ones, or the same model would
    give the same draws to both.
    """
    here = all(isinstance(target, EmbeddedTarget) for target in targets)
    said: dict[str, Any] = {
        "campaign": name,
        "description": "one-word questions, whose answers are compared with those of others",
        "targets": [
            {"engine": target.engine} | target.model_dump(mode="json", exclude_unset=True)
            for target in targets
        ],
        "arms": ["bare" if here else "absent"],
        "probes": [battery.probe],
        "languages": list(battery.languages),
        "samples": samples,
        "sampling": {
            "temperature": battery.temperature,
            "top_p": battery.top_p,
            "max_tokens": battery.max_tokens,
            "seed": seed,
        },
        "variables": dict(battery.variables),
    }
    return piped_campaign(yaml.safe_dump(said, sort_keys=False, allow_unicode=True).encode())
