"""The table `tally`: rates by target, arm, probe, language, measure and identity."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from harness import stats
from harness.campaign import Campaign, load_probe
from harness.counting import confusion as correcting
from harness.counting import early, missing
from harness.counting.confusion import Confusion, Known
from harness.counting.counted import ALL, REMEMBERED, STATUSES, ByQuestion, Counted, Places
from harness.counting.dependence import Dependence
from harness.counting.lengths import LENGTHS
from harness.counting.readings import Readings, Row
from harness.counting.spread import by_language, half_from

TALLY_COLUMNS: Final = (
    *("target", "role", "arm", "probe", "language", "measure", "identity", "samples", "hits"),
    *("rate", "rate_low", "rate_high", "rate_low_missing", "rate_high_missing"),
    *("language_low", "language_high", "half_from"),
    *("checked_rate", "checked_low", "checked_high", "checked_n"),
    *("design_effect", "effective_samples"),
    *("wilson_low", "wilson_high"),
    *("corrected_rate", "corrected_low", "corrected_high", "corrected_by"),
    *("anytime_rate", "anytime_low", "anytime_high", "questions", "languages"),
    *("repeats", "same_repeats"),
    *STATUSES,
    *("missing_p_arm", "missing_p_question"),
    *("abstained", "prompt_tokens_median"),
    *("models_returned", "fingerprints_returned", "providers_returned", "note"),
)
#: What a host returns beside replies: who answered.
RETURNED: Final = ("model", "fingerprint", "provider")
#: Different values of these that a row names.
MOST_RETURNED: Final = 8
#: Columns that hold whole numbers or nothing.
_WHOLE: Final = ("checked_n", "half_from")


class _Cell(NamedTuple):
    """The samples of one target, arm, probe and language (or all), and what was asked there."""

    arm: str
    language: str
    places: Places
    asked: missing.Asked


def tally_frame(
    run: Counted,
    errors: Confusion,
    readings: Readings | None = None,
    dependence: Dependence | None = None,
) -> pd.DataFrame:
    """Rates with intervals, for each language and all of them; columns `TALLY_COLUMNS`.

    Rates are over scored samples; where none was scored they are NA. So are the checked ones where
    people read none.
    """
    table = []
    around = _Around(run)
    cells = _cells(run, around.status)
    for (target, arm, probe), found in cells.items():
        first = run.samples.iloc[found[0].places[0]]
        note = first["note"] if isinstance(first["note"], str) else None
        about = {"target": target, "role": first["role"], "arm": arm, "probe": probe}
        repeats = dependence.columns(target, arm) if dependence else {}
        for cell in found:
            others = [
                other.asked
                for (whose, _, which), some in cells.items()
                for other in some
                if (whose, which) == (target, probe)
                and other.arm != arm
                and other.language == cell.language
            ]
            beside = around.of(cell.places) | _missed(cell.asked, others) | {"note": note} | repeats
            read = readings.row(cell.places) if readings else None
            lengths = around.lengths(cell.places)
            known: dict[str, Known | str] = {}
            inside, rate_of = run.at(cell.places), _Rates(run, cell.asked)
            for measure, identity in run.pairs(probe):
                by = inside.by_question(run.held[measure.name, identity])
                key = correcting.key_of(measure.name, identity)
                row = about | {"language": cell.language}
                row |= {"measure": measure.name, "identity": identity}
                row |= rate_of(by)
                row |= _checked(read, measure.name, identity)
                if key not in known:
                    known[key] = correcting.known(errors, key, lengths)
                row |= _corrected(by, row, known[key], key)
                row |= _anytime(run.campaign, cell.language, probe, measure.name, identity, by)
                table.append(row | beside)
    frame = pd.DataFrame(table, columns=TALLY_COLUMNS)
    if not frame["misrouted"].any():  # only where hosts of an aggregator are asked
        frame = frame.drop(columns="misrouted")
    return frame.astype(dict.fromkeys(_WHOLE, "Int64"))


def _cells(run: Counted, status: Any) -> dict[tuple[str, str, str], list[_Cell]]:
    """By target, arm and probe its cells: all languages together first."""
    languages = run.samples["language"].to_numpy()

    def of(places: Places, arm: str) -> Iterator[_Cell]:
        for language in [ALL, *sorted(set(languages[places]))]:
            inside = places if language == ALL else places[languages[places] == language]
            yield _Cell(arm, language, inside, missing.asked(run, status, inside))

    return {
        (target, arm, probe): list(of(places, arm)) for target, arm, probe, places in run.groups()
    }


class _Around:
    """What stands beside the rates of some samples."""

    def __init__(self, run: Counted) -> None:
        samples = run.samples
        self.status = samples["status"].to_numpy()
        self.scored = self.status == "ok"
        self.abstained = samples["abstained"].eq(True).to_numpy(dtype=bool) & self.scored
        tokens = samples["rendered_prompt_tokens"].fillna(samples["prompt_tokens_reported"])
        self.tokens = tokens.to_numpy(dtype=float)
        self.returned = {
            f"{name}s_returned": samples[name].astype(object).to_numpy() for name in RETURNED
        }
        self.band = samples["band"].fillna(0).to_numpy(dtype=int)

    def of(self, places: Places) -> dict[str, Any]:
        status, tokens = self.status[places], self.tokens[places]
        tokens = tokens[~np.isnan(tokens)]
        counts: dict[str, Any] = {name: int((status == name).sum()) for name in STATUSES}
        for name, values in self.returned.items():
            counts[name] = _listed(values[places])
        counts["abstained"] = int(self.abstained[places].sum())
        counts["prompt_tokens_median"] = float(np.median(tokens)) if len(tokens) else None
        return counts

    def lengths(self, places: Places) -> tuple[float, ...]:
        """The shares of the scored replies whose lengths lie in each band."""
        counts = np.bincount(self.band[places[self.scored[places]]], minlength=len(LENGTHS))
        return tuple((counts / max(1, counts.sum())).tolist())


def _listed(values: Any) -> str | None:
    """The different values that a host returned, at most `MOST_RETURNED`; None where it did not."""
    known = sorted({value for value in values.tolist() if isinstance(value, str)})
    more = ["..."] if len(known) > MOST_RETURNED else []
    return "|".join([*known[:MOST_RETURNED], *more]) or None


def _missed(asked: missing.Asked, others: list[missing.Asked]) -> dict[str, Any]:
    """Whether replies are missing at random, as far as arms and questions tell."""
    p = {
        "missing_p_arm": missing.p_by_arm(asked, others),
        "missing_p_question": missing.p_by_question(asked),
    }
    return {name: None if value is None else float(f"{value:.3g}") for name, value in p.items()}


class _Rates:
    """The columns of rates of one cell; most identities are given by none, and have the same."""

    def __init__(self, run: Counted, asked: missing.Asked) -> None:
        self.run, self.asked = run, asked
        self._known: dict[bytes, dict[str, Any]] = {}

    def __call__(self, by: ByQuestion) -> dict[str, Any]:
        hits = by.hits.tobytes()
        if hits not in self._known:
            self._known[hits] = _rate(self.run, by, self.asked)
        return self._known[hits]


def _rate(run: Counted, by: ByQuestion, asked: missing.Asked) -> dict[str, Any]:
    languages, place = np.unique(run.language_of[by.questions], return_inverse=True)
    row: dict[str, Any] = {"questions": len(by.questions), "languages": len(languages)}
    found = by.estimate
    if found is None:
        return row | {"samples": 0, "hits": 0}
    hits, n = int(by.hits.sum()), int(by.sizes.sum())
    low, high = missing.bounds(by, asked) if asked.missing.any() else (found.low, found.high)
    row |= {"samples": n, "hits": hits, **_shown(found, hits, n)}
    row |= {"rate_low_missing": round(low, 6), "rate_high_missing": round(high, 6)}
    row["half_from"] = half_from(by.hits)
    if len(languages) > 1:
        both = (np.bincount(place, weights=one).astype(np.intp) for one in (by.hits, by.sizes))
        low, high = by_language(found, *both)
        row |= {"language_low": round(low, 6), "language_high": round(high, 6)}
    return row


def _checked(read: Row | None, measure: str, identity: str) -> dict[str, Any]:
    """The columns of a rate as people's reading makes it."""
    found = read.checked(measure, identity) if read else None
    if found is None:
        return {}
    rate, low, high = (round(value, 6) for value in found[:3])
    return {"checked_rate": rate, "checked_low": low, "checked_high": high} | {
        "checked_n": found.read
    }


@lru_cache(maxsize=REMEMBERED)
def _shown(found: stats.Clustered, hits: int, n: int) -> dict[str, float]:
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
    return {name: round(value, 6) for name, value in row.items()}


def _corrected(
    by: ByQuestion, row: dict[str, Any], errors: Known | str, key: str
) -> dict[str, Any]:
    """The rate corrected for the classifier's errors: by what people read of these replies, else by
    the errors on labelled replies; where there is neither, why.
    """
    found = by.estimate
    if "checked_n" in row:
        rate, low, high = (row[f"checked_{name}"] for name in ("rate", "low", "high"))
        source = correcting.PEOPLE
    elif found is None:
        return {}
    elif isinstance(errors, str):
        return {"corrected_by": errors}
    elif len(by.questions) < 2:
        return {"corrected_by": correcting.ONE_QUESTION}
    else:
        # of a stance its own errors are known, of a name only those of all names together
        at_least = not key.startswith("stance ")
        corrected = _correction(found, errors, at_least)
        if corrected is None:
            return {"corrected_by": correcting.USELESS}
        rate, low, high = (round(value, 6) for value in corrected)
        source = correcting.LABELLED
    return {
        "corrected_rate": rate,
        "corrected_low": low,
        "corrected_high": high,
        "corrected_by": source,
    }


@lru_cache(maxsize=REMEMBERED)
def _correction(found: stats.Clustered, errors: Known, at_least: bool) -> stats.Corrected | None:
    return stats.corrected(found, *errors, at_least=at_least)


def _anytime(
    campaign: Campaign, language: str, probe: str, measure: str, identity: str, by: ByQuestion
) -> dict[str, Any]:
    """The sequence of an identity that the campaign may stop for.

    Its interval may be looked at whenever one likes. The rate has the bias of stopping taken out
    where one probe alone decides: then its rounds are those that were looked at.
    """
    if campaign.stop is None or campaign.stop.identity != identity:
        return {}
    if measure != "name" or load_probe(probe).measures != "name" or not len(by.sizes):
        return {}
    hits, n = int(by.hits.sum()), int(by.sizes.sum())
    low, high = stats.sequence(hits, n, campaign.stop.alpha)
    row = {"anytime_low": round(low, 6), "anytime_high": round(high, 6)}
    deciding = [p for p in campaign.probes if load_probe(p).measures == "name"]
    if language == ALL and deciding == [probe]:
        design = early.design(campaign.stop, len(by.sizes), campaign.samples_of(probe))
        row["anytime_rate"] = round(early.unbiased(hits / n, design), 6)
    return row
