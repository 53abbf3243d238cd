"""References: what known models answer, as data with its provenance.

A file of references (JSON, `probes/references/NAME.json`, the user's first) says what was asked
(probe, variables, sampling and the digest of the questions), who made it and under which licence,
and holds for each model its host, the day, and how often which word came in which cell. Files may
come from strangers: they are read within bounds, and a value that makes no sense is an error that
names it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from harness.campaign import folders
from harness.errors import LineupError, did_you_mean

T = TypeVar("T")
FOLDER: Final = "probes/references"
FORMAT: Final = "truename references 1"
#: Bytes of a file, models in it, cells of a model, words of a cell: strangers' files end there.
BYTES, MODELS, CELLS, WORDS = 64_000_000, 2_000, 2_000, 5_000

Short = Annotated[str, Meta(max_length=300)]
Count = Annotated[int, Meta(ge=0, le=10_000_000)]
Counts = Annotated[dict[Annotated[str, Meta(max_length=100)], Count], Meta(max_length=WORDS)]


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one model answers. ``asked`` counts requests, ``answered`` those that gave a word.

    ``cells`` holds the words by "<language>:<question>"; ``prompt_tokens`` how many tokens the host
    counted in each of these prompts, where it says so: another number means another prompt or
    tokenizer.
    """

    model: Short
    host: Short = ""
    date: Short = ""
    arm: Short = "absent"
    asked: Count
    answered: Count
    direct: Count = 0
    cells: Annotated[dict[Short, Counts], Meta(max_length=CELLS)]
    prompt_tokens: Annotated[dict[Short, Count], Meta(max_length=CELLS)] = {}


class Protocol(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was asked. ``questions`` is the SHA-256 of every question, so that others can be sure.

    A file without a probe holds counts of questions that this installation cannot ask.
    """

    probe: Short = ""
    languages: Annotated[list[Short], Meta(max_length=100)] = []
    variables: Annotated[dict[Short, Short], Meta(max_length=100)] = {}
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: Count = 16
    questions: Short = ""


class References(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of references."""

    format: Short = FORMAT
    made_by: Short = ""
    source: Short = ""
    licence: Short = ""
    note: Annotated[str, Meta(max_length=2000)] = ""
    protocol: Protocol
    models: Annotated[list[Reference], Meta(max_length=MODELS)]


def decoded(content: bytes, where: str) -> References:
    """A file of references out of its bytes.

    Raises
    ------
    LineupError
        It is too long, no JSON, of another format, or holds a value that makes no sense.
    """
    if len(content) > BYTES:
        raise LineupError(
            f"the file is longer than {BYTES // 1_000_000} MB",
            where=where,
            next="leave models or cells out",
        )
    found = parsed(
        content,
        References,
        where,
        "this is no file of references",
        "truename references import FILE reads counts of other formats",
    )
    if found.format != FORMAT:
        raise LineupError(
            f"the format is '{found.format}', and this truename reads '{FORMAT}'",
            where=where,
            next="install a newer truename, or have the file made again",
        )
    names = [one.model for one in found.models]
    if twins := {name for name in names if names.count(name) > 1}:
        raise LineupError(
            f"a model stands twice: {', '.join(sorted(twins)[:5])}",
            where=where,
            next="leave one of them out",
        )
    return found


def load(name: str) -> References:
    """References by the name of their file, or by its path.

    Raises
    ------
    LineupError
        There is no such file, or it cannot be read.
    """
    path = Path(name) if name.endswith(".json") else folders.find(f"{FOLDER}/{name}.json")
    if path is None or not path.is_file():
        raise LineupError(
            f"there are no references '{name}': {did_you_mean(name, known())}",
            where=FOLDER,
            next="truename references list, or give the path of a file",
        )
    return decoded(content_of(path), str(path))


def content_of(path: Path) -> bytes:
    """The bytes of a file; of one that is too long, one more than it may have.

    Raises
    ------
    LineupError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(BYTES + 1)
    except OSError as problem:
        raise LineupError(
            f"cannot read the file: {problem}", where=str(path), next="check the path"
        ) from None


def parsed(content: bytes, kind: type[T], where: str, what: str, mend: str) -> T:
    """JSON of a stranger, as a value of some kind; ``what`` it is if it is none, ``mend`` what to
    do then.

    Raises
    ------
    LineupError
        It is none.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise LineupError(f"{what}: {problem}", where=where, next=mend) from None


def known() -> list[str]:
    """Names of the references that are there, the user's and those that ship."""
    return [path.stem for path in folders.every(FOLDER, "*.json")]


def encoded(references: References) -> bytes:
    """The file of references: JSON, always in the same order."""
    return msgspec.json.encode(references, order="deterministic") + b"\n"


def free(name: str) -> Path:
    """Where references of a name are to be written: a path, or a name in the user's folder.

    Raises
    ------
    LineupError
        The name cannot be one, or the file exists.
    """
    is_path = name.endswith(".json")
    if not is_path and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise LineupError(
            f"'{name}' cannot name references",
            next="use letters, digits, dots, dashes and underscores, 64 at most",
        )
    path = Path(name) if is_path else Path.cwd() / FOLDER / f"{name}.json"
    if path.exists():
        raise LineupError("the file exists already", where=str(path), next="give another name")
    return path


def save(references: References, name: str) -> Path:
    """Write references to a path, or by name to the user's folder; return where they lie.

    Raises
    ------
    LineupError
        The file exists, or cannot be written.
    """
    path = free(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(references))
    except OSError as problem:
        raise LineupError(
            f"cannot write the file: {problem}", where=str(path), next="free some space"
        ) from None
    return path
