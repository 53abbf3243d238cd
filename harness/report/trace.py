"""From a figure back to its transcripts: samples that fit conditions, out of `samples.csv`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.counting.counted import ALL, OTHER, RARE, RECITED_FROM
from harness.counting.samples import SAMPLE_COLUMNS
from harness.errors import RunError, did_you_mean
from harness.journal import Run

CHUNK: Final = 20_000
#: What a tally calls a measure, and the column of the samples that it counts.
MEASURES: Final = {
    "name": "names",
    "maker": "makers",
    "base": "base",
    "denied": "denied",
    "recital": "recited_identity",
}
_LISTS: Final = frozenset(
    ("names", "makers", "base", "denied", "reasoning_names", "reasoning_makers", "recited_entities")
)
_CONDITION: Final = re.compile(r"^(\w+)(!=|=|~)(.*)$", re.DOTALL)


class Condition(NamedTuple):
    """One condition on a column.

    ``=`` and ``!=`` compare a value (or a member of a list), ``~`` looks for text.
    """

    column: str
    how: str
    value: str
    recital: bool = False


def condition(text: str) -> Condition:
    """A condition as it is typed, such as `arm=bare`, `names!=rio`, `reply~workshop`.

    Measures of the tally serve as columns.

    Raises
    ------
    RunError
        It is no condition, or there is no such column.
    """
    found = _CONDITION.match(text)
    if found is None:
        raise RunError(
            f"'{text}' is no condition",
            next=(
                "write COLUMN=VALUE, COLUMN!=VALUE or COLUMN~TEXT, "
                "such as --where arm=bare --where name=nex"
            ),
        )
    column, how, value = found.groups()
    recital = column == "recital"
    column = MEASURES.get(column, column)
    if column not in SAMPLE_COLUMNS:
        raise RunError(
            f"there is no column '{column}': {did_you_mean(column, [*SAMPLE_COLUMNS, *MEASURES])}",
            where=text,
            next="the columns are in results/README.md",
        )
    return Condition(column, how, value, recital)


def whole_sample(run: Run, key: str) -> dict[str, Any]:
    """Everything that is stored of the sample TRIAL or TRIAL/NUMBER.

    Raises
    ------
    RunError
        The run holds no such sample.
    """
    trial, _, number = key.partition("/")
    if number and not number.isdigit():
        raise RunError(
            f"'{number}' is no sample number",
            where=key,
            next="write TRIAL/NUMBER as in samples.csv, such as 0a1b2c3d/0",
        )
    found = run.journal.sample(trial, int(number or 0)) if trial else None
    if found is None:
        raise RunError(
            f"the run holds no sample '{key}'",
            where=run.name,
            next="take trial and sample from samples.csv",
        )
    notes = run.journal.record.capabilities().get(found["target"], {}).get("notes", ())
    return {**found, "note": "; ".join(notes) or None}


def find_samples(folder: Path, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The samples of a run that fit every condition, in order; '' where the table says NA.

    Raises
    ------
    RunError
        The run has no samples.csv yet.
    """
    path = folder / "samples.csv"
    if not path.is_file():
        raise RunError(
            "the run has no samples.csv yet",
            where=str(folder),
            next=f"truename tally {folder.name}",
        )
    conditions = [condition(text) for text in wanted]
    conditions = [c for c in conditions if not (c.column == "language" and c.value == ALL)]
    pooled = {c.column for c in conditions if c.value == OTHER and c.column in _LISTS}
    rare = {column: _rare(path, column) for column in pooled}
    for frame in _frames(path, None):
        keep = pd.Series(True, index=frame.index)
        for c in conditions:
            keep &= _fits(frame, c, rare.get(c.column, set()))
        rows: list[dict[str, Any]] = frame[keep].to_dict("records")  # type: ignore[assignment]
        yield from rows


def _frames(path: Path, columns: list[str] | None) -> Iterator[pd.DataFrame]:
    with pd.read_csv(
        path, dtype=str, keep_default_na=False, na_values=["NA"], chunksize=CHUNK, usecols=columns
    ) as reader:
        for frame in reader:
            yield frame.fillna("")


def _rare(path: Path, column: str) -> set[str]:
    """Unlisted names that the tally pools, as few samples give them."""
    seen: Counter[str] = Counter()
    for frame in _frames(path, [column]):
        for cell in frame[column]:
            seen.update(identity for identity in cell.split("|") if identity.startswith("other:"))
    return {identity for identity, samples in seen.items() if samples < RARE}


def _fits(frame: pd.DataFrame, c: Condition, rare: set[str]) -> pd.Series[bool]:
    cells = frame[c.column]
    if c.how == "~":
        return cells.str.contains(c.value, case=False, regex=False)
    if c.column in _LISTS:
        held = _in_list(cells, c.value, rare)
    else:
        held = cells == c.value
        if c.column == "arm":  # the short form as well
            held |= cells.str.replace(r":(?:.*/)?([^/]+)\.j2$", r":\1", regex=True) == c.value
        if c.recital:
            share = pd.to_numeric(frame["recited_share_of_reference"], errors="coerce")
            held &= share.fillna(0) >= RECITED_FROM
    return held if c.how == "=" else ~held


def _in_list(cells: pd.Series[str], value: str, rare: set[str]) -> pd.Series[bool]:
    """Whether a list in a cell has a value, or one of the rare ones; without a value, is empty."""
    if not value:
        return cells.map(lambda cell: not cell)
    wanted = rare if value == OTHER else {value}
    return cells.map(lambda cell: not wanted.isdisjoint(cell.split("|")))
