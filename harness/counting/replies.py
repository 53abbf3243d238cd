"""Verdicts on replies that any other tool collected: a JSON Lines or CSV file in, a CSV with verdicts out."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.counting.samples import (
    SCORE_COLUMNS,
    overlap_columns,
    reasoning_columns,
    verdict_columns,
)
from harness.errors import ScoreError, did_you_mean
from harness.scoring import published, verdicts
from harness.tables import write_csv
from harness.targets import split_reasoning

CHUNK: Final = 2000
#: Keys that tools commonly give the text of a reply, tried in this order.
USUAL: Final = ("reply", "response", "output", "completion", "text", "content", "answer")


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
    """Each row of a .jsonl or .csv file with its text (None where the row cannot be scored; the row is kept).

    Raises
    ------
    ScoreError
        The file cannot be read, is of another kind, or no row has the column.
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
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                fields = json.loads(
                    line
                )  # the standard library's, for it reads lone surrogates too
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
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        table = csv.DictReader(line.replace("\0", "\ufffd") for line in lines)
        chosen = _column(list(table.fieldnames or ()), column, f"{path}:1")
        for fields in table:
            surplus = fields.pop(None, None)
            yield (
                (Row(dict(fields), "the row has more cells than the head"), None)
                if surplus
                else _text(dict(fields), chosen)
            )


def score_file(path: Path, out: Path, column: str | None = None) -> Summary:
    """Score every row of ``path`` into the CSV ``out``: its own fields, then the verdict's and the overlap's columns.

    Rows stream through in chunks; a row that cannot be scored has status ``failed`` and says why.
    """
    if out.resolve() == path.resolve():
        raise ScoreError(
            "the output would overwrite the input", where=str(out), next="choose another --out"
        )
    references = published()
    stances: Counter[str] = Counter()
    names: Counter[str] = Counter()
    failed = 0
    first: list[str] = []

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal failed
        source = rows(path, column)
        while batch := list(islice(source, CHUNK)):
            parts = [
                split_reasoning(text) if text is not None else (None, None) for _, text in batch
            ]
            found = zip(
                batch,
                verdicts(a for _, a in parts),
                verdicts(t for t, _ in parts),
                references.stream(a for _, a in parts),
                parts,
                strict=True,
            )
            made = []
            for (row, text), said, thought, recited, (reasoning, _) in found:
                line = {
                    f"input_{k}" if k in _OWN else k: v
                    if isinstance(v, str | int | float | bool | None)
                    else json.dumps(v, ensure_ascii=False)
                    for k, v in row.fields.items()
                }
                if text is None:
                    failed += 1
                    made.append(line | {"status": "failed", "error": row.problem})
                    continue
                stances[said.stance] += 1
                names.update(said.names)
                line |= {"status": "ok"} | verdict_columns(said) | overlap_columns(recited)
                if reasoning:
                    line |= reasoning_columns(thought)
                made.append(line)
            if not first:
                first.extend(
                    [k for k in dict.fromkeys(k for m in made for k in m) if k not in _OWN]
                    + list(_OWN)
                )
            for line in made:  # keys that the first rows did not have are kept too
                rest = {k: line[k] for k in line if k not in first}
                line["rest_json"] = json.dumps(rest, ensure_ascii=False) if rest else None
            yield pd.DataFrame(made, columns=first)

    written = write_csv(frames(), out)
    if not written:
        raise ScoreError("the file holds no rows", where=str(path), next="check the file")
    return Summary(written, failed, stances, names)
