"""The written sentences that the classifiers learn from, expanded and cut into windows.

`training/<language>.txt` holds sections; in a sentence `(a|b|)` stands for any one of its parts,
and a slot in braces for a mention, whose letter says its role: N own name, M own maker, B base,
D denied name, E denied maker, O another name, P another maker. Every draw is seeded: the same files
give the same rows.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from harness.scoring.marks import EITHER, MAKER, NAME, UNLISTED
from harness.scoring.roles import Role

FOLDER: Final = Path(__file__).parents[1] / "training"
SECTIONS: Final = ("identity", "hedged", "refuses", "none")
VARIANTS: Final = 16
DRAWS: Final = 4
_SLOTS: Final[dict[str, tuple[str, Role]]] = {
    "N": (NAME, "self_name"),
    "M": (MAKER, "self_maker"),
    "B": (NAME, "self_base"),
    "D": (NAME, "denied"),
    "E": (MAKER, "denied"),
    "O": (NAME, "other"),
    "P": (MAKER, "other"),
}
_SLOT: Final = re.compile(r"\{([NMBDEOP])\}")
_CHOICE: Final = re.compile(r"\(([^()]*\|[^()]*)\)")


class Sentence(NamedTuple):
    """One expanded sentence: its text with marks for mentions, and the role of each in order."""

    text: str
    roles: tuple[Role, ...]
    section: str
    language: str
    #: Number of the written line that it came from, over all files: for cross-validation.
    line: int


def expand(line: str, rng: random.Random) -> str:
    """One sentence of those that a line stands for."""
    while (found := _CHOICE.search(line)) is not None:
        line = line[: found.start()] + rng.choice(found.group(1).split("|")) + line[found.end() :]
    return line


def languages() -> list[Path]:
    """The files of sentences, one a language."""
    return sorted(FOLDER.glob("*.txt"))


def sentences() -> Iterator[Sentence]:
    """Every written line in up to `VARIANTS` forms, alone and between others.

    It is drawn `DRAWS` times, for one draw alone moves verdicts by chance.
    """
    for draw in range(DRAWS):
        yield from _drawn(draw)


def _drawn(draw: int) -> Iterator[Sentence]:
    number = 0
    for path in languages():
        rng = random.Random(f"{path.stem} {draw}")
        lines = _lines(path)
        fillers = [line for section, line in lines if section == "none"]
        for section, line in lines:
            number += 1
            seen = set()
            for _ in range(VARIANTS):
                text = expand(line, rng)
                if text in seen:
                    continue
                seen.add(text)
                yield _marked(_varied(text, section, fillers, rng), section, path.stem, number, rng)


def _lines(path: Path) -> list[tuple[str, str]]:
    """The written lines of a file, each with its section."""
    lines: list[tuple[str, str]] = []
    section = ""
    for raw in path.read_text("utf-8").splitlines():
        if raw.startswith("[") and raw[1:-1] in SECTIONS:
            section = raw[1:-1]
        elif raw.strip() and not raw.startswith("#"):
            lines.append((section, raw.replace("\\n", "\n")))
    return lines


def _varied(text: str, section: str, fillers: list[str], rng: random.Random) -> str:
    if rng.random() < 0.2:
        text = text.rstrip(".!。！।")
    if rng.random() < 0.1:
        text = "".join(c for c in unicodedata.normalize("NFD", text) if not 0x300 <= ord(c) < 0x370)
    if rng.random() < 0.08:
        text = text.replace("'", "").replace("’", "")
    draw = rng.random()
    if section in ("identity", "hedged") and fillers:
        if draw < 0.15:
            text = f"{expand(rng.choice(fillers), rng)} {text}"
        elif draw < 0.35 and text[-1] in ".!。！।":
            text = f"{text} {expand(rng.choice(fillers), rng)}"
    return text


def _marked(text: str, section: str, language: str, number: int, rng: random.Random) -> Sentence:
    roles: list[Role] = []

    def mark(slot: re.Match[str]) -> str:
        kind, role = _SLOTS[slot.group(1)]
        roles.append(role)
        draw = rng.random()
        if draw < 0.3:
            return UNLISTED
        if draw < 0.42:
            return EITHER
        return NAME if draw < 0.54 else kind  # a family's name can stand for a maker

    return Sentence(_SLOT.sub(mark, text), tuple(roles), section, language, number)


_WRITTEN: Final = re.compile("(?:[^\\W\\d_]|[\u0900-\u0963\u0966-\u0dff])+(?:['’][^\\W\\d_]+)?")


def words_of(texts: Iterable[str]) -> Iterator[str]:
    """The words of texts, as written."""
    for text in texts:
        yield from _WRITTEN.findall(_SLOT.sub(" ", text))
