"""From a figure back to its transcripts: samples that fit conditions, out of `samples.csv`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.campaign import load_book
from harness.counting import Scoring
from harness.counting.counted import ALL, OTHER, RARE, RECITED_FROM
from harness.counting.samples import SAMPLE_COLUMNS, overlap_columns, verdict_columns
from harness.errors import RunError, did_you_mean
from harness.journal import Run
from harness.report.rows import short_arm
from harness.scoring.found import Evidence

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
#: Columns that hold identities of the book.
_IDENTITIES: Final = frozenset((*_LISTS - {"recited_entities"}, "recited_identity"))
#: What is told of a verdict, besides its stance.
_TOLD: Final = (
    *("names", "makers", "base", "denied", "hedged", "version"),
    *("recited_identity", "recited_reference", "longest_run_tokens"),
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


def judged_sample(row: dict[str, Any]) -> dict[str, str | None]:
    """The verdict on a stored sample, and its reply with the evidence marked.

    Each span stands in brackets with what it supports and how surely, such as
    ``I am [Nex = name:nex 0.98]``.
    """
    (found,) = Scoring(None).score([row])
    if found.verdict is None:
        return {"verdict": f"none: a reply that is {row['status']} is not scored"}
    said = verdict_columns(found.verdict)
    if found.overlap:
        said |= overlap_columns(found.overlap, found.verdict)
    told = [f"{name} {said[name]}" for name in _TOLD if said.get(name)]
    return {
        "verdict": "; ".join([found.verdict.stance, *told]),
        "evidence": marked(row["text"] or "", found.verdict.evidence),
    }


def marked(text: str, evidence: Sequence[Evidence]) -> str:
    """A text with spans of evidence in brackets; of spans that overlap the one that begins first.

    >>> marked("I am Nex.", [Evidence("name", "nex", 5, 8, 0.98)])
    'I am [Nex = name:nex 0.98].'
    """
    roles: dict[tuple[int, int], list[str]] = {}
    for e in sorted(evidence, key=lambda e: (e.start, -e.end)):
        roles.setdefault((e.start, e.end), []).append(
            f"{_role(e)}:{e.identity} {e.probability:.2f}"
        )
    parts, at = [], 0
    for (start, end), said in roles.items():
        if start >= at:
            parts += [text[at:start], f"[{text[start:end]} = {', '.join(said)}]"]
            at = end
    return "".join([*parts, text[at:]])


def _role(e: Evidence) -> str:
    return e.role.removeprefix("self_")


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
    conditions = [_as_stored(path, c) for c in conditions]
    pooled = {c.column for c in conditions if c.value == OTHER and c.column in _LISTS}
    rare = {column: _rare(path, column) for column in pooled}
    for frame in _frames(path, None):
        keep = pd.Series(True, index=frame.index)
        for c in conditions:
            keep &= _fits(frame, c, rare.get(c.column, set()))
        rows: list[dict[str, Any]] = frame[keep].to_dict("records")  # type: ignore[assignment]
        yield from rows


def _as_stored(path: Path, c: Condition) -> Condition:
    """A condition whose value is as the table has it: names as they are printed become ids.

    Raises
    ------
    RunError
        No row has the value, and it is no identity of the book, of which there may be none.
    """
    if c.how == "~" or not c.value or (c.column in _LISTS and c.value == OTHER):
        return c
    known = _values(path, c.column)
    wanted = c.value.strip('"').casefold()
    if c.column in _IDENTITIES:
        book = load_book()
        named = book.spelt("maker" if c.column.endswith("makers") else "name")
        if c.value not in known:
            found = f"other:{wanted}" if f"other:{wanted}" in known else named.get(wanted, c.value)
            c = c._replace(value=found)
        if c.value in named.values():
            return c
    short = {short_arm(value): value for value in known} if c.column == "arm" else {}
    if c.value in known or c.value in short:
        return c
    spelt = {value.casefold(): value for value in (*known, *short)}
    if wanted in spelt:
        return c._replace(value=spelt[wanted])
    shown = [value for value in (*known, *short) if 0 < len(value) <= 60]
    raise RunError(
        f"no sample has '{c.value}' in {c.column}"
        + (f": {did_you_mean(c.value, shown)}" if shown else ""),
        where=str(path),
        next=f"take a value of that column, or look for a part of it: --where {c.column}~TEXT",
    )


def _values(path: Path, column: str) -> set[str]:
    """All values of a column; of lists, their members."""
    found: set[str] = set()
    for frame in _frames(path, [column]):
        found.update(frame[column].unique())
    return {one for cell in found for one in cell.split("|")} if column in _LISTS else found


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
