"""The stored samples with what was found in each; every text is scored once.

What a scorer found lies in the journal's database (`harness.journal.Scores`), so that whoever meets
a text again, in another command, run or audit, reads it. A process that was killed goes on where it
was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from sqlalchemy import Engine

from harness.campaign import load_probe
from harness.journal import Scores, text_key
from harness.progress import watched
from harness.scoring import (
    Overlap,
    Verdict,
    overlap_scorer,
    published,
    verdict_scorer,
)

#: Samples that are looked at together.
CHUNK: Final = 2000
T = TypeVar("T")


class Scored(NamedTuple):
    """One row of the journal with what was found in it, or None where its status forbids that."""

    row: dict[str, Any]
    verdict: Verdict | None
    reasoning: Verdict | None
    overlap: Overlap | None


class Onlooker(Protocol):
    """Whoever wants to know how far scoring is."""

    def before(self, text: str) -> None:
        """A text is about to be scored; those before it are, but for some."""

    def after(self) -> None:
        """All texts of these samples are scored."""


class _Kept(Generic[T]):
    """One kind of finding: read where it was kept, else made and kept."""

    def __init__(
        self,
        kept: Scores | None,
        kind: type[T],
        find: Callable[[Iterable[str]], Iterator[T]],
    ) -> None:
        self.kept, self.find = kept, find
        self._read = msgspec.json.Decoder(kind).decode
        self._write = msgspec.json.Encoder().encode

    def of(self, texts: Iterable[str]) -> Mapping[str, T]:
        """What is found in each of some texts."""
        keys = {text: text_key(text) for text in texts}
        known = self.kept.known(list(keys.values())) if self.kept else {}
        found: dict[str, T] = {}
        for text, key in keys.items():
            with suppress(KeyError, msgspec.DecodeError):  # not known, or not as we wrote it
                found[text] = self._read(known[key])
        missing = [text for text in keys if text not in found]
        if missing:
            made = dict(zip(missing, self.find(missing), strict=True))
            found |= made
            if self.kept:
                self.kept.keep({keys[t]: self._write(m).decode() for t, m in made.items()})
        return found


class Scoring:
    """Scores rows of a journal; ``engine`` is the database that keeps what is found.

    Without one every text is scored anew, and nothing is kept: for whoever trusts no one, and may
    have an ``onlooker`` who ends what takes too long.
    """

    def __init__(self, engine: Engine | None, onlooker: Onlooker | None = None) -> None:
        def told(texts: Iterable[str]) -> Iterable[str]:
            return texts if onlooker is None else _announced(texts, onlooker)

        self._onlooker, self.keeps = onlooker, engine is not None
        said = Scores(engine, verdict_scorer()) if engine else None
        recited = Scores(engine, overlap_scorer()) if engine else None
        self._verdicts = _Kept(said, Verdict, lambda texts: _verdicts(told(texts)))
        self._overlaps = _Kept(recited, Overlap, lambda texts: _overlaps(told(texts)))
        self._measures: dict[str, str] = {}

    def score(self, rows: Iterable[dict[str, Any]], total: int | None = None) -> Iterator[Scored]:
        """Verdict and overlap for each stored sample; only whole replies are scored.

        ``total`` is how many there are, if that is known, for whoever waits.
        """
        return watched(self._each(iter(rows)), "samples read and scored", total)

    def _each(self, rows: Iterator[dict[str, Any]]) -> Iterator[Scored]:
        while batch := list(islice(rows, CHUNK)):
            yield from self._batch(batch)

    def _batch(self, batch: Sequence[dict[str, Any]]) -> Iterator[Scored]:
        whole = [row for row in batch if row["status"] == "ok"]
        replies = {row["text"]: None for row in whole}
        thoughts = {row["reasoning"]: None for row in whole if row["reasoning"]}
        recitals = {row["text"]: None for row in whole if self._asks_for_backstory(row["probe"])}
        said = self._verdicts.of({**replies, **thoughts})
        recited = self._overlaps.of(recitals)
        if self._onlooker is not None:
            self._onlooker.after()
        for row in batch:
            if row["status"] != "ok":
                yield Scored(row, None, None, None)
                continue
            overlap = recited[row["text"]] if self._asks_for_backstory(row["probe"]) else None
            thought = said[row["reasoning"]] if row["reasoning"] else None
            yield Scored(row, said[row["text"]], thought, overlap)

    def _asks_for_backstory(self, probe: str) -> bool:
        if probe not in self._measures:
            self._measures[probe] = load_probe(probe).measures
        return self._measures[probe] == "backstory"


def _announced(texts: Iterable[str], onlooker: Onlooker) -> Iterator[str]:
    for text in texts:
        onlooker.before(text)
        yield text


def _verdicts(texts: Iterable[str]) -> Iterator[Verdict]:
    from harness.scoring import verdicts  # imported where a text is scored that was not before

    return verdicts(texts)


def _overlaps(texts: Iterable[str]) -> Iterator[Overlap]:
    return published().stream(texts)
