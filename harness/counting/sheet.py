"""What a person who reads replies is shown: the drawn ones, in their order, without any verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from harness.counting.drawn import Draw, text_of
from harness.counting.labels import read_labels
from harness.journal import Run


class Shown(NamedTuple):
    """A reply as it is shown: its key and digest, the question, the arm, the text."""

    sample: str
    sha256: str
    question: str
    arm: str
    text: str


def to_read(run: Run, drawn: Draw, labeller: str | None = None) -> Iterator[Shown]:
    """The drawn replies in their order; with a labeller, those that this one has not answered."""
    mine = {x.sample: x.sha256 for x in read_labels(run.folder) if x.labeller == labeller}
    for one in drawn.samples:
        if mine.get(one.sample) != one.sha256:
            row = text_of(run, one.sample)
            question = msgspec.json.decode(row["messages"])[-1]["content"]
            yield Shown(one.sample, one.sha256, question, row["arm"], row["text"])
