"""The table `comparisons`: arms and targets in pairs, tested by question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from harness import stats
from harness.counting.counted import REMEMBERED, ByQuestion, Counted, Key, Places
from harness.counting.dependence import Dependence
from harness.counting.difference import Permuted, difference, shown_p

#: Measures that arms and targets are compared in.
COMPARED: Final = ("name", "maker", "recital")
#: Adjusted p-values, and those that they are made of.
ADJUSTED: Final = {"p_holm": "p_value", "p_by_question_holm": "p_by_question"}
#: What is told of two sides.
COMPARED_COLUMNS: Final = (
    *("samples_a", "hits_a", "rate_a", "samples_b", "hits_b", "rate_b"),
    *("difference", "difference_low", "difference_high", "cohens_h"),
    *("questions_shared", "questions_only_a", "questions_only_b"),
    *("permuted", "p_value", "p_holm"),
    *("by_question", "by_question_chance", "p_by_question", "p_by_question_holm"),
)
COMPARISON_COLUMNS: Final = (
    *("comparison", "probe", "measure", "identity", "target_a", "arm_a", "target_b", "arm_b"),
    *COMPARED_COLUMNS,
)


class _Side(NamedTuple):
    """One target under one arm: by measure and identity, its counts."""

    target: str
    arm: str
    counts: dict[tuple[str, str], ByQuestion]


def comparisons_frame(run: Counted, dependence: Dependence) -> pd.DataFrame:
    """Arms of one target in pairs, and the suspects beside every other target under the same arm.

    Columns `COMPARISON_COLUMNS`. Compared over the questions that both answered
    (`harness.counting.difference`); p-values are adjusted over the whole table (Holm).
    """
    roles = {t.name: t.role for t in run.campaign.targets}
    sides: dict[str, list[_Side]] = {}
    for target, arm, probe, places in run.groups():
        sides.setdefault(probe, []).append(_Side(target, arm, _counts(run, probe, places)))
    rows: list[dict[str, Any]] = []
    for probe, found in sides.items():
        for kind, a, b in _pairs(found, roles):
            about = {"comparison": kind, "probe": probe}
            who = {"target_a": a.target, "arm_a": a.arm, "target_b": b.target, "arm_b": b.arm}
            permuted = dependence.permuted((a.target, a.arm), (b.target, b.arm))
            for (measure, identity), counts in a.counts.items():
                if row := compared(counts, b.counts[measure, identity], permuted):
                    rows.append(about | {"measure": measure, "identity": identity} | who | row)
    adjust(rows)
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _counts(run: Counted, probe: str, places: Places) -> dict[tuple[str, str], ByQuestion]:
    inside = run.at(places)
    return {
        (measure.name, identity): inside.by_question(run.held[measure.name, identity])
        for measure, identity in run.pairs(probe)
        if measure.name in COMPARED
    }


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


def compared(a: ByQuestion, b: ByQuestion, permuted: Permuted = "replies") -> dict[str, Any] | None:
    """Two sides compared; None where they share no question, or neither shows the identity there.

    Counts, rates, difference, interval and p-values are over the questions that both answered.
    """
    row = _compared(a.key, b.key, permuted)
    return dict(row) if row else None


@lru_cache(maxsize=REMEMBERED)
def _compared(first: Key, second: Key, permuted: Permuted) -> dict[str, Any] | None:
    a, b = first.counts, second.counts
    found = difference(a, b, permuted)
    here, there = (np.isin(x.questions, y.questions) for x, y in ((a, b), (b, a)))
    hits_a, hits_b = int(a.hits[here].sum()), int(b.hits[there].sum())
    if found is None or not (hits_a or hits_b):
        return None
    return {
        "samples_a": int(a.sizes[here].sum()),
        "hits_a": hits_a,
        "rate_a": round(found.first, 6),
        "samples_b": int(b.sizes[there].sum()),
        "hits_b": hits_b,
        "rate_b": round(found.second, 6),
        "difference": round(found.rate, 6),
        "difference_low": round(found.low, 6),
        "difference_high": round(found.high, 6),
        "cohens_h": round(stats.cohens_h(found.first, found.second), 4),
        "questions_shared": int(here.sum()),
        "questions_only_a": int((~here).sum()),
        "questions_only_b": int((~there).sum()),
        "permuted": found.permuted,
        "p_value": found.p_value,
        "by_question": _rounded(found.by_question),
        "by_question_chance": _rounded(found.by_chance),
        "p_by_question": found.p_by_question,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Put the p-values of a table's rows, adjusted as one family (Holm), beside them."""
    tests = [(row, told, p) for row in rows for told, p in ADJUSTED.items() if row[p] is not None]
    adjusted = stats.holm([row[p] for row, _, p in tests])
    for (row, told, _), value in zip(tests, adjusted, strict=True):
        row[told] = shown_p(value)
