"""What people say of single replies: `labels.jsonl` in the run's folder, one JSON object a line.

A line is written as soon as it is answered and never changed; whoever answers again adds a line,
and of one person's lines on a reply the last one counts. Files of labels come from strangers too
(`truename label RUN --add`): nothing of one is taken unless all of it fits the run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from harness.campaign import load_book
from harness.counting.counted import STANCES
from harness.counting.drawn import Draw
from harness.encodings import text_of
from harness.errors import ScoreError

LABELS: Final = "labels.jsonl"
#: What the labeller's name begins with where a model labelled (`truename judge`), and no person.
JUDGE: Final = "judge:"
Stance = Literal["claims", "denies", "refuses", "none"]
#: What a label names, by the kind of identity that stands there.
LABELLED: Final[dict[str, Literal["name", "maker", "any"]]] = {
    "names": "name",
    "makers": "maker",
    "base": "name",
    "denied": "any",
}
#: Which parts each stance may name; one of them has to be.
NAMED_BY: Final = {"claims": (*LABELLED,), "denies": ("denied",), "refuses": (), "none": ()}
CLAIMED: Final = ("names", "makers", "base")
#: Bytes of a file that is added, and of a line; identities of a part, and letters of one.
LARGEST, LONGEST_LINE, MOST, LONGEST = 50_000_000, 100_000, 50, 100
_SHOWN: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]+")


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one person says of one reply; identities are ids of the book, or `other:<name>`."""

    sample: str
    sha256: str
    labeller: str
    stance: Stance
    names: list[str] = []
    makers: list[str] = []
    base: list[str] = []
    denied: list[str] = []
    hedged: bool = False
    when: str = ""


def by_judge(label: Label) -> bool:
    """Whether a model said this (`truename judge`): then it counts as no person's reading."""
    return label.labeller.startswith(JUDGE)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1)
def _known() -> dict[str, dict[str, str]]:
    """By kind the id of each id, name and alias of the book, all in small letters."""
    book = load_book()
    found: dict[str, dict[str, str]] = {"name": {}, "maker": {}}
    for kind, entries in (("name", book.families.values()), ("maker", book.makers.values())):
        for ways in (lambda e: [e.id], lambda e: [e.name], lambda e: e.aliases):
            for entry in entries:
                same = getattr(entry, "same_as", None) or entry.id
                for way in ways(entry):
                    found[kind].setdefault(_small(way), same)
    return found


def _small(text: str) -> str:
    return " ".join(text.casefold().split())


def identity_of(said: str, kind: Literal["name", "maker", "any"]) -> str:
    """The identity that a person means by an id, a name or an alias; `other:<name>` if unlisted."""
    name = _small(said.strip().removeprefix("other:"))
    for one in ("name", "maker") if kind == "any" else (kind,):
        if name in _known()[one]:
            return _known()[one][name]
    return f"other:{name}"


def choices(kind: Literal["name", "maker", "any"]) -> dict[str, str]:
    """The ids of the book that may stand in a part, with their names, in order."""
    book = load_book()
    families = {f.id: f.name for f in book.families.values() if not f.same_as}
    makers = {m.id: m.name for m in book.makers.values()}
    found = {"name": families, "maker": makers, "any": makers | families}[kind]
    return dict(sorted(found.items()))


def complaint(stance: str, parts: dict[str, list[str]]) -> str | None:
    """What is wrong with a stance and the identities beside it, if anything."""
    if stance not in STANCES:
        return f"'{stance}' is no stance; it is one of {', '.join(STANCES)}"
    for part, named in parts.items():
        if named and part not in NAMED_BY[stance]:
            return f"a reply of stance {stance} has no {part}"
    if stance == "claims" and not any(parts.get(part) for part in CLAIMED):
        return "a reply that claims something has names, makers or base"
    if stance == "denies" and not parts.get("denied"):
        return "a reply that denies something has denied"
    return None


def read_labels(folder: Path) -> list[Label]:
    """The labels of a run: of each person's on a reply the last one. A torn last line is none.

    Raises
    ------
    ScoreError
        A line is no label: which, and why.
    """
    path = folder / LABELS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise ScoreError(
            f"the labels cannot be read: {problem.strerror}", where=str(path), next="check the file"
        ) from None
    last = {(x.labeller, x.sample): x for x in _decoded(whole_lines(content), path)}
    return list(last.values())


def append_labels(folder: Path, labels: Iterable[Label]) -> None:
    """Add labels to a run's, at once and lastingly.

    Raises
    ------
    ScoreError
        The disk refuses; what was answered before is there.
    """
    append_lines(folder / LABELS, labels)


def append_lines(path: Path, entries: Iterable[msgspec.Struct]) -> None:
    """Add entries to a file of JSON lines, at once and lastingly.

    Raises
    ------
    ScoreError
        The disk refuses; what was in the file before is there.
    """
    lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a torn line of before ends here
                    file.truncate(len(whole_lines(path.read_bytes())))
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        raise ScoreError(
            f"the label cannot be saved: {problem.strerror}",
            where=str(path),
            next="free some space, then go on: what was answered before is there",
        ) from None


def whole_lines(content: bytes) -> bytes:
    """A file up to the end of its last whole line: a torn one behind it is none."""
    return content[: content.rfind(b"\n") + 1]


def _decoded(content: bytes, path: Path) -> list[Label]:
    return [
        _label(line, f"{path}:{number}")
        for number, line in enumerate(content.splitlines(), 1)
        if line.strip()
    ]


def _label(line: bytes, where: str) -> Label:
    """One line as a label, its identities as the book has them."""
    problem: str | None
    try:
        if len(line) > LONGEST_LINE:
            raise msgspec.DecodeError("the line is too long")
        found = msgspec.json.decode(line, type=Label)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = str(error)
    else:
        parts = {part: list(getattr(found, part)) for part in LABELLED}
        problem = _strange(found, parts) or complaint(found.stance, parts)
        if problem is None:
            named = {
                part: list(dict.fromkeys(identity_of(one, kind) for one in parts[part]))
                for part, kind in LABELLED.items()
            }
            return msgspec.structs.replace(found, **named)
    raise ScoreError(
        f"this is no label: {problem}", where=where, next="the keys are in docs/labels.md"
    )


def _strange(label: Label, parts: dict[str, list[str]]) -> str | None:
    """What no person would have written."""
    if not _SHOWN.fullmatch(label.labeller) or len(label.labeller) > LONGEST:
        return f"the labeller's name is empty, longer than {LONGEST} letters, or not readable"
    for part, named in parts.items():
        if len(named) > MOST:
            return f"{part} has more than {MOST} identities"
        if not all(map(readable, named)):
            return f"an identity in {part} is empty, longer than {LONGEST} letters, or not readable"
    return None


def readable(identity: str) -> bool:
    """Whether an identity is some readable text, and not too much of it."""
    said = identity.strip().removeprefix("other:").strip()
    return bool(said) and len(identity) <= LONGEST and bool(_SHOWN.fullmatch(identity))


def checked_labeller(name: str) -> str:
    """A labeller's name, as it may stand in the file.

    Raises
    ------
    ScoreError
        It is empty, too long, or not readable, or it is that of a judge.
    """
    name = name.strip()
    if name.startswith(JUDGE):
        raise ScoreError(
            f"a labeller's name that begins with '{JUDGE}' is kept for models",
            next="--labeller NAME, a short name or a pseudonym; a model labels by truename judge",
        )
    if not _SHOWN.fullmatch(name) or len(name) > LONGEST:
        raise ScoreError(
            f"'{name[:LONGEST]!r}' cannot name a labeller",
            next="--labeller NAME, a short name or a pseudonym",
        )
    return name


def add_labels(folder: Path, drawn: Draw, path: Path) -> int:
    """Take a file of labels, such as the page saves, into a run's; returns how many were new.

    Raises
    ------
    ScoreError
        The file cannot be read, or a line of it is no label, or a model's, or not of a reply that
        was drawn here; then nothing of it is taken.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ScoreError(
                f"the file is larger than {LARGEST // 1_000_000} MB",
                where=str(path),
                next="give a file that the page of truename label --html saved",
            )
        content = text_of(path, ScoreError).encode()
    except OSError as problem:
        raise ScoreError(
            f"the labels cannot be read: {problem.strerror}", where=str(path), next="check the path"
        ) from None
    found = _decoded(content, path)
    if not found:
        raise ScoreError(
            "the file holds no labels",
            where=str(path),
            next="one JSON object a line; the keys are in docs/labels.md",
        )
    texts = {one.sample: one.sha256 for one in drawn.samples}
    for label in found:
        if by_judge(label):
            raise ScoreError(
                f"the file holds labels of {label.labeller}, which is a model and no person",
                where=str(path),
                next="take these lines out; truename judge asks the model itself",
            )
        if texts.get(label.sample) != label.sha256:
            why = "has another text" if label.sample in texts else "was not drawn to be read"
            raise ScoreError(
                f"the reply {label.sample[:LONGEST]} {why} in this run",
                where=str(path),
                next="add the file to the run whose page it was saved by",
            )
    known = {(x.labeller, x.sample): x for x in read_labels(folder)}
    new = [x for x in found if known.get((x.labeller, x.sample)) != x]
    append_labels(folder, new)
    return len(new)
