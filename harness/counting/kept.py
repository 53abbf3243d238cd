"""The tables of a run as they were counted last, read again while they rest on the same.

`tally`, `report` and `bundle` count one run one after the other. What was counted lies in the run's
folder (`COUNTED`) under a digest of everything that decides it: the rows' checksums, the campaign
and what the run knows of its targets, people's labels, the error rates, and all of this program's
code and data, with the versions of what it counts with. One byte that differs there, or in a
table's file, and the run is counted again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pandas as pd

from harness.campaign import Campaign, load_probe
from harness.counting.confusion import Confusion
from harness.counting.dependence import Dependence, Finding
from harness.counting.drawn import PLAN
from harness.counting.labels import LABELS
from harness.counting.software import made_with
from harness.errors import RunError
from harness.journal import Journal
from harness.scoring import overlap_scorer, verdict_scorer
from harness.tables import write_bytes

#: The file in a run's folder. It may be deleted at any time.
COUNTED: Final = "counted.json"


class Column(msgspec.Struct):
    """A column of a frame; what is missing is None."""

    name: str
    dtype: str
    values: list[Any]


class Last(msgspec.Struct):
    """What was counted last.

    ``of`` what; the frames; what repeats show by target and arm; and the digests of the files of
    all tables.
    """

    of: str
    frames: dict[str, list[Column]]
    repeats: list[tuple[str, str, Finding]]
    files: dict[str, str]


class Before(NamedTuple):
    """What was counted before, as it was."""

    frames: dict[str, pd.DataFrame]
    dependence: Dependence


def state(journal: Journal, campaign: Campaign, folder: Path, errors: Confusion) -> str | None:
    """The digest of all that the tables of a run rest on; None where its rows have no checksums."""
    rows = journal.state()
    if rows is None:
        return None
    said = hashlib.sha256()
    for part in (
        rows,
        campaign.model_dump_json(),
        *(load_probe(probe).model_dump_json() for probe in campaign.probes),
        repr(journal.record.capabilities()),
        repr(errors),
        *(_of_file(folder / name) for name in (LABELS, PLAN)),
        verdict_scorer(),
        overlap_scorer(),
        repr(sorted(made_with().items())),
    ):
        said.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
    return said.hexdigest()


def read(folder: Path, of: str | None, tables: Iterable[str]) -> Before | None:
    """What is kept in a run's folder, if it is ``of`` this and the tables' files are whole."""
    if of is None:
        return None
    try:
        last = msgspec.json.decode((folder / COUNTED).read_bytes(), type=Last)
        if last.of != of or last.files != _files(folder, tables):
            return None
        frames = {name: _frame(columns) for name, columns in last.frames.items()}
        return Before(frames, Dependence({(t, arm): found for t, arm, found in last.repeats}))
    except (OSError, msgspec.MsgspecError, UnicodeError, ValueError, TypeError):
        return None  # there is none, or not as it was written


def keep(
    folder: Path,
    of: str,
    frames: Mapping[str, pd.DataFrame],
    dependence: Dependence,
    tables: Iterable[str],
) -> None:
    """Keep what was counted. Where the disk refuses, that loses time and no result."""
    try:
        kept = {name: list(_columns(frame)) for name, frame in frames.items()}
        repeats = [(*about, found) for about, found in dependence.findings.items()]
        last = Last(of, kept, repeats, _files(folder, tables))
        write_bytes(msgspec.json.encode(last), folder / COUNTED)
    except (OSError, RunError):
        return


def _columns(frame: pd.DataFrame) -> Iterator[Column]:
    for name, column in frame.items():
        values = column.astype(object)
        yield Column(str(name), str(column.dtype), values.where(column.notna(), None).tolist())


def _frame(columns: Iterable[Column]) -> pd.DataFrame:
    return pd.DataFrame({c.name: pd.Series(c.values, dtype=c.dtype) for c in columns})


def _files(folder: Path, tables: Iterable[str]) -> dict[str, str]:
    return {table: _of_file(folder / f"{table}.csv") for table in tables}


def _of_file(path: Path) -> str:
    """The digest of a file; nothing where there is none."""
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
