"""What sentences, tables and pictures share: names, and the rows of a tally that tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.campaign import Campaign, load_book, load_probe
from harness.counting.counted import STATUSES

TITLES: Final = {
    "name": "says its name is",
    "maker": "says its maker is",
    "recital": "recites at least half of the backstory of",
}


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each by its columns."""
    rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    return rows


class Rate(NamedTuple):
    """A rate and its interval as tables show them."""

    rate: float
    low: float
    high: float


#: Columns of a tally that `table_rate` needs.
RATES: Final = (
    *("rate", "rate_low", "rate_high"),
    *("anytime_rate", "anytime_low", "anytime_high"),
)


def table_rate(row: Any) -> Rate:
    """What a table shows of a tally's row: the rate, and the interval by question.

    Of the identity that sampling could stop for, the interval that holds though it stopped, alone,
    and the rate with the bias of stopping taken out where that is known.
    """
    if pd.isna(row["anytime_low"]):
        return Rate(row["rate"], row["rate_low"], row["rate_high"])
    rate = row["rate"] if pd.isna(row["anytime_rate"]) else row["anytime_rate"]
    return Rate(rate, row["anytime_low"], row["anytime_high"])


def called(identity: str) -> str:
    """A name as a sentence gives it: unlisted ones in quotes."""
    if identity.startswith("other:"):
        return f'"{identity.removeprefix("other:")}"'
    return name_of("name", identity)


def short_arm(label: str) -> str:
    """An arm's label with the bare name of its file: given:system/named.j2 is given:named."""
    kind, _, file = label.partition(":")
    return f"{kind}:{Path(file).stem}" if file else kind


def measure_of(probe: str) -> str:
    """The measure that a probe is about."""
    return {"maker": "maker", "backstory": "recital"}.get(load_probe(probe).measures, "name")


def name_of(measure: str, identity: str) -> str:
    return load_book().name_of("maker" if measure == "maker" else "name", identity)


def rates_of(tally: pd.DataFrame, probe: str, measure: str) -> pd.DataFrame:
    """The rows of a tally that tell one measure of a probe, all languages together."""
    return tally[
        (tally["probe"] == probe) & (tally["measure"] == measure) & (tally["language"] == "all")
    ]


def not_scored(row: Any) -> str:
    """How many replies of a tally's row were not scored, by what became of them."""
    return ", ".join(f"{row[status]} {status}" for status in STATUSES if row.get(status, 0) > 0)


def shown(
    tally: pd.DataFrame, probe: str, measure: str, claimed: str | None, most: int
) -> list[str]:
    """The identities worth a column, the claimed one first, even at zero.

    Then come those with the most hits.
    """
    hits = rates_of(tally, probe, measure).groupby("identity")["hits"].sum()
    best = hits.sort_values(ascending=False, kind="stable")
    others = [str(i) for i in best.index if best[i] > 0 and i != claimed]
    return [*([claimed] if claimed else []), *others][:most]


def of_suspects(
    tally: pd.DataFrame, campaign: Campaign, probe: str, measure: str, most: int
) -> list[str]:
    """The identities worth a column as the suspects alone show them."""
    suspects = [t.name for t in campaign.targets if t.role == "suspect"]
    theirs = tally["target"].isin(suspects or [campaign.targets[0].name])
    return shown(tally[theirs], probe, measure, claimed_identity(campaign, measure), most)


def claimed_identity(campaign: Campaign, measure: str = "name") -> str | None:
    return campaign.claim.identity if campaign.claim and measure == "name" else None
