"""What a run says, as values for other programs: the story, and its tables row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.campaign import Campaign
from harness.counting import Tables
from harness.report.recited import recited_sentences
from harness.report.rows import records
from harness.report.terminal import told_of


def as_data(tables: Tables, campaign: Campaign, first: Sequence[str]) -> dict[str, Any]:
    """The story and the tables of a run.

    Parameters
    ----------
    tables
        What was counted.
    campaign
        The run's campaign.
    first
        What has to be known before any verdict: samples that are owed, reasons.

    Returns
    -------
    dict
        `first`, `outcome`, `verdict`, `numbers`, `recitals_said` and `limits` in words; `tally`,
        `comparisons` and `recitals` as rows, with the columns of the CSV files; rates are shares
        of 1, and what is missing is None.
    """
    told = told_of(tables, campaign)
    return {
        "first": list(first),
        "outcome": str(told.outcome),
        "verdict": told.verdict,
        "numbers": told.numbers,
        "recitals_said": recited_sentences(tables.recitals, campaign),
        "limits": told.limits,
        "tally": _rows(tables.tally),
        "comparisons": _rows(tables.comparisons),
        "recitals": _rows(tables.recitals),
    }


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    whole = frame.astype(object)
    return records(whole.where(whole.notna(), None))
