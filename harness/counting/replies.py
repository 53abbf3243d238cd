"""Verdicts on replies that any other tool collected.

A JSON Lines or CSV file in, a CSV with verdicts out.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.counting.jobs import mapped
from harness.counting.samples import (
    SCORE_COLUMNS,
    overlap_columns,
    reasoning_columns,
    verdict_columns,
)
from harness.encodings import open_text, refused
from harness.errors import ScoreError, did_you_mean
from harness.scoring import Overlap, Verdict, published, verdicts
from harness.tables import write_csv
from harness.targets import split_reasoning

CHUNK: Final = 2000
#: Keys that tools commonly give the text of a reply, tried in this order.
USUAL: Final = ("reply", "response", "output", "completion", "text", "content", "answer")

#: Bytes that are no UTF-8, as they are read.
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
#: Columns of the output that are not the input's.
_OWN: Final = ("status", "error", *SCORE_COLUMNS, "rest_json")


class Row(NamedTuple):
    """One row of the file: its fields, and why its text cannot be scored."""

    fields: dict[str, Any]
    problem: str | None


class Summary(NamedTuple):
    rows: int
    failed: int
    stances: Counter[str]
    names: Counter[str]


def rows(path: Path, column: str | None) -> Iterator[tuple[Row, str | None]]:
    """Each row of a .jsonl or .csv file with its text.

    The text is None where the row cannot be scored; the row is kept.

    Raises
    ------
    ScoreError
        The file cannot be read, is of another kind or encoding, or no row has the column.
    """
    if path.suffix not in (".jsonl", ".ndjson", ".csv"):
        raise ScoreError(
            f"'{path.suffix or path.name}' is no kind of file that can be scored",
            where=str(path),
            next="give a .jsonl file (one object a line) or a .csv file with a head line",
        )
    try:
        yield from _csv(path, column) if path.suffix == ".csv" else _jsonl(path, column)
    except OSError as problem:
        raise ScoreError(
            f"the file cannot be read: {problem.strerror}", where=str(path), next="check the path"
        ) from None
    except UnicodeDecodeError as problem:
        raise refused(path, problem, ScoreError) from None


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


def _jsonl(path: Path, column: str | None) -> Iterator[tuple[Row, str | None]]:
    chosen = None
    with open_text(path, "surrogateescape") as lines:
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
                chosen = _column(list(fields), column, f"{path}:{number}")
            yield _text(fields, chosen)


def _csv(path: Path, column: str | None) -> Iterator[tuple[Row, str | None]]:
    csv.field_size_limit(sys.maxsize)
    with open_text(path) as lines:
        table = csv.DictReader(line.replace("\0", "\ufffd") for line in lines)
        chosen = _column(list(table.fieldnames or ()), column, f"{path}:1")
        for fields in table:
            if fields.pop(None, None):
                yield Row(dict(fields), "the row has more cells than the head"), None
            else:
                yield _text(dict(fields), chosen)


def score_file(path: Path, out: Path, column: str | None = None, jobs: int = 1) -> Summary:
    """Score every row of ``path`` into the CSV ``out``, in so many processes.

    Its own fields come first, then the verdict's and the overlap's columns. Rows stream through in
    chunks; a row that cannot be scored has status ``failed`` and says why.
    """
    if out.resolve() == path.resolve():
        raise ScoreError(
            "the output would overwrite the input", where=str(out), next="choose another --out"
        )
    summary = _Sum()
    written = write_csv(_frames(rows(path, column), summary, jobs), out)
    if not written:
        raise ScoreError("the file holds no rows", where=str(path), next="check the file")
    return Summary(written, summary.failed, summary.stances, summary.names)


class _Sum:
    """What is added up while rows stream by."""

    def __init__(self) -> None:
        self.failed = 0
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
    source: Iterator[tuple[Row, str | None]], summary: _Sum, jobs: int
) -> Iterator[pd.DataFrame]:
    """Tables of scored rows, all with the columns of the first."""
    columns: list[str] = []
    for batch, found in mapped(_score, _batches(source), jobs):
        made = list(_lines(batch, found, summary))
        if not columns:
            theirs = dict.fromkeys(name for line in made for name in line if name not in _OWN)
            columns = [*theirs, *_OWN]
        for line in made:  # keys that the first rows did not have are kept too
            rest = {name: line[name] for name in line if name not in columns}
            line["rest_json"] = json.dumps(rest, ensure_ascii=False) if rest else None
        yield pd.DataFrame(made, columns=columns)


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
            yield line | {"status": "failed", "error": row.problem}
            continue
        summary.add(said)
        line |= {"status": "ok"} | verdict_columns(said) | overlap_columns(recited, said)
        yield line | (reasoning_columns(thought) if thought else {})


def _fields(row: Row) -> dict[str, Any]:
    """A row's own fields: those named like ours get another name, what is no cell becomes JSON."""
    fields = {}
    for name, value in row.fields.items():
        simple = isinstance(value, str | int | float | bool | None)
        own = f"input_{name}" if name in _OWN else name
        fields[own] = value if simple else json.dumps(value, ensure_ascii=False)
    return fields
