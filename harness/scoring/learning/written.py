"""The written replies that the classifiers learn from, and how a reply shows what is in it.

A file of `training/replies/` holds replies, each behind a line
``@@@ language | stance | situation | question``; spans in it are marked as ``⟦mark:text⟧``.
`training/README.md` says what the marks mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from harness.scoring.marks import MAKER, NAME
from harness.scoring.roles import Role

FOLDER: Final = Path(__file__).parents[1] / "training" / "replies"
STANCES: Final = ("claims", "denies", "refuses", "none")
#: The role that a mark stands for, and the kind of name.
MARKS: Final[dict[str, tuple[Role, str]]] = {
    "n": ("self_name", NAME),
    "m": ("self_maker", MAKER),
    "b": ("self_base", NAME),
    "dn": ("denied", NAME),
    "dm": ("denied", MAKER),
    "on": ("other", NAME),
    "om": ("other", MAKER),
}
#: Marks of what is no name, and of a sentence that declines to say who speaks.
NO_NAME, DECLINES = "x", "r"
#: The mark that says so of a stance.
_SAYS: Final = {"claims": {"n", "m", "b"}, "denies": {"dn", "dm"}, "refuses": {DECLINES}}
_HEAD: Final = "@@@"
_OPENING: Final = re.compile(r"⟦(n\??|m\??|b\??|dn|dm|on|om|x|r):")


class Span(NamedTuple):
    """A marked span of a reply (end exclusive); ``hedged``: the claim itself is uncertain."""

    mark: str
    start: int
    end: int
    hedged: bool = False

    def meets(self, start: int, end: int) -> bool:
        return self.start < end and start < self.end


class Written(NamedTuple):
    """A reply that somebody wrote to be learned from."""

    file: str
    line: int
    language: str
    stance: str
    situation: str
    question: str
    text: str
    spans: tuple[Span, ...]


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def written(paths: Iterable[Path] | None = None) -> Iterator[Written]:
    """Every written reply, or those of some files.

    Raises
    ------
    ValueError
        A file is not as it should be: where, and why.
    """
    for path in files() if paths is None else paths:
        head, body, at = "", list[str](), 0
        for number, line in enumerate([*path.read_text("utf-8").split("\n"), _HEAD], 1):
            if not line.startswith(_HEAD):
                body.append(line)
                continue
            if head:
                yield _read(path.stem, at, head, "\n".join(body).strip("\n"))
            head, body, at = line, [], number


def _read(file: str, line: int, head: str, body: str) -> Written:
    where = f"{file}.txt:{line}"
    parts = [part.strip() for part in head.removeprefix(_HEAD).split("|", 3)]
    if len(parts) != 4 or parts[1] not in STANCES:
        raise ValueError(f"{where}: the head wants language | stance | situation | question")
    text, spans = _unmarked(body, where)
    language, stance, situation, question = parts
    said = {span.mark for span in spans}
    if not text.strip() or (stance in _SAYS and not said & _SAYS[stance]):
        raise ValueError(f"{where}: no mark says that it {stance}")
    return Written(file, line, language, stance, situation, question, text, spans)


def _unmarked(body: str, where: str) -> tuple[str, tuple[Span, ...]]:
    """A text without its marks, and the spans that they mark, in order."""
    pieces: list[str] = []
    spans: list[Span] = []
    opened: list[tuple[str, int]] = []
    at = length = 0
    for bracket in re.finditer("[⟦⟧]", body):
        pieces.append(body[at : bracket.start()])
        length += bracket.start() - at
        at = bracket.end()
        if bracket.group() == "⟧":
            if not opened:
                raise ValueError(f"{where}: ⟧ without ⟦")
            mark, begin = opened.pop()
            spans.append(Span(mark.rstrip("?"), begin, length, mark.endswith("?")))
            continue
        opening = _OPENING.match(body, bracket.start())
        if opening is None:
            raise ValueError(f"{where}: no mark: {body[bracket.start() : at + 12]}")
        opened.append((opening.group(1), length))
        at = opening.end()
    if opened:
        raise ValueError(f"{where}: ⟦ without ⟧")
    return "".join([*pieces, body[at:]]), tuple(sorted(spans, key=lambda s: (s.start, -s.end)))


def nameless(reply: Written) -> Iterator[str]:
    """The stretches of a reply between its names of models and makers."""
    at = 0
    for span in reply.spans:
        if span.mark in MARKS and span.start >= at:
            yield reply.text[at : span.start]
            at = span.end
    yield reply.text[at:]
