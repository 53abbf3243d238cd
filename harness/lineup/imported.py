"""References of others: the npm package `llm-fingerprint`, its JSON, and lines of counts.

Nothing of a package is run: the npm client fetches its archive, of which one file is read within
bounds. Its questions are not taken: it calls them reconstructed, and its question for a password
names one that hardly any of the counted answers gives, so they are not what was asked. Counts that
nobody can be asked for again serve to measure the method (`benchmarks/lineup.py`), not to judge.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from harness.errors import LineupError
from harness.lineup.references import (
    BYTES,
    MODELS,
    Protocol,
    Reference,
    References,
    T,
    content_of,
    decoded,
    parsed,
)

DISTRIBUTIONS: Final = "results/distributions.json"
SECONDS: Final = 180
#: What is said of the data where they came from this package or its Zenodo record.
_SOURCE: Final = (
    "T. Bruckner, Single-token output distributions as behavioral fingerprints of large language "
    "models, Zenodo 10.5281/zenodo.21278557"
)
_LICENCE: Final = "CC BY 4.0"


class _Cell(msgspec.Struct):
    """One line of the package's distributions; further keys are not needed."""

    model: Annotated[str, Meta(max_length=300)]
    task_id: Annotated[str, Meta(max_length=100)]
    lang: Annotated[str, Meta(max_length=20)]
    n_valid: Annotated[int, Meta(ge=0, le=1_000_000)]
    dist: dict[Annotated[str, Meta(max_length=100)], Annotated[float, Meta(ge=0, le=1)]]
    n_off_format: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    temperature: float = 1.0


class _Distributions(msgspec.Struct):
    distributions: Annotated[list[_Cell], Meta(max_length=1_000_000)]


class _Counted(msgspec.Struct):
    counts: dict[Annotated[str, Meta(max_length=100)], Annotated[int, Meta(ge=0, le=1_000_000)]]
    off: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class _Line(msgspec.Struct):
    """One model of a file of counts, a line each."""

    model: Annotated[str, Meta(max_length=300)]
    cells: dict[Annotated[str, Meta(max_length=200)], _Counted]


def take(source: str) -> References:
    """References out of a file, or of an npm package.

    Raises
    ------
    LineupError
        It cannot be fetched or read, or holds what makes no sense.
    """
    path = Path(source)
    if path.is_file():
        return _of_file(path)
    if re.fullmatch(r"(@[a-z0-9._-]+/)?[a-z0-9._-]+(@[A-Za-z0-9._-]+)?", source):
        return _of_package(source)
    raise LineupError(
        "this is neither a file nor the name of a package",
        where=source,
        next="truename references import llm-fingerprint",
    )


def _of_file(path: Path) -> References:
    content = _inflated(content_of(path), str(path))
    if len(content) > BYTES:
        raise LineupError(
            f"the file is longer than {BYTES // 1_000_000} MB", where=str(path), next="give a part"
        )
    if b'"distributions"' in content[:1000]:
        return _of_distributions(content, str(path), str(path))
    if _is_line(content.lstrip().partition(b"\n")[0]):
        return _of_lines(content, str(path))
    return decoded(content, str(path))


def _is_line(first: bytes) -> bool:
    """Whether the first line of a file holds a model of its own, in whatever order of keys."""
    try:
        msgspec.json.decode(first, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _inflated(content: bytes, where: str) -> bytes:
    """The content of a gzip file, within bounds; any other as it is."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        unpacking = zlib.decompressobj(wbits=31)
        whole = unpacking.decompress(content, BYTES + 1)
    except zlib.error as problem:
        raise LineupError(
            f"the file is broken: {problem}", where=where, next="get it again"
        ) from None
    return whole


def _of_distributions(content: bytes, where: str, source: str) -> References:
    cells = _counts(content, _Distributions, where).distributions
    models: dict[str, list[_Cell]] = {}
    for cell in cells:
        if cell.temperature == 1.0:
            models.setdefault(cell.model, []).append(cell)
    found = [
        _reference(
            model,
            {
                f"{cell.lang}:{cell.task_id.replace('-', '_')}": (
                    {word: round(share * cell.n_valid) for word, share in cell.dist.items()},
                    cell.n_off_format,
                )
                for cell in its
            },
        )
        for model, its in models.items()
    ]
    return _file(found, f"{_SOURCE}; taken from {source}", where)


def _of_lines(content: bytes, where: str) -> References:
    found = []
    for line in content.split(b"\n"):
        if line.strip():
            one = _counts(line, _Line, where)
            cells = {cell: (said.counts, said.off) for cell, said in one.cells.items()}
            found.append(_reference(one.model, cells))
    return _file(found, f"taken from {where}", where)


def _reference(model: str, cells: dict[str, tuple[dict[str, int], int]]) -> Reference:
    kept = {
        cell: {word: count for word, count in counts.items() if count}
        for cell, (counts, _) in sorted(cells.items())
    }
    answered = sum(sum(counts.values()) for counts in kept.values())
    off = sum(off for _, off in cells.values())
    return Reference(model=model, asked=answered + off, answered=answered, cells=kept)


def _file(models: list[Reference], source: str, where: str) -> References:
    if not models or len(models) > MODELS:
        raise LineupError(
            f"the file holds {len(models)} models", where=where, next="give another file"
        )
    licence = _LICENCE if source.startswith(_SOURCE) else ""
    whole = References(source=source, licence=licence, protocol=Protocol(), models=models)
    return decoded(msgspec.json.encode(whole), where)  # its bounds hold for what is imported too


def _counts(content: bytes, kind: type[T], where: str) -> T:
    return parsed(content, kind, where, "the counts cannot be read", "get the file again")


def _of_package(package: str) -> References:
    npm = shutil.which("npm")
    if npm is None:
        raise LineupError(
            "the npm client is not here", where=package, next="install Node.js, or give the file"
        )
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", scratch]
        try:
            done = subprocess.run(  # the client asks the registry that the user has chosen
                command, capture_output=True, timeout=SECONDS, check=False, cwd=scratch
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise LineupError(
                f"npm did not fetch it: {problem}", where=package, next="try again"
            ) from None
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
            raise LineupError(
                f"npm did not fetch it: {' '.join(last)[:300]}", where=package, next="try again"
            )
        files = _members(archives[0], package)
    if DISTRIBUTIONS not in files:
        raise LineupError(
            "the package holds no answers of models",
            where=f"{package}, {DISTRIBUTIONS}",
            next="truename references import llm-fingerprint",
        )
    return _of_distributions(files[DISTRIBUTIONS], package, f"the npm package {package}")


def _members(archive: Path, where: str) -> dict[str, bytes]:
    """The file of an archive that is read, within bounds."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r|gz") as packed:
            for number, member in enumerate(packed):
                if number > 10_000:
                    break
                name = member.name.partition("/")[2]
                if name == DISTRIBUTIONS and member.isfile() and member.size <= BYTES:
                    file = packed.extractfile(member)
                    found[name] = file.read(BYTES) if file else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise LineupError(
            f"the archive is broken: {problem}", where=where, next="try again"
        ) from None
    return found
