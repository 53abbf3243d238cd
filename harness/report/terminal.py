"""The terminal's views: rates with intervals for each target and arm, small bars, and the claim in sentences."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.campaign.campaign import Campaign
from harness.report.story import (
    TITLES,
    claimed_identity,
    measure_of,
    name_of,
    not_scored,
    percent,
    rates_of,
    short_arm,
    shown,
    story,
)

MOST_COLUMNS = 5
BAR = 20
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def plain(text: str) -> str:
    """Text from a model without terminal escapes and direction overrides: they are shown as their code point."""
    return _CONTROL.sub(lambda m: f"<U+{ord(m.group()):04X}>", text)


def injected(samples: pd.DataFrame) -> dict[str, str]:
    """What each target's chat template puts before a question that comes without a system message."""
    known = samples.loc[
        samples["injected_text"].astype(object).fillna("").str.strip() != "",
        ["target", "injected_text"],
    ].drop_duplicates("target")
    return {str(target): plain(str(text)).strip() for target, text in known.itertuples(index=False)}


def show(
    console: Console,
    tally: pd.DataFrame,
    campaign: Campaign,
    templates: dict[str, str],
    notes: list[str],
) -> None:
    """Print one table a probe and measure, the claim's sentence, and what none of it proves."""
    for probe in campaign.probes:
        measure = measure_of(probe)
        part = rates_of(tally, probe, measure)
        if not part.empty:
            console.print(
                _table(
                    part,
                    probe,
                    measure,
                    shown(tally, probe, measure, claimed_identity(campaign, measure), MOST_COLUMNS),
                )
            )
            console.print()
    _sentences(console, tally, campaign, templates, notes)


def _sentences(
    console: Console,
    tally: pd.DataFrame,
    campaign: Campaign,
    templates: dict[str, str],
    notes: list[str],
) -> None:
    told = story(tally, campaign, templates)
    for target, text in templates.items():
        console.print(
            Text(f"{target}: its chat template injects, where no system message is sent: {text}")
        )
    if campaign.claim:
        console.print(
            Text(
                f"{campaign.claim.target}, presented as {name_of('name', campaign.claim.identity)}: {'; '.join(told.numbers)}."
            )
        )
    for line in [*notes, told.verdict, *told.limits]:
        console.print(Text(line))


def _table(part: pd.DataFrame, probe: str, measure: str, identities: list[str]) -> Table:
    """A row for each target and arm."""
    table = Table(
        title=f"{probe}: {TITLES[measure]} (% of scored replies, 95 % interval by question)",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("target", "arm"):
        table.add_column(column, no_wrap=True)
    table.add_column(
        "prompt\ntokens", justify="right", no_wrap=True
    )  # the median: an injected system prompt shows here
    table.add_column("scored", justify="right", no_wrap=True)
    for identity in identities:
        table.add_column(Text(plain(name_of(measure, identity))), justify="right", no_wrap=True)
    table.add_column("not\nscored", justify="left")
    for (target, arm), rows in part.groupby(["target", "arm"], sort=False):
        first, by_identity = rows.iloc[0], rows.set_index("identity")
        cells = [
            percent(*by_identity.loc[i, ["rate", "rate_low", "rate_high"]]) for i in identities
        ]
        tokens = first["prompt_tokens_median"]
        table.add_row(
            str(target),
            short_arm(str(arm)),
            "NA" if pd.isna(tokens) else f"{tokens:g}",
            str(first["samples"]),
            *cells,
            not_scored(first),
        )
    return table


def bars(
    console: Console,
    tally: pd.DataFrame,
    campaign: Campaign,
    templates: dict[str, str],
    notes: list[str],
) -> None:
    """The report in 80 columns: for each target and arm the identities that it shows, as bars."""
    told = story(tally, campaign, templates)
    if campaign.claim:
        console.print(
            Text(
                f"{campaign.campaign}: is {campaign.claim.target} {name_of('name', campaign.claim.identity)}?",
                style="bold",
            )
        )
    console.print(Text(told.verdict))
    for probe in campaign.probes:
        measure = measure_of(probe)
        part = rates_of(tally, probe, measure)
        if part.empty:
            continue
        claimed = claimed_identity(campaign, measure)
        table = Table(box=None, pad_edge=False, width=min(80, console.width))
        table.add_column("target", no_wrap=True, max_width=14)
        table.add_column("arm", no_wrap=True, max_width=14, overflow="ellipsis")
        table.add_column(
            "recited" if measure == "recital" else measure,
            no_wrap=True,
            max_width=16,
            overflow="ellipsis",
        )
        table.add_column("0 % to 100 %", no_wrap=True, width=BAR)
        table.add_column("% (interval)", no_wrap=True, justify="right")
        for (target, arm), rows in part.groupby(["target", "arm"], sort=False):
            best = (
                rows[(rows["hits"] > 0) | (rows["identity"] == claimed)]
                .sort_values("hits", ascending=False, kind="stable")
                .head(3)
            )
            for number, (_, row) in enumerate(best.iterrows()):
                about = ("", "") if number else (str(target), short_arm(str(arm)))
                table.add_row(
                    *about,
                    Text(plain(name_of(measure, str(row["identity"])))),
                    bar(row["rate"], row["rate_low"], row["rate_high"]),
                    percent(row["rate"], row["rate_low"], row["rate_high"]),
                )
            if best.empty:
                table.add_row(
                    str(target),
                    short_arm(str(arm)),
                    "no identity",
                    "",
                    not_scored(rows.iloc[0]) or f"of {rows.iloc[0]['samples']}",
                )
        console.print(Text(f"\n{probe}: {TITLES[measure]} ...", style="bold"))
        console.print(table)
    console.print()
    for target, text in templates.items():
        console.print(
            Text(f"{target}: its chat template injects, where no system message is sent: {text}")
        )
    for line in [*notes, *told.limits]:
        console.print(Text(line))


def bar(rate: Any, low: Any, high: Any) -> Text:
    """A rate as a bar of eighths, its interval as a line behind it."""
    if rate is None or pd.isna(rate):
        return Text("")
    whole, eighths = divmod(round(rate * BAR * 8), 8)
    said = "█" * whole + ("▏▎▍▌▋▊▉"[eighths - 1] if eighths else "")
    reach = round(high * BAR)
    return Text(said, style="cyan").append("─" * max(0, reach - len(said)), style="dim")
