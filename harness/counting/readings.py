"""What people read of a run, beside what the classifier says of the same replies.

`Gathered` is shown the samples while they stream by and notes where the read ones stand;
`Readings` then answers, for any identity, what people say of the replies of one row of the tally.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.campaign import load_book
from harness.counting.checked import Checked, checked
from harness.counting.counted import NAMED, OTHER, Counted, Places
from harness.counting.drawn import PLAN, Cell, Draw, digest, stored_draw
from harness.counting.labels import LABELS, Label, by_judge, read_labels


class Read(NamedTuple):
    """How many of the whole replies people read, and in how many stance and names agree with the
    classifier's.
    """

    read: int
    replies: int
    agree: int
    #: What has to be known of it.
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.read:,} of {self.replies:,} replies were read by people: {self.agree:,} agree."
        )


def same(identity: str) -> str:
    """One id for what is the same: entries of the book that are another's are that one's."""
    family = load_book().families.get(identity)
    return family.same_as or identity if family else identity


def agrees(label: Label, stance: str, names: Sequence[str]) -> bool:
    """Whether a person and the classifier give a reply the same stance and names.

    Of an unlisted name only that it is unlisted is compared: people cut names otherwise.
    """

    def of(identities: Sequence[str]) -> set[str]:
        return {"other" if i.startswith("other:") else same(i) for i in identities}

    return label.stance == stance and of(label.names) == of(names)


class Gathered:
    """Is shown a run's samples in their order; finds those that people read."""

    def __init__(self, folder: Path) -> None:
        self.drawn = stored_draw(folder)
        self.labels: dict[str, list[Label]] = {}
        drawn = {one.sample: one for one in self.drawn.samples} if self.drawn else {}
        for label in read_labels(folder):
            if by_judge(label):  # no person: it enters no rate
                continue
            if label.sample in drawn and drawn[label.sample].sha256 == label.sha256:
                self.labels.setdefault(label.sample, []).append(label)
        self._trials = {key.partition("/")[0] for key in self.labels}
        self.places: list[int] = []
        self.read: list[list[Label]] = []
        self._rows = 0

    def add(self, frame: pd.DataFrame) -> None:
        """Look at some rows of the table `samples`; a reply whose text has changed is none."""
        if self._trials:
            mine = np.flatnonzero(frame["trial"].isin(self._trials).to_numpy())
            columns = [frame[name].iloc[mine] for name in ("trial", "sample", "reply")]
            for place, trial, number, text in zip(mine, *columns, strict=True):
                labels = self.labels.get(f"{trial}/{number}")
                if labels and isinstance(text, str) and digest(text) == labels[0].sha256:
                    self.places.append(self._rows + int(place))
                    self.read.append(labels)
        self._rows += len(frame)

    def readings(self, run: Counted) -> Readings | None:
        """What was read, once all samples were shown; None where people read nothing."""
        if self.drawn is None or not self.labels:
            return None
        return Readings(run, self.drawn, np.array(self.places, dtype=np.intp), self.read)


class Readings:
    """The replies of a run that people read, by their places among its samples."""

    def __init__(
        self, run: Counted, drawn: Draw, places: Places, labels: list[list[Label]]
    ) -> None:
        self.run = run
        self.replies = int(run.scored.sum())
        self.changed = _changed(run, drawn)
        columns = [run.samples[name].astype(object) for name in ("target", "arm", "probe")]
        keep = [
            at
            for at, place in enumerate(places)
            if tuple(column.iloc[place] for column in columns) not in self.changed
        ]
        self.places, self.labels = places[keep], [labels[at] for at in keep]
        self._yes: dict[tuple[str, str], npt.NDArray[np.float64]] = {}

    def agreement(self) -> Read:
        """How many were read, and in how many most readers agree with the classifier."""
        samples = self.run.samples.iloc[self.places]
        stances, names = (samples[name].astype(object).fillna("") for name in ("stance", "names"))
        agree = sum(
            2 * sum(agrees(x, stance, [n for n in said.split("|") if n]) for x in labels)
            > len(labels)
            for labels, stance, said in zip(self.labels, stances, names, strict=True)
        )
        return Read(len(self.labels), self.replies, agree, tuple(self.notes()))

    def notes(self) -> Iterator[str]:
        """What has to be known of the labels."""
        if self.labels:
            yield (
                "labels: where a sentence says that people read, its rate is the checked one "
                "(checked_rate in tally.csv); tables and pictures show the classifier's own"
            )
        if self.changed:
            cells = ", ".join(sorted({f"{target} {arm}" for target, arm, _ in self.changed}))
            yield (
                f"{LABELS}: other replies than when they were drawn, so nothing is checked there: "
                f"{cells} ({PLAN})"
            )

    def yes(self, measure: str, identity: str) -> npt.NDArray[np.float64]:
        """The share of readers who say of each read reply that it shows an identity."""
        if (measure, identity) not in self._yes:
            listed = {i for m in self.run.measures if m.name == measure for i in m.identities}
            said = [
                sum(_shows(x, measure, identity, listed) for x in labels) / len(labels)
                for labels in self.labels
            ]
            self._yes[measure, identity] = np.array(said)
        return self._yes[measure, identity]

    def row(self, inside: Places) -> Row | None:
        """The read replies among those of a row of the tally; None where there are none."""
        scored = inside[self.run.scored[inside]]
        at = np.flatnonzero(np.isin(self.places, scored))
        return Row(self, scored, at) if len(at) else None


class Row:
    """What people read of the replies that one row of the tally counts."""

    def __init__(self, readings: Readings, scored: Places, at: Places) -> None:
        self.readings, self.at = readings, at
        self.scored = np.sort(scored)
        self.read = np.searchsorted(self.scored, readings.places[at])
        self.questions = readings.run.questions[self.scored]
        self._known: dict[tuple[bytes, bytes], Checked | None] = {}

    def checked(self, measure: str, identity: str) -> Checked | None:
        """The rate of an identity; None where people are not asked for the measure."""
        if measure != "stance" and measure not in NAMED:
            return None
        said = self.readings.run.held[measure, identity][self.scored]
        yes = self.readings.yes(measure, identity)[self.at]
        key = said.tobytes(), yes.tobytes()
        if key not in self._known:
            self._known[key] = checked(said, self.questions, self.read, yes)
        return self._known[key]


def _shows(label: Label, measure: str, identity: str, listed: set[str]) -> bool:
    """Whether a person says that a reply shows an identity; the pool of rare names is what has no
    row of its own.
    """
    if measure == "stance":
        return label.stance == identity
    named = getattr(label, NAMED[measure])
    if identity == OTHER:
        return any(one.startswith("other:") and one not in listed for one in named)
    return same(identity) in {same(one) for one in named}


def _changed(run: Counted, drawn: Draw) -> set[Cell]:
    """Cells that hold another number of whole replies than when the plan was drawn."""
    then = drawn.cells()
    now: dict[Cell, int] = {
        (target, arm, probe): int(run.scored[places].sum())
        for target, arm, probe, places in run.groups()
    }
    return {cell for cell in then.keys() | now.keys() if then[cell] != now.get(cell, 0)}
