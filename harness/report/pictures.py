"""The page's pictures: for each probe a chart with its table, and heat maps by question."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import charts
from harness.campaign import Campaign
from harness.console import percent, plain
from harness.counting import Counted
from harness.counting.counted import Places
from harness.report.rows import (
    TITLES,
    claimed_identity,
    measure_of,
    name_of,
    not_scored,
    of_suspects,
    rates_of,
    short_arm,
    shown,
    table_rate,
)

#: Identities that a picture shows at most.
IDENTITIES: Final = 5


class Picture(NamedTuple):
    """One probe: its chart and its table. Cells are (text, whether it is zero)."""

    probe: str
    title: str
    svg: str
    columns: list[str]
    rows: list[dict[str, Any]]


def pictures(tally: pd.DataFrame, campaign: Campaign) -> list[Picture]:
    """For each probe the shares of the identities that matter, by target and arm."""
    made = (_picture(tally, campaign, probe) for probe in campaign.probes)
    return [picture for picture in made if picture]


def _picture(tally: pd.DataFrame, campaign: Campaign, probe: str) -> Picture | None:
    measure = measure_of(probe)
    part = rates_of(tally, probe, measure)
    if part.empty:
        return None
    claimed = claimed_identity(campaign, measure)
    identities = shown(tally, probe, measure, claimed, IDENTITIES)
    names = [plain(name_of(measure, identity)) for identity in identities]
    labels, points, rows = [], [], []
    for number, ((target, arm), found) in enumerate(part.groupby(["target", "arm"], sort=False)):
        by_identity = found.set_index("identity")
        rates = [by_identity.loc[identity] for identity in identities]
        labels.append(plain(f"{target}  {short_arm(str(arm))}"))
        for series, (identity, rate) in enumerate(zip(identities, rates, strict=True)):
            # zeros of other names stand in the table
            if rate["samples"] and (rate["hits"] or identity == claimed):
                points.append(_point(number, series, rate))
        rows.append(_row(target, arm, found.iloc[0], rates))
    label = (
        f"{probe}: share of replies by target and arm, with 95 % intervals; "
        "the same numbers stand in the table below"
    )
    svg = charts.forest(labels, names, points, label) if identities else ""
    return Picture(probe, TITLES[measure], svg, names, rows)


def _point(number: int, series: int, rate: Any) -> charts.Point:
    return charts.Point(number, series, *table_rate(rate))


def _row(target: Any, arm: Any, first: Any, rates: list[Any]) -> dict[str, Any]:
    """One target and arm in the table below a chart."""
    tokens = first["prompt_tokens_median"]
    return {
        "target": target,
        "arm": short_arm(str(arm)),
        "tokens": "NA" if pd.isna(tokens) else f"{tokens:g}",
        "samples": int(first["samples"]),
        "cells": [
            {
                "text": percent(*table_rate(rate)),
                "zero": not rate["hits"],
            }
            for rate in rates
        ],
        "missing": not_scored(first),
    }


class Heat(NamedTuple):
    """Rates of one identity.

    Columns are targets and arms; rows are languages, and questions by language.
    """

    title: str
    columns: list[tuple[str, str]]
    languages: list[tuple[str, list[dict[str, Any] | None]]]
    questions: list[tuple[str, str, list[dict[str, Any] | None]]]


def heat_maps(run: Counted, tally: pd.DataFrame, campaign: Campaign) -> list[Heat]:
    """For the first probe of each measure, the claimed identity and the one that is named most."""
    made: list[Heat] = []
    asked = _asked(run)
    first = {measure_of(probe): probe for probe in reversed(campaign.probes)}
    for measure, probe in reversed(first.items()):
        sides = [side for side in run.groups() if side[2] == probe]
        for identity in of_suspects(tally, campaign, probe, measure, 2):
            title = f"{probe}: {TITLES[measure]} {plain(name_of(measure, identity))}"
            made.append(_heat(run, asked, sides, run.held[measure, identity], title))
    return made


def _asked(run: Counted) -> dict[int, tuple[str, str]]:
    """The language and id of each question, by its number."""
    _, places = np.unique(run.questions, return_index=True)
    rows = run.samples.iloc[places]
    pairs = zip(rows["language"].astype(str), rows["question"].astype(str), strict=True)
    return dict(zip(run.questions[places].tolist(), pairs, strict=True))


def _heat(
    run: Counted,
    asked: dict[int, tuple[str, str]],
    sides: list[tuple[str, str, str, Places]],
    held: npt.NDArray[np.bool_],
    title: str,
) -> Heat:
    """Shares of one identity: for each question, and for each language, one cell a side."""
    counts = []
    for *_, places in sides:
        by = run.at(places).by_question(held)
        found = zip(*(part.tolist() for part in by), strict=True)
        counts.append({n: (hits, size) for n, hits, size in found})
    numbers = {int(n) for *_, places in sides for n in run.questions[places]}
    seen = sorted(numbers, key=lambda n: asked[n])
    questions = [(*asked[n], [_cell([found.get(n)]) for found in counts]) for n in seen]
    languages = []
    for language in sorted({asked[n][0] for n in seen}):
        inside = [n for n in seen if asked[n][0] == language]
        languages.append((language, [_cell([found.get(n) for n in inside]) for found in counts]))
    columns = [(target, short_arm(arm)) for target, arm, *_ in sides]
    return Heat(title, columns, languages, questions)


def _cell(counts: list[tuple[int, int] | None]) -> dict[str, Any] | None:
    """Hits of so many and the shade; None where nothing was scored."""
    known = [count for count in counts if count]
    hits, of = sum(h for h, _ in known), sum(n for _, n in known)
    if not of:
        return None
    rate = hits / of
    return {"hits": hits, "of": of, "percent": f"{100 * hits / of:.0f}", "step": charts.steps(rate)}
