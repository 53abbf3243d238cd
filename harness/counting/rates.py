"""The table `tally`: rates by target, arm, probe, language, measure and identity."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import stats
from harness.campaign import Campaign, load_probe
from harness.counting.confusion import Confusion, Errors
from harness.counting.counted import ALL, STATUSES, ByQuestion, Counted, Places
from harness.counting.readings import Readings, Row

TALLY_COLUMNS: Final = (
    *("target", "role", "arm", "probe", "language", "measure", "identity", "samples", "hits"),
    *("rate", "rate_low", "rate_high"),
    *("checked_rate", "checked_low", "checked_high", "checked_n"),
    *("design_effect", "effective_samples"),
    *("wilson_low", "wilson_high", "corrected_rate", "corrected_low", "corrected_high"),
    *("anytime_low", "anytime_high", "questions"),
    *STATUSES,
    *("abstained", "prompt_tokens_median", "note"),
)


def tally_frame(run: Counted, errors: Confusion, readings: Readings | None = None) -> pd.DataFrame:
    """Rates with intervals, for each language and all of them; columns `TALLY_COLUMNS`.

    Rates are over scored samples; where none was scored they are NA. So are the checked ones where
    people read none.
    """
    table = []
    languages = run.samples["language"].to_numpy()
    around = _Around(run.samples)
    for target, arm, probe, places in run.groups():
        first = run.samples.iloc[places[0]]
        note = first["note"] if isinstance(first["note"], str) else None
        about = {"target": target, "role": first["role"], "arm": arm, "probe": probe}
        for language in [ALL, *sorted(set(languages[places]))]:
            inside = places if language == ALL else places[languages[places] == language]
            beside = around.of(inside) | {"note": note}
            read = readings.row(inside) if readings else None
            for measure, identity in run.pairs(probe):
                by = run.by_question(inside, run.held[measure.name, identity])
                row = about | {"language": language, "measure": measure.name, "identity": identity}
                row |= _rate(by, errors.measures.get(measure.name))
                row |= _checked(read, measure.name, identity)
                row |= _anytime(run.campaign, probe, measure.name, identity, by)
                table.append(row | {"questions": len(by.questions)} | beside)
    frame = pd.DataFrame(table, columns=TALLY_COLUMNS)
    return frame.astype({"checked_n": "Int64"})


class _Around:
    """What stands beside the rates of some samples."""

    def __init__(self, samples: pd.DataFrame) -> None:
        self.status = samples["status"].to_numpy()
        ok = self.status == "ok"
        self.abstained = samples["abstained"].eq(True).to_numpy(dtype=bool) & ok
        tokens = samples["rendered_prompt_tokens"].fillna(samples["prompt_tokens_reported"])
        self.tokens = tokens.to_numpy(dtype=float)

    def of(self, places: Places) -> dict[str, Any]:
        status, tokens = self.status[places], self.tokens[places]
        tokens = tokens[~np.isnan(tokens)]
        counts: dict[str, Any] = {name: int((status == name).sum()) for name in STATUSES}
        counts["abstained"] = int(self.abstained[places].sum())
        counts["prompt_tokens_median"] = float(np.median(tokens)) if len(tokens) else None
        return counts


def _rate(by: ByQuestion, errors: Errors | None) -> dict[str, Any]:
    found = by.estimate
    if found is None:
        return {"samples": 0, "hits": 0}
    hits, n = int(by.hits.sum()), int(by.sizes.sum())
    known = None if errors is None else (errors.sensitivity, errors.specificity)
    return {"samples": n, "hits": hits, **_shown(found, hits, n, known)}


def _checked(read: Row | None, measure: str, identity: str) -> dict[str, Any]:
    """The columns of a rate as people's reading makes it."""
    found = read.checked(measure, identity) if read else None
    if found is None:
        return {}
    rate, low, high = (round(value, 6) for value in found[:3])
    return {"checked_rate": rate, "checked_low": low, "checked_high": high} | {
        "checked_n": found.read
    }


@lru_cache(maxsize=20_000)
def _shown(
    found: stats.Clustered,
    hits: int,
    n: int,
    errors: tuple[tuple[int, int], tuple[int, int]] | None,
) -> dict[str, float]:
    """A rate's columns, to six digits."""
    low, high = stats.wilson(hits, n)
    row = {
        "rate": found.rate,
        "rate_low": found.low,
        "rate_high": found.high,
        "design_effect": found.design_effect,
        "effective_samples": found.effective_n,
        "wilson_low": low,
        "wilson_high": high,
    }
    corrected = stats.rogan_gladen(found.rate, found.effective_n, *errors) if errors else None
    if corrected:
        row["corrected_rate"] = corrected.rate
        row["corrected_low"], row["corrected_high"] = corrected.low, corrected.high
    return {name: round(value, 6) for name, value in row.items()}


def _anytime(
    campaign: Campaign, probe: str, measure: str, identity: str, by: ByQuestion
) -> dict[str, Any]:
    """The sequence of an identity that the campaign may stop for.

    Its rate may be looked at whenever one likes.
    """
    if campaign.stop is None or campaign.stop.identity != identity:
        return {}
    if measure != "name" or load_probe(probe).measures != "name" or not len(by.sizes):
        return {}
    low, high = stats.sequence(int(by.hits.sum()), int(by.sizes.sum()), campaign.stop.alpha)
    return {"anytime_low": round(low, 6), "anytime_high": round(high, 6)}
