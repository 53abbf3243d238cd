"""Verdicts on replies that any other tool collected.

A JSON Lines or CSV file in (or standard input), a table with verdicts out.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import pandas as pd

from harness.counting.samples import (
    SCORE_COLUMNS,
    overlap_columns,
    reasoning_columns,
    typed,
    verdict_columns,
)
from harness.encodings import open_text, refused
from harness.errors import ScoreError, did_you_mean
from harness.jobs import mapped
from harness.progress import watched
from harness.scoring import Overlap, Verdict, published, verdicts
from harness.tables import format_of, write_file
from harness.targets import split_reasoning

CHUNK: Final = 2000
#: Keys that tools commonly give the text of a reply, tried in this order.
USUAL: Final = ("reply", "response", "output", "completion", "text", "content", "answer")

#: Bytes that are no UTF-8, as they are read.
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
#: Columns of the output that are not the input's.
_OWN: Final = ("status", "error", *SCORE_COLUMNS, "rest_json")


class Source(NamedTuple):
    """A file of replies, and what the user calls it."""

    path: Path
    name: str


class Row(NamedTuple):
    """One row of the file: its fields, and why its text cannot be scored."""

    fields: dict[str, Any]
    problem: str | None


class Summary(NamedTuple):
    rows: int
    failed: int
    stances: Counter[str]
    names: Counter[str]
    #: Why the first row that cannot be scored cannot.
    problem: str | None = None


@contextmanager
def kept(said: IO[bytes]) -> Iterator[Source]:
    """What standard input says, as a file for as long as it is needed.

    It is JSON Lines where it begins with a brace, else CSV.

    Raises
    ------
    ScoreError
        It says nothing.
    """
    with tempfile.TemporaryDirectory(prefix="truename-") as folder:
        path = Path(folder) / "replies.csv"
        with path.open("wb") as out:
            shutil.copyfileobj(said, out)
        with open_text(path, "replace") as text:
            start = text.read(1000).lstrip("\ufeff \t\r\n")[:1]
        if not start:
            raise ScoreError(
                "standard input says nothing",
                next="pipe replies into it, one JSON object a line or CSV with a head line",
            )
        if start == "{":
            path = path.rename(path.with_suffix(".jsonl"))
        yield Source(path, "standard input")


def rows(source: Source, column: str | None) -> Iterator[tuple[Row, str | None]]:
    """Each row of a .jsonl or .csv file with its text.

    The text is None where the row cannot be scored; the row is kept.

    Raises
    ------
    ScoreError
        The file cannot be read, is of another kind or encoding, or no row has the column.
    """
    path, name = source
    if path.suffix not in (".jsonl", ".ndjson", ".csv"):
        raise ScoreError(
            f"'{path.suffix or path.name}' is no kind of file that can be scored",
            where=name,
            next="give a .jsonl file (one object a line), a .csv file with a head line, or -",
        )
    try:
        yield from _csv(source, column) if path.suffix == ".csv" else _jsonl(source, column)
    except OSError as problem:
        raise ScoreError(
            f"the file cannot be read: {problem.strerror}", where=name, next="check the path"
        ) from None
    except UnicodeDecodeError as problem:
        raise refused(path, problem, ScoreError, name) from None


def _column(keys: list[str], column: str | None, where: str) -> str:
    if column is not None:
        if column not in keys:
            raise ScoreError(
                f"there is no column '{column}': {did_you_mean(column, keys)}",
                where=where,
                next=f"--column one of: {', '.join(keys)}",
            )
        return column
    for usual in USUAL:
        if usual in keys:
            return usual
    raise ScoreError(
        "no column looks like the text of a reply",
        where=where,
        next=f"--column one of: {', '.join(keys) or '(none)'}",
    )


def _text(fields: dict[str, Any], column: str) -> tuple[Row, str | None]:
    if column not in fields:
        return Row(fields, f"the key '{column}' is missing"), None
    value = fields[column]
    if value is None:
        return Row(fields, "the text is null"), None
    if not isinstance(value, str):
        return Row(fields, f"the text is of type {type(value).__name__}"), None
    return Row(fields, None), value


def _jsonl(source: Source, column: str | None) -> Iterator[tuple[Row, str | None]]:
    chosen = None
    with open_text(source.path, "surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if strange := _NO_TEXT.search(line):
                byte = ord(strange.group()) - 0xDC00
                yield Row({"line": number}, f"not UTF-8: it holds the byte 0x{byte:02X}"), None
                continue
            try:
                # the standard library's, for it reads lone surrogates too
                fields = json.loads(line)
            except (ValueError, RecursionError) as problem:
                yield Row({"line": number}, f"not JSON: {problem}"), None
                continue
            if not isinstance(fields, dict):
                yield Row({"line": number}, "not a JSON object"), None
                continue
            if chosen is None:
                chosen = _column(list(fields), column, f"{source.name}:{number}")
            yield _text(fields, chosen)


def _csv(source: Source, column: str | None) -> Iterator[tuple[Row, str | None]]:
    csv.field_size_limit(sys.maxsize)
    with open_text(source.path) as lines:
        table = csv.DictReader(line.replace("\0", "\ufffd") for line in lines)
        chosen = _column(list(table.fieldnames or ()), column, f"{source.name}:1")
        for fields in table:
            if fields.pop(None, None):
                yield Row(dict(fields), "the row has more cells than the head"), None
            else:
                yield _text(dict(fields), chosen)


def score_input(said: IO[bytes], out: Path, column: str | None = None, jobs: int = 1) -> Summary:
    """`score_file` of what standard input says."""
    format_of(out)
    with kept(said) as source:
        return _score_source(source, out, column, jobs)


def score_file(path: Path, out: Path, column: str | None = None, jobs: int = 1) -> Summary:
    """Score every row of ``path`` into the table ``out``, in so many processes.

    ``out`` is written in the format that its ending names. The file's own fields come first, then
    the verdict's and the overlap's columns. Rows stream through in chunks; a row that cannot be
    scored has status ``failed`` and says why.

    Raises
    ------
    ScoreError
        As `rows`; the output would overwrite the input, or there are no rows.
    RunError
        The output cannot be written, or no table ends so.
    """
    return _score_source(Source(path, str(path)), out, column, jobs)


def _score_source(source: Source, out: Path, column: str | None, jobs: int) -> Summary:
    if out.resolve() == source.path.resolve():
        raise ScoreError(
            "the output would overwrite the input", where=str(out), next="choose another --out"
        )
    summary = _Sum()
    as_text = format_of(out) == "parquet"
    written = write_file(_frames(rows(source, column), summary, jobs, as_text=as_text), out)
    if not written:
        raise ScoreError("the file holds no rows", where=source.name, next="check the file")
    return Summary(written, summary.failed, summary.stances, summary.names, summary.problem)


class _Sum:
    """What is added up while rows stream by."""

    def __init__(self) -> None:
        self.failed = 0
        self.problem: str | None = None
        self.stances: Counter[str] = Counter()
        self.names: Counter[str] = Counter()

    def add(self, verdict: Verdict) -> None:
        self.stances[verdict.stance] += 1
        self.names.update(verdict.names)


class _Found(NamedTuple):
    """What was found in one reply."""

    said: Verdict
    recited: Overlap
    thought: Verdict | None  # of its reasoning, where it has some


def _frames(
    source: Iterator[tuple[Row, str | None]], summary: _Sum, jobs: int, *, as_text: bool = False
) -> Iterator[pd.DataFrame]:
    """Tables of scored rows, all with the columns of the first.

    With ``as_text`` each of the file's own fields is text: a column of Parquet is of one type, and
    what a stranger's later rows hold is not known from the first.
    """
    columns: list[str] = []
    read = watched(source, "rows read")
    for batch, found in mapped(_score, _batches(read), jobs):
        made = list(_lines(batch, found, summary))
        if not columns:
            names = dict.fromkeys(name for line in made for name in line if name not in _OWN)
            columns = [*names, *_OWN]
        for line in made:  # keys that the first rows did not have are kept too
            rest = {name: line[name] for name in line if name not in columns}
            line["rest_json"] = json.dumps(rest, ensure_ascii=False) if rest else None
        frame = pd.DataFrame(made, columns=columns)
        theirs = frame[columns[: -len(_OWN)]]
        own = typed(frame[list(_OWN)]).astype({"rest_json": object})
        yield pd.concat([theirs.map(_said).astype(object) if as_text else theirs, own], axis=1)


def _said(value: Any) -> str | None:
    """A field as text, as JSON writes it."""
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else json.dumps(value)


def _batches(source: Iterator[tuple[Row, str | None]]) -> Iterator[list[tuple[Row, str | None]]]:
    while batch := list(islice(source, CHUNK)):
        yield batch


def _score(batch: list[tuple[Row, str | None]]) -> list[_Found]:
    """What is found in each reply of a batch."""
    parts = [split_reasoning(text) if text is not None else (None, None) for _, text in batch]
    found = zip(
        verdicts(answer for _, answer in parts),
        published().stream(answer for _, answer in parts),
        verdicts(thought for thought, _ in parts),
        strict=True,
    )
    return [
        _Found(said, recited, thought if reasoning else None)
        for (reasoning, _), (said, recited, thought) in zip(parts, found, strict=True)
    ]


def _lines(
    batch: list[tuple[Row, str | None]], found: list[_Found], summary: _Sum
) -> Iterator[dict[str, Any]]:
    """Rows with what was found in each."""
    for (row, text), (said, recited, thought) in zip(batch, found, strict=True):
        line = _fields(row)
        if text is None:
            summary.failed += 1
            summary.problem = summary.problem or row.problem
            yield line | {"status": "failed", "error": row.problem}
            continue
        summary.add(said)
        line |= {"status": "ok"} | verdict_columns(said) | overlap_columns(recited, said)
        yield line | (reasoning_columns(thought) if thought else {})


def _fields(row: Row) -> dict[str, Any]:
    """A row's own fields: those named like ours get another name, what is no cell becomes JSON.

    Half a character (a lone surrogate), which no table can hold, becomes a question mark.
    """
    fields = {}
    for key, value in row.fields.items():
        name = _encodable(key)
        simple = isinstance(value, str | float | None) or (
            isinstance(value, int) and abs(value) < 2**63
        )
        own = f"input_{name}" if name in _OWN else name
        cell = value if simple else json.dumps(value, ensure_ascii=False)
        fields[own] = _encodable(cell) if isinstance(cell, str) else cell
    return fields


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
