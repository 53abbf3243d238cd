"""A run's samples, ready to be counted: who said what, by question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import stats
from harness.campaign import Campaign, load_backstories, load_probe

ALL: Final = "all"
RECITED_FROM: Final = 0.5
RARE: Final = 3
OTHER: Final = "other:(rare)"
STANCES: Final = ("claims", "denies", "refuses", "none")
STATUSES: Final = ("failed", "truncated", "filtered", "empty", "unsupported", "misrouted")
#: Measures that every probe counts, and the columns that hold their identities.
NAMED: Final = {"name": "names", "maker": "makers", "base": "base", "denied": "denied"}
#: Counts by question that are remembered with what was computed of them: many are the same, as
#: where nobody gives a name.
REMEMBERED: Final = 20_000
Places = npt.NDArray[np.intp]


class Cells:
    """One column of sets of identities, each different set held once."""

    def __init__(self, values: pd.Series[Any]) -> None:
        self.codes, texts = pd.factorize(values.astype(object).fillna(""))
        sets = [frozenset(str(text).split("|")) - {""} for text in texts]
        counts = np.bincount(self.codes, minlength=len(sets)).tolist()
        seen: Counter[str] = Counter()
        for held, count in zip(sets, counts, strict=True):
            seen.update({name: count for name in held if name.startswith("other:")})
        rare = {name for name, samples in seen.items() if samples < RARE}
        if rare:
            sets = [frozenset(OTHER if name in rare else name for name in held) for held in sets]
        self.sets = sets

    @property
    def identities(self) -> set[str]:
        return set().union(*self.sets)

    def holds(self, identity: str) -> npt.NDArray[np.bool_]:
        """For each sample whether it holds an identity."""
        return np.array([identity in held for held in self.sets] or [False])[self.codes]


class Measure(NamedTuple):
    """What is counted: the identities in one column, and the probes that it is counted in."""

    name: str
    cells: Cells
    identities: list[str]
    applies: Callable[[str], bool]


class Key(NamedTuple):
    """Questions, hits and sizes, as bytes."""

    questions: bytes
    hits: bytes
    sizes: bytes

    @property
    def counts(self) -> ByQuestion:
        return ByQuestion(*(np.frombuffer(part, np.intp) for part in self))


class ByQuestion(NamedTuple):
    """Hits and scored samples of each question, in the order of ``questions``."""

    questions: Places
    hits: Places
    sizes: Places

    @property
    def key(self) -> Key:
        """The same as bytes: what is computed of counts is remembered by it."""
        return Key(self.questions.tobytes(), self.hits.tobytes(), self.sizes.tobytes())

    @property
    def estimate(self) -> stats.Clustered | None:
        """The rate and its interval by question; None where nothing was scored."""
        if not len(self.sizes):
            return None
        return _clustered(self.hits.tobytes(), self.sizes.tobytes())


@lru_cache(maxsize=REMEMBERED)
def _clustered(hits: bytes, sizes: bytes) -> stats.Clustered:
    return stats.clustered(np.frombuffer(hits, np.intp), np.frombuffer(sizes, np.intp))


class Inside(NamedTuple):
    """Scored samples by their places, and the questions that they answer."""

    places: Places
    numbers: Places
    questions: Places
    sizes: Places

    def by_question(self, held: npt.NDArray[np.bool_]) -> ByQuestion:
        """Counts by question of those that are ``held``, which is by sample of the run."""
        most = 1 + int(self.questions.max(initial=-1))
        hits = np.bincount(self.numbers[held[self.places]], minlength=most)
        return ByQuestion(self.questions, hits[self.questions], self.sizes)


@dataclass
class Counted:
    """A run's samples, ready to be counted."""

    samples: pd.DataFrame
    campaign: Campaign
    measures: list[Measure]
    questions: Places
    scored: npt.NDArray[np.bool_]

    @cached_property
    def language_of(self) -> Places:
        """The number of each question's language."""
        numbers, _ = pd.factorize(self.samples["language"])
        of = np.zeros(int(self.questions.max(initial=-1)) + 1, dtype=np.intp)
        of[self.questions] = numbers
        return of

    @cached_property
    def held(self) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
        """By measure and identity, whether each sample holds it."""
        return {
            (measure.name, identity): measure.cells.holds(identity)
            for measure in self.measures
            for identity in measure.identities
        }

    def groups(self) -> Iterator[tuple[str, str, str, Places]]:
        """Target, arm, probe and the places of its samples, in the campaign's order."""
        targets = {t.name: place for place, t in enumerate(self.campaign.targets)}
        arms = {label: place for place, label in enumerate(self.campaign.arms)}
        named = {name: place for place, name in enumerate(self.campaign.probes)}
        by = self.samples.groupby(["target", "arm", "probe"], sort=False, observed=True)
        found: Any = by.indices
        in_order = sorted(found, key=lambda key: (targets[key[0]], arms[key[1]], named[key[2]]))
        for target, arm, probe in in_order:
            yield target, arm, probe, np.sort(found[target, arm, probe])

    def at(self, places: Places) -> Inside:
        """The scored samples among ``places``, ready to be counted by question."""
        scored = places[self.scored[places]]
        numbers = self.questions[scored]
        sizes = np.bincount(numbers)
        asked = np.flatnonzero(sizes)
        return Inside(scored, numbers, asked, sizes[asked])

    def pairs(self, probe: str) -> Iterator[tuple[Measure, str]]:
        """Every measure that a probe counts, with each identity."""
        for measure in self.measures:
            if measure.applies(probe):
                for identity in measure.identities:
                    yield measure, identity


def counted(samples: pd.DataFrame, campaign: Campaign) -> Counted:
    """Make a run's samples ready to be counted.

    An identity that is claimed anywhere in the run, or that a target is presented as, is counted
    everywhere, so that a zero is seen as a zero.
    """
    always = {"name": _presented(campaign)}
    measures = []
    for measure, column in NAMED.items():
        cells = Cells(samples[column])
        identities = sorted(cells.identities | always.get(measure, set()))
        measures.append(Measure(measure, cells, identities, lambda probe: True))
    measures.append(_recital(samples, campaign))
    measures.append(Measure("stance", Cells(samples["stance"]), list(STANCES), lambda probe: True))
    languages, _ = pd.factorize(samples["language"])
    ids, known = pd.factorize(samples["question"])
    questions, _ = pd.factorize(languages.astype(np.int64) * len(known) + ids)
    return Counted(samples, campaign, measures, questions, (samples["status"] == "ok").to_numpy())


def _presented(campaign: Campaign) -> set[str]:
    """The identities that the campaign itself speaks of."""
    about = {named.identity for named in (campaign.claim, campaign.stop) if named}
    return about | {t.identity for t in campaign.targets if t.identity}


def _recital(samples: pd.DataFrame, campaign: Campaign) -> Measure:
    """Who is recited, at least half of a reference, and not denied, where a probe asks for that."""
    backstory = {probe for probe in campaign.probes if load_probe(probe).measures == "backstory"}
    share = samples["recited_share_of_reference"].fillna(0).astype(float)
    recited = (share >= RECITED_FROM) & ~samples["recital_denied"].isin([True])
    cells = Cells(samples["recited_identity"].astype(object).where(recited))
    identities = sorted(cells.identities | {b.identity for b in load_backstories()})
    return Measure("recital", cells, identities, lambda probe: probe in backstory)
