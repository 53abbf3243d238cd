"""A run's journal to its tables: samples, passages, rates, comparisons and recitals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from harness.campaign import Campaign
from harness.counting import kept
from harness.counting.between import Between
from harness.counting.compact import Columns
from harness.counting.confusion import Confusion, confusion
from harness.counting.counted import Counted, counted
from harness.counting.dependence import Dependence, Repeats
from harness.counting.pairs import comparisons_frame
from harness.counting.rates import tally_frame
from harness.counting.readings import Gathered, Read, Readings
from harness.counting.samples import overlap_frame, sample_frame
from harness.counting.scored import CHUNK, Scored, Scoring
from harness.errors import RunError
from harness.journal import Journal
from harness.tables import spool, write_table

#: The tables of a run, by the names of their files.
TABLES: Final = ("tally", "comparisons", "recitals", "samples", "overlap")


#: Of what was counted to the tables of rates, comparisons and recitals.
_FramesOf = Callable[[Counted, Dependence, Readings | None], dict[str, pd.DataFrame]]


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
    database, and what was counted before from ``folder`` (`kept`), where ``scoring`` keeps things.
    What people read of the run (`labels.jsonl` in ``folder``) is in the columns ``checked_...`` of
    the tally.

    Raises
    ------
    RunError
        The journal holds no sample of the run, or the tables cannot be written.
    ScoreError
        The run's labels cannot be read.
    """
    errors = errors or confusion()
    scoring = scoring or Scoring(journal.engine)
    # who scores anew trusts nothing that was kept
    of = kept.state(journal, campaign, folder, errors) if scoring.keeps else None
    before = None if formats else kept.read(folder, of, TABLES)
    seen = _Seen(folder, look, before.dependence if before else None)
    batches = _batches(journal, campaign, scoring)
    if before:
        for batch, frame in batches:
            seen.add(batch, frame)
        known = before.frames
        return seen.tables(campaign, lambda run, dependence, readings: known)
    between, passages = Between(campaign), spool(folder / "overlap", formats)

    def frames() -> Iterator[pd.DataFrame]:
        for batch, frame in batches:
            seen.add(batch, frame)
            passages.add(overlap_frame(batch, campaign))
            between.add(batch)
            yield frame

    with passages:
        if not write_table(frames(), folder / "samples", formats):
            raise _no_samples(journal)

    def count(
        run: Counted, dependence: Dependence, readings: Readings | None
    ) -> dict[str, pd.DataFrame]:
        made = {
            "tally": tally_frame(run, errors, readings, dependence),
            "comparisons": comparisons_frame(run, dependence),
            "recitals": between.frame(),
        }
        for name, frame in made.items():
            write_table(frame, folder / name, formats)
        if of and of == kept.state(journal, campaign, folder, errors):  # none sampled meanwhile
            kept.keep(folder, of, made, dependence, TABLES)
        return made

    return seen.tables(campaign, count)


class _Seen:
    """What of a run's samples is looked at whether its tables are counted or were kept."""

    def __init__(
        self, folder: Path, look: Callable[[Scored], None], dependence: Dependence | None
    ) -> None:
        self.columns, self.gathered, self.repeats = Columns(), Gathered(folder), Repeats()
        self.look, self.dependence = look, dependence

    def add(self, batch: Sequence[Scored], frame: pd.DataFrame) -> None:
        self.columns.add(frame)
        self.gathered.add(frame)
        if self.dependence is None:
            self.repeats.add(batch)
        for one in batch:
            self.look(one)

    def tables(self, campaign: Campaign, frames_of: _FramesOf) -> Tables:
        """All of them, once every sample was shown."""
        run = counted(self.columns.frame(), campaign)
        readings, dependence = self.gathered.readings(run), self.dependence or self.repeats.found()
        frames = frames_of(run, dependence, readings)
        read = readings.agreement() if readings else None
        return Tables(run, **frames, dependence=dependence, read=read)


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
