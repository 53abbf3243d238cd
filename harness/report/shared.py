"""What targets say in each other's words: a picture of the suspects, and two tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import pandas as pd

from harness import charts
from harness.campaign import Campaign
from harness.console import percent
from harness.counting.between import TEXT
from harness.report.recited import recited_sentences
from harness.report.rows import measure_of, records, short_arm

#: Targets that a picture shows at most, each in a colour of its own.
AGAINST: Final = 5
RATE: Final = ("rate", "rate_low", "rate_high")


class Words(NamedTuple):
    """What the page shows of the table `recitals`.

    ``columns`` are the targets that are recited. ``recited`` has a row for each target and arm in
    the backstory probes, ``whole`` one for each suspect and arm in every probe.
    """

    sentences: list[str]
    svg: str
    columns: list[str]
    recited: list[dict[str, Any]]
    whole: list[dict[str, Any]]


def shared_words(recitals: pd.DataFrame, campaign: Campaign) -> Words | None:
    """What there is to show; None where no two targets answered the same probe."""
    rows = recitals[(recitals["language"] == "all") & (recitals["against_role"] != TEXT)]
    if rows["against"].nunique() < 2:
        return None
    columns = [t.name for t in campaign.targets if t.name in set(rows["against"])]
    stories = rows[[measure_of(str(probe)) == "recital" for probe in rows["probe"]]]
    suspects = rows[rows["role"] == "suspect"]
    return Words(
        recited_sentences(recitals, campaign),
        _picture(stories[stories["role"] == "suspect"], columns[:AGAINST]),
        columns,
        list(_table(stories, columns, lambda row: percent(*(row[name] for name in RATE)))),
        list(_table(suspects, columns, _whole)),
    )


def _whole(row: dict[str, Any]) -> str:
    """How much of whole replies is another target's."""
    same = f", {row['same_replies']} of {row['samples']} the same"
    return f"{100 * row['share_of_reply']:.0f} %" + (same if row["same_replies"] else "")


def _table(
    rows: pd.DataFrame, columns: list[str], said: Callable[[dict[str, Any]], str]
) -> Iterator[dict[str, Any]]:
    """A row for each probe, target and arm, with a cell for each target that it is measured by."""
    for (probe, target, arm), found in rows.groupby(["probe", "target", "arm"], sort=False):
        by_target = {row["against"]: row for row in records(found)}
        cells = [
            {
                "text": said(by_target[name]) if name in by_target else "NA",
                "zero": name not in by_target or not by_target[name]["share_of_reply"],
            }
            for name in columns
        ]
        samples = max(row["samples"] for row in by_target.values())
        about = {"probe": probe, "target": target, "arm": short_arm(str(arm))}
        yield about | {"samples": samples, "cells": cells}


def _picture(rows: pd.DataFrame, columns: list[str]) -> str:
    labels: list[str] = []
    points: list[charts.Point] = []
    groups = rows.groupby(["probe", "target", "arm"], sort=False)
    for number, ((_, target, arm), found) in enumerate(groups):
        labels.append(f"{target}  {short_arm(str(arm))}")
        for row in records(found):
            if row["against"] in columns:
                series = columns.index(row["against"])
                points.append(charts.Point(number, series, *(row[name] for name in RATE)))
    label = (
        "share of the suspect's replies that recite each target, by arm, with 95 % intervals; "
        "the same numbers stand in the table below"
    )
    return charts.forest(labels, columns, points, label) if points else ""
