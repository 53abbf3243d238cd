"""Rates by target, arm, probe and language, and the arms and targets compared: counts in, tables out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import stats
from harness.campaign import probes
from harness.campaign.campaign import Campaign
from harness.campaign.identities import load_backstories
from harness.errors import RunError

ALL: Final = "all"
RECITED_FROM: Final = 0.5
RARE: Final = 3
OTHER: Final = "other:(rare)"
STANCES: Final = ("claims", "denies", "refuses", "none")
STATUSES: Final = ("failed", "truncated", "empty", "unsupported")
#: Measures that arms and targets are compared in.
COMPARED: Final = ("name", "maker", "recital")
TALLY_COLUMNS: Final = (
    *"target role arm probe language measure identity samples hits rate rate_low rate_high design_effect effective_samples wilson_low wilson_high".split(),
    *"corrected_rate corrected_low corrected_high anytime_low anytime_high questions".split(),
    *STATUSES,
    *"abstained prompt_tokens_median note".split(),
)
COMPARISON_COLUMNS: Final = "comparison probe measure identity target_a arm_a target_b arm_b samples_a hits_a rate_a samples_b hits_b rate_b difference difference_low difference_high cohens_h questions_shared p_value p_holm".split()
Places = npt.NDArray[np.intp]


class Errors(msgspec.Struct):
    """How often the classifier is right on one measure: (right, of) where the claim is there, and where it is not."""

    sensitivity: tuple[int, int]
    specificity: tuple[int, int]


class Confusion(msgspec.Struct):
    """What `truename eval-classifier` measured: by measure, and where it comes from."""

    measures: dict[str, Errors]
    replies: int
    source: str


SHIPPED: Final = Path(__file__).parent.parent / "scoring" / "confusion.json"


def confusion(path: Path | None = None) -> Confusion:
    """The classifier's errors, as measured by `truename eval-classifier`; by default those that ship.

    Raises
    ------
    RunError
        The file is not one that the command wrote.
    """
    path = path or SHIPPED
    try:
        return msgspec.json.decode(path.read_bytes(), type=Confusion)
    except OSError as problem:
        raise RunError(
            f"the confusion rates cannot be read: {problem.strerror}",
            where=str(path),
            next="truename eval-classifier LABELS.jsonl writes such a file",
        ) from None
    except msgspec.DecodeError as problem:
        raise RunError(
            f"these are no confusion rates: {problem}",
            where=str(path),
            next="truename eval-classifier LABELS.jsonl writes such a file",
        ) from None


class Cells:
    """One column of sets of identities, each different set held once."""

    def __init__(self, values: pd.Series[Any]) -> None:
        self.codes, texts = pd.factorize(values.astype(object).fillna(""))
        sets = [frozenset(str(text).split("|")) - {""} for text in texts]
        seen: Counter[str] = Counter()
        for number, count in enumerate(np.bincount(self.codes, minlength=len(sets))):
            seen.update(
                {identity: int(count) for identity in sets[number] if identity.startswith("other:")}
            )
        rare = {identity for identity, samples in seen.items() if samples < RARE}
        self.sets = (
            [
                frozenset(OTHER if identity in rare else identity for identity in held)
                for held in sets
            ]
            if rare
            else sets
        )

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


class ByQuestion(NamedTuple):
    """Hits and scored samples of each question, in the order of ``questions``."""

    questions: Places
    hits: Places
    sizes: Places

    @property
    def estimate(self) -> stats.Clustered | None:
        return stats.clustered(self.hits, self.sizes) if len(self.sizes) else None


@dataclass
class Counted:
    """A run's samples, ready to be counted."""

    samples: pd.DataFrame
    campaign: Campaign
    measures: list[Measure]
    questions: Places
    scored: npt.NDArray[np.bool_]

    def groups(self) -> Iterator[tuple[str, str, str, Places]]:
        """Target, arm, probe and the places of its samples, in the campaign's order."""
        targets = {t.name: place for place, t in enumerate(self.campaign.targets)}
        arms = {label: place for place, label in enumerate(self.campaign.arms)}
        named = {name: place for place, name in enumerate(self.campaign.probes)}
        found: Any = self.samples.groupby(
            ["target", "arm", "probe"], sort=False, observed=True
        ).indices
        for target, arm, probe in sorted(
            found, key=lambda key: (targets[key[0]], arms[key[1]], named[key[2]])
        ):
            yield target, arm, probe, np.sort(found[target, arm, probe])

    def by_question(self, places: Places, held: npt.NDArray[np.bool_]) -> ByQuestion:
        """Counts of the scored samples among ``places`` by question; ``held`` is by sample."""
        scored = places[self.scored[places]]
        numbers = self.questions[scored]
        sizes = np.bincount(numbers)
        hits = np.bincount(numbers[held[scored]], minlength=len(sizes))
        asked = np.flatnonzero(sizes)
        return ByQuestion(asked, hits[asked], sizes[asked])


def counted(samples: pd.DataFrame, campaign: Campaign) -> Counted:
    """Make a run's samples ready to be counted.

    An identity that is claimed anywhere in the run, or that a target is presented as, is counted everywhere, so that a zero is seen as a zero.
    """
    presented = {t.identity for t in campaign.targets if t.identity} | {
        named.identity for named in (campaign.claim, campaign.stop) if named
    }
    backstory = {probe for probe in campaign.probes if probes.load(probe).measures == "backstory"}
    recited = (
        samples["recited_identity"]
        .astype(object)
        .where(samples["recited_share_of_reference"].fillna(0).astype(float) >= RECITED_FROM)
    )
    measures = []
    for measure, column, always in (
        ("name", "names", presented),
        ("maker", "makers", set()),
        ("base", "base", set()),
        ("denied", "denied", set()),
    ):
        cells = Cells(samples[column])
        measures.append(
            Measure(measure, cells, sorted(cells.identities | always), lambda probe: True)
        )
    cells = Cells(recited)
    measures.append(
        Measure(
            "recital",
            cells,
            sorted(cells.identities | {b.identity for b in load_backstories()}),
            lambda probe: probe in backstory,
        )
    )
    measures.append(Measure("stance", Cells(samples["stance"]), list(STANCES), lambda probe: True))
    languages, _ = pd.factorize(samples["language"])
    ids, known = pd.factorize(samples["question"])
    questions, _ = pd.factorize(languages.astype(np.int64) * len(known) + ids)
    return Counted(samples, campaign, measures, questions, (samples["status"] == "ok").to_numpy())


def tally_frame(run: Counted, errors: Confusion) -> pd.DataFrame:
    """Rates with intervals for each target, arm, probe, language (and all of them), measure and identity; columns `TALLY_COLUMNS`.

    Rates are over scored samples; where none was scored they are NA.
    """
    samples, table = run.samples, []
    held = {
        (m.name, identity): m.cells.holds(identity)
        for m in run.measures
        for identity in m.identities
    }
    languages = samples["language"].to_numpy()
    for target, arm, probe, places in run.groups():
        first = samples.iloc[places[0]]
        about = {"target": target, "role": first["role"], "arm": arm, "probe": probe}
        for language in [ALL, *sorted(set(languages[places]))]:
            inside = places if language == ALL else places[languages[places] == language]
            counts = _around(samples.iloc[inside]) | {
                "note": first["note"] if isinstance(first["note"], str) else None
            }
            for measure in run.measures:
                if not measure.applies(probe):
                    continue
                for identity in measure.identities:
                    by = run.by_question(inside, held[measure.name, identity])
                    rate = _rate(by, errors.measures.get(measure.name)) | _anytime(
                        run.campaign, probe, measure.name, identity, by
                    )
                    table.append(
                        about
                        | {"language": language, "measure": measure.name, "identity": identity}
                        | rate
                        | {"questions": len(by.questions)}
                        | counts
                    )
    return pd.DataFrame(table, columns=TALLY_COLUMNS)


def _around(inside: pd.DataFrame) -> dict[str, Any]:
    """What stands beside the rates of some samples."""
    status = inside["status"].value_counts()
    tokens = inside["rendered_prompt_tokens"].fillna(inside["prompt_tokens_reported"]).dropna()
    counts: dict[str, Any] = {name: int(status.get(name, 0)) for name in STATUSES}
    counts["abstained"] = int((inside["abstained"].eq(True) & (inside["status"] == "ok")).sum())
    counts["prompt_tokens_median"] = float(tokens.median()) if len(tokens) else None
    return counts


def _rate(by: ByQuestion, errors: Errors | None) -> dict[str, Any]:
    found = by.estimate
    if found is None:
        return {"samples": 0, "hits": 0}
    hits, n = int(by.hits.sum()), int(by.sizes.sum())
    low, high = stats.wilson(hits, n)
    row = {
        "samples": n,
        "hits": hits,
        "rate": found.rate,
        "rate_low": found.low,
        "rate_high": found.high,
        "design_effect": found.design_effect,
        "effective_samples": found.effective_n,
    }
    row |= {"wilson_low": low, "wilson_high": high}
    if errors and (
        corrected := stats.rogan_gladen(
            found.rate, found.effective_n, errors.sensitivity, errors.specificity
        )
    ):
        row |= {
            "corrected_rate": corrected.rate,
            "corrected_low": corrected.low,
            "corrected_high": corrected.high,
        }
    return {
        name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()
    }


def _anytime(
    campaign: Campaign, probe: str, measure: str, identity: str, by: ByQuestion
) -> dict[str, Any]:
    """The sequence of an identity that the campaign may stop for: its rate may be looked at whenever one likes."""
    if (
        measure != "name"
        or campaign.stop is None
        or campaign.stop.identity != identity
        or not len(by.sizes)
        or probes.load(probe).measures != "name"
    ):
        return {}
    low, high = stats.sequence(int(by.hits.sum()), int(by.sizes.sum()), campaign.stop.alpha)
    return {"anytime_low": round(low, 6), "anytime_high": round(high, 6)}


class _Side(NamedTuple):
    target: str
    arm: str
    places: Places


def comparisons_frame(run: Counted) -> pd.DataFrame:
    """Arms of one target in pairs, and the suspects beside every other target under the same arm; columns `COMPARISON_COLUMNS`.

    Compared by question: p-values by permutation within questions, adjusted over the whole table (Holm).
    """
    roles = {t.name: t.role for t in run.campaign.targets}
    sides: dict[str, list[_Side]] = {}
    for target, arm, probe, places in run.groups():
        sides.setdefault(probe, []).append(_Side(target, arm, places))
    held = {
        (m.name, identity): m.cells.holds(identity)
        for m in run.measures
        if m.name in COMPARED
        for identity in m.identities
    }
    rows: list[dict[str, Any]] = []
    for probe, found in sides.items():
        for kind, a, b in _pairs(found, roles):
            for measure in run.measures:
                if measure.name in COMPARED and measure.applies(probe):
                    for identity in measure.identities:
                        row = compared(
                            run.by_question(a.places, held[measure.name, identity]),
                            run.by_question(b.places, held[measure.name, identity]),
                        )
                        if row:
                            rows.append(
                                {
                                    "comparison": kind,
                                    "probe": probe,
                                    "measure": measure.name,
                                    "identity": identity,
                                    "target_a": a.target,
                                    "arm_a": a.arm,
                                    "target_b": b.target,
                                    "arm_b": b.arm,
                                }
                                | row
                            )
    for row, adjusted in zip(rows, stats.holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = shown_p(adjusted)
        row["p_value"] = shown_p(row["p_value"])
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _pairs(
    sides: list[_Side], roles: Mapping[str, str]
) -> Iterator[tuple[Literal["arms", "targets"], _Side, _Side]]:
    for a, b in combinations(sides, 2):
        if a.target == b.target:
            yield "arms", a, b
    for a in sides:
        if roles[a.target] == "suspect":
            for b in sides:
                if b.arm == a.arm and roles[b.target] != "suspect":
                    yield "targets", a, b


def compared(a: ByQuestion, b: ByQuestion) -> dict[str, Any] | None:
    """Two sides compared; None where a side was not scored, or neither shows the identity."""
    first, second = a.estimate, b.estimate
    if first is None or second is None or not (a.hits.any() or b.hits.any()):
        return None
    shared, in_a, in_b = np.intersect1d(
        a.questions, b.questions, assume_unique=True, return_indices=True
    )
    low, high = stats.difference(first, second)
    return {
        "samples_a": int(a.sizes.sum()),
        "hits_a": int(a.hits.sum()),
        "rate_a": round(first.rate, 6),
        "samples_b": int(b.sizes.sum()),
        "hits_b": int(b.hits.sum()),
        "rate_b": round(second.rate, 6),
        "difference": round(first.rate - second.rate, 6),
        "difference_low": round(low, 6),
        "difference_high": round(high, 6),
        "cohens_h": round(stats.cohens_h(first.rate, second.rate), 4),
        "questions_shared": len(shared),
        "p_value": stats.permutation_within(
            a.hits[in_a], a.sizes[in_a], b.hits[in_b], b.sizes[in_b]
        ),
    }


def shown_p(p: float) -> float:
    """A p-value to three digits."""
    return float(f"{p:.3g}")
