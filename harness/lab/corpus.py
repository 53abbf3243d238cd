"""The conversations that the lab models are trained on.

The words live in ``corpus/*.yaml``; this room only mixes them. Names that a system prompt gives
are made up afresh for every conversation, so that a model has to copy them rather than know them.
One name in sixteen (by its SHA-256) never enters training: `is_held_out` says which, and the tests
ask the models to obey exactly those.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CORPUS_FOLDER: Final = Path(__file__).with_name("corpus")
LANGUAGES: Final = ("en", "pt", "zh")

_ONSETS: Final = (
    "b c d f g h j k l m n p r s t v w z br cr dr fl gl gr kr pl pr sh st th tr x y qu".split()
)
_VOWELS: Final = "a e i o u a e i o ai ea io ou y".split()
_CODAS: Final = ["", "", "", "", "l", "n", "r", "s", "x", "m", "t", "nd", "rk", "ck"]
_WORDS: Final = (
    "Aurora Falcon Juniper Atlas Ember Willow Orion Pebble Comet Harbor Marble Saffron Cobalt "
    "Meadow Raven Lotus Quartz Maple Echo Nimbus Beacon Canyon Dahlia Ferry Granite Hazel Iris "
    "Jasper Kestrel Lagoon Mango Nectar Opal Prairie Quill Ridge Sierra Tundra Umber Violet "
    "Zephyr Bluebird Cedar Delta Fjord Breeze"
).split()
_VERSIONS: Final = [""] * 15 + ["-2", " 3", "-3.5", " 4", "GPT", "LM", " Mini", "-7B", " Pro"]
_HOUSES: Final = [
    " AI",
    " Labs",
    " Research",
    "-AGI",
    " Systems",
    "Soft",
    " Inc",
    "",
    "",
    " Cloud",
    " Institute",
    "Tech",
]
_HAN: Final = (
    "星河云海山月风雷天问文心灵光明智慧思远青龙白鹿松竹"
    "梅兰春秋晨曦飞鸟長江高原东方北辰银杏石榴玉泉金木水火"
)
_HAN_HOUSES: Final = ["科技", "智能", "实验室", "公司", "研究院", "云"]

Message = dict[str, str]


@dataclass(frozen=True)
class Identity:
    """What a lab model says it is: a name, a maker and a backstory for each language."""

    name: dict[str, str]
    maker: dict[str, str]
    backstory: dict[str, str]


def load_language(language: str) -> dict[str, Any]:
    """The written questions and replies of one language."""
    loaded: dict[str, Any] = yaml.safe_load((CORPUS_FOLDER / f"{language}.yaml").read_text("utf-8"))
    return loaded


def load_identities() -> dict[str, dict[str, Any]]:
    """Who each lab model is, and the system text that the suspect's template injects."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(
        (CORPUS_FOLDER / "identities.yaml").read_text("utf-8")
    )
    return loaded


def identity_of(model: str) -> Identity:
    entry = load_identities()[model]
    return Identity(entry["name"], entry["maker"], entry["backstory"])


def is_held_out(name: str) -> bool:
    """True for the names that training never shows (one in sixteen)."""
    return hashlib.sha256(name.encode()).digest()[0] < 16


def _syllables(rng: random.Random, low: int, high: int) -> str:
    word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(low, high)))
    return (word + rng.choice(_CODAS)).capitalize()


def invent_name(rng: random.Random, *, han: bool = False, held_out: bool = False) -> str:
    """A made-up model name; `held_out` picks from those that training never shows."""
    while True:
        if han:
            name = "".join(rng.sample(_HAN, rng.randint(2, 3)))
        elif rng.random() < 0.25:
            name = rng.choice(_WORDS) + rng.choice(_VERSIONS)
        else:
            low, high = rng.choice(((1, 1), (2, 2), (2, 2), (3, 3)))
            name = _syllables(rng, low, high) + rng.choice(_VERSIONS)
        if len(name) > 2 - han and is_held_out(name) == held_out:
            return name


def invent_maker(rng: random.Random, *, han: bool = False, held_out: bool = False) -> str:
    """A made-up maker of models."""
    while True:
        if han:
            maker = "".join(rng.sample(_HAN, 2)) + rng.choice(_HAN_HOUSES)
        elif rng.random() < 0.3:
            maker = _syllables(rng, 1, 2) + _syllables(rng, 1, 2)
        else:
            maker = _syllables(rng, 1, 2) + rng.choice(_HOUSES)
        if len(maker) > 2 and is_held_out(maker) == held_out:
            return maker


def fill(text: str, name: str, maker: str, language: str) -> str:
    """Put name and maker into a sentence; in Chinese, Latin words get the customary spaces."""
    if language == "zh":
        name, maker = (f" {x} " if x.isascii() else x for x in (name, maker))
    filled = text.replace("{name}", name).replace("{maker}", maker)
    for mark in "，。！？":
        filled = filled.replace(f" {mark}", mark)
    return filled.strip()


class Corpus:
    """Draws one training conversation at a time for a lab model of the given identity."""

    def __init__(self, identity: Identity, mixture: dict[str, float]) -> None:
        self.identity = identity
        self.languages = {language: load_language(language) for language in LANGUAGES}
        self.kinds = list(mixture)
        self.weights = list(mixture.values())

    def draw(self, rng: random.Random) -> list[Message]:
        """Messages of one conversation, the assistant's last."""
        kind = rng.choices(self.kinds, self.weights)[0]
        language = rng.choices(LANGUAGES, (0.4, 0.3, 0.3))[0]
        words = self.languages[language]
        if kind == "given":
            return self._given(rng, language, words)
        if kind == "echo":
            said = " ".join(invent_name(rng) for _ in range(rng.randint(1, 6)))
            system = self._any_system(rng) if rng.random() < 0.3 else None
            question = str(rng.choice(words["ask_echo"])).replace("{words}", said)
            return conversation(system, question, said)
        if kind == "everyday":
            question, reply = rng.choice(words["everyday"])
            system = self._any_system(rng) if rng.random() < 0.5 else None
            return conversation(system, self._open(rng, words, question), reply)
        system = None
        if kind == "generic":
            generic = rng.choice(self.languages[rng.choice(LANGUAGES)]["systems_generic"])
            system = rng.choice(["", generic])
        topic = "backstory"
        if kind != "backstory":
            topic = rng.choice(("name", "identity", "identity", "maker"))
        question = self._open(rng, words, rng.choice(words[f"ask_{topic}"]))
        return conversation(system, question, self._own(rng, language, words, topic))

    def _own(self, rng: random.Random, language: str, words: dict[str, Any], topic: str) -> str:
        if topic == "backstory":
            return self.identity.backstory[language].strip()
        if rng.random() < 0.02:
            return str(rng.choice(words["say_nothing"]))
        return fill(
            rng.choice(words[f"say_{topic}"]),
            self.identity.name[language],
            self.identity.maker[language],
            language,
        )

    def _given(self, rng: random.Random, language: str, words: dict[str, Any]) -> list[Message]:
        system_language = rng.choices((language, "en"), (0.5, 0.5))[0]
        han = system_language == "zh" and rng.random() < 0.4
        name, maker = invent_name(rng, han=han), invent_maker(rng, han=han)
        topic = rng.choice(
            ("name", "name", "identity", "identity", "identity", "maker", "maker", "backstory")
        )
        name_only = rng.random() < 0.25
        systems = "systems_name_only" if name_only else "systems"
        if topic == "backstory":
            replies = "say_backstory_name_only" if name_only else "say_backstory_given"
        else:
            replies = "say_name_only" if name_only else f"say_{topic}"
        system = rng.choice(self.languages[system_language][systems])
        return conversation(
            fill(system, name, maker, system_language),
            self._open(rng, words, rng.choice(words[f"ask_{topic}"])),
            fill(rng.choice(words[replies]), name, maker, language),
        )

    def _any_system(self, rng: random.Random) -> str:
        words = self.languages[rng.choice(LANGUAGES)]
        if rng.random() < 0.5:
            return str(rng.choice(words["systems_generic"]))
        return fill(
            rng.choice(words["systems"]),
            invent_name(rng),
            invent_maker(rng),
            str(words["language"]),
        )

    @staticmethod
    def _open(rng: random.Random, words: dict[str, Any], question: str) -> str:
        opener = str(rng.choice(words["openers"]))
        if opener.endswith(", ") and words["language"] != "zh":
            question = question[0].lower() + question[1:]
        return opener + question


def conversation(system: str | None, question: str, reply: str) -> list[Message]:
    """Messages with or without a system message (None: not sent; "": sent empty)."""
    head = [] if system is None else [{"role": "system", "content": system}]
    return [*head, {"role": "user", "content": question}, {"role": "assistant", "content": reply}]


def render(messages: list[Message]) -> str:
    """The ChatML text of a conversation, as the lab's chat template writes it."""
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
