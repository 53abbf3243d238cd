"""A run's journal to its tables: samples, passages, rates, comparisons and recitals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from harness.campaign import Campaign
from harness.counting.between import Between
from harness.counting.compact import Columns
from harness.counting.confusion import Confusion, confusion
from harness.counting.counted import Counted, counted
from harness.counting.dependence import Dependence, Repeats
from harness.counting.pairs import comparisons_frame
from harness.counting.rates import tally_frame
from harness.counting.readings import Gathered, Read
from harness.counting.samples import overlap_frame, sample_frame
from harness.counting.scored import CHUNK, Scored, Scoring
from harness.errors import RunError
from harness.journal import Journal
from harness.tables import spool, write_table

#: The tables of a run, by the names of their files.
TABLES: Final = ("tally", "comparisons", "recitals", "samples", "overlap")


class Tables(NamedTuple):
    """The tables of a run; of the samples the columns that are counted.

    ``dependence`` is what its repeats show, ``read`` what people read of it.
    """

    run: Counted
    tally: pd.DataFrame
    comparisons: pd.DataFrame
    recitals: pd.DataFrame
    dependence: Dependence
    read: Read | None = None

    @property
    def samples(self) -> pd.DataFrame:
        return self.run.samples


def tally(
    journal: Journal,
    campaign: Campaign,
    folder: Path,
    formats: Sequence[str] = (),
    errors: Confusion | None = None,
    look: Callable[[Scored], None] = lambda scored: None,
    scoring: Scoring | None = None,
) -> Tables:
    """Score what the journal holds; write the tables `TABLES` into ``folder``.

    Samples are streamed, and shown to ``look``. What was scored before is read from the journal's
    database, unless ``scoring`` says otherwise. What people read of the run (`labels.jsonl` in
    ``folder``) is in the columns ``checked_...`` of the tally.

    Raises
    ------
    RunError
        The journal holds no sample of the run, or the tables cannot be written.
    ScoreError
        The run's labels cannot be read.
    """
    columns, between, gathered = Columns(), Between(campaign), Gathered(folder)
    repeats = Repeats()
    passages = spool(folder / "overlap", formats)

    def frames() -> Iterator[pd.DataFrame]:
        for batch, frame in _batches(journal, campaign, scoring or Scoring(journal.engine)):
            columns.add(frame)
            gathered.add(frame)
            passages.add(overlap_frame(batch, campaign))
            between.add(batch)
            repeats.add(batch)
            for one in batch:
                look(one)
            yield frame

    with passages:
        if not write_table(frames(), folder / "samples", formats):
            raise _no_samples(journal)
    run = counted(columns.frame(), campaign)
    readings = gathered.readings(run)
    dependence = repeats.found()
    rates = tally_frame(run, errors or confusion(), readings, dependence)
    read = readings.agreement() if readings else None
    tables = Tables(
        run, rates, comparisons_frame(run, dependence), between.frame(), dependence, read
    )
    write_table(tables.tally, folder / "tally", formats)
    write_table(tables.comparisons, folder / "comparisons", formats)
    write_table(tables.recitals, folder / "recitals", formats)
    return tables


def counted_columns(journal: Journal, campaign: Campaign) -> tuple[pd.DataFrame, Dependence]:
    """The columns that are counted of a run's samples, and what its repeats show.

    No table is made or written.

    Raises
    ------
    RunError
        The journal holds no sample of the run.
    """
    columns, repeats = Columns(), Repeats()
    for batch, frame in _batches(journal, campaign, Scoring(journal.engine)):
        columns.add(frame)
        repeats.add(batch)
    if not len(columns):
        raise _no_samples(journal)
    return columns.frame(), repeats.found()


def _batches(
    journal: Journal, campaign: Campaign, scoring: Scoring
) -> Iterator[tuple[list[Scored], pd.DataFrame]]:
    """The samples, some at a time, with their rows of the table."""
    notes = _notes(journal)
    scored = scoring.score(journal.rows(), journal.held())
    while batch := list(islice(scored, CHUNK)):
        yield batch, sample_frame(batch, campaign, notes)


def _no_samples(journal: Journal) -> RunError:
    return RunError(
        "the run holds no samples yet", where=journal.run, next=f"truename run {journal.run}"
    )


def _notes(journal: Journal) -> dict[str, str]:
    """By target what everybody has to know of it."""
    known = journal.record.capabilities()
    notes = {target: "; ".join(can.get("notes", ())) for target, can in known.items()}
    return {target: note for target, note in notes.items() if note}
