"""The table `comparisons`: arms and targets in pairs, tested by question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import combinations
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from harness import stats
from harness.counting.counted import REMEMBERED, ByQuestion, Counted, Places

#: Measures that arms and targets are compared in.
COMPARED: Final = ("name", "maker", "recital")
COMPARISON_COLUMNS: Final = (
    *("comparison", "probe", "measure", "identity", "target_a", "arm_a", "target_b", "arm_b"),
    *("samples_a", "hits_a", "rate_a", "samples_b", "hits_b", "rate_b"),
    *("difference", "difference_low", "difference_high", "cohens_h"),
    *("questions_shared", "p_value", "p_holm"),
)


class _Side(NamedTuple):
    """One target under one arm: by measure and identity, its counts."""

    target: str
    arm: str
    counts: dict[tuple[str, str], ByQuestion]


def comparisons_frame(run: Counted) -> pd.DataFrame:
    """Arms of one target in pairs, and the suspects beside every other target under the same arm.

    Columns `COMPARISON_COLUMNS`. Compared by question: p-values by permutation within questions,
    adjusted over the whole table (Holm).
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
            for (measure, identity), counts in a.counts.items():
                if row := compared(counts, b.counts[measure, identity]):
                    rows.append(about | {"measure": measure, "identity": identity} | who | row)
    for row, adjusted in zip(rows, stats.holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = shown_p(adjusted)
        row["p_value"] = shown_p(row["p_value"])
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _counts(run: Counted, probe: str, places: Places) -> dict[tuple[str, str], ByQuestion]:
    return {
        (measure.name, identity): run.by_question(places, run.held[measure.name, identity])
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


def compared(a: ByQuestion, b: ByQuestion) -> dict[str, Any] | None:
    """Two sides compared; None where a side was not scored, or neither shows the identity."""
    if not (a.hits.any() or b.hits.any()):
        return None
    first, second = a.estimate, b.estimate
    if first is None or second is None:
        return None
    shared, in_a, in_b = np.intersect1d(
        a.questions, b.questions, assume_unique=True, return_indices=True
    )
    low, high = stats.difference(first, second)
    counts = (a.hits[in_a], a.sizes[in_a], b.hits[in_b], b.sizes[in_b])
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
        "p_value": _permutation(*(some.tobytes() for some in counts)),
    }


@lru_cache(maxsize=REMEMBERED)
def _permutation(*counts: bytes) -> float:
    return stats.permutation_within(*(np.frombuffer(some, np.intp) for some in counts))


def shown_p(p: float) -> float:
    """A p-value to three digits."""
    return float(f"{p:.3g}")
