"""The terminal's views: rates as tables, the story with bars, and the short ending of a report.

Nothing is wider than the terminal, and no number is cut: columns that do not fit are left out and
named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
from rich.cells import set_cell_size
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harness.campaign import Campaign
from harness.console import percent, plain
from harness.counting import Tables
from harness.counting.counted import OTHER
from harness.exposure.injected import is_empty_turn
from harness.journal import Run
from harness.report.behind import behind
from harness.report.recited import recited_sentences
from harness.report.rows import (
    RATES,
    TITLES,
    claimed_identity,
    measure_of,
    name_of,
    not_scored,
    rates_of,
    records,
    short_arm,
    shown,
    table_rate,
)
from harness.report.story import Story, story

MOST_COLUMNS: Final = 5
BAR: Final = 20
#: Characters of a name beside its rate in one cell.
MOST_NAME: Final = 16
#: Spaces between two columns.
GAP: Final = 2
#: Characters that a column of "not scored" takes at most; it breaks between words.
NOT_SCORED: Final = 24


def injected(samples: pd.DataFrame) -> dict[str, str]:
    """What each target's chat template puts before a question without a system message."""
    return _first_texts(samples, "injected_text")


def expected_texts(samples: pd.DataFrame) -> dict[str, str]:
    """What the named folders let expect before a question; it was not seen at the hosts."""
    return _first_texts(samples, "expected_injected_text")


def _first_texts(samples: pd.DataFrame, column: str) -> dict[str, str]:
    there = samples[column].astype(object).fillna("").str.strip() != ""
    known = samples.loc[there, ["target", column]].drop_duplicates("target")
    return {str(target): plain(str(text)).strip() for target, text in known.itertuples(index=False)}


def told_of(tables: Tables, campaign: Campaign) -> Story:
    """The story of a run's tables."""
    return story(
        tables.tally,
        campaign,
        injected(tables.samples),
        tables.read,
        tables.dependence.notes,
        behind(tables.samples, campaign),
    )


def show_banner(console: Console, first: Sequence[str]) -> None:
    """What has to be known before any verdict, if there is something."""
    for line in first:
        console.print(Text(line, style="bold yellow"))
    if first:
        console.print()


def show_rates(console: Console, tables: Tables, campaign: Campaign, notes: list[str]) -> None:
    """Print one table a probe and measure, the claim's sentence, and what none of it proves."""
    for probe in campaign.probes:
        measure = measure_of(probe)
        part = rates_of(tables.tally, probe, measure)
        if not part.empty:
            claimed = claimed_identity(campaign, measure)
            identities = shown(tables.tally, probe, measure, claimed, MOST_COLUMNS)
            title = f"{probe}: {TITLES[measure]} (% of scored replies, 95 % interval by question)"
            console.print(Text(title, style="italic"))
            _print_rates(console, part, measure, identities, claimed)
            console.print()
    told = told_of(tables, campaign)
    _print_injected(console, tables)
    if campaign.claim:
        name = name_of("name", campaign.claim.identity)
        numbers = "; ".join(told.numbers)
        console.print(Text(f"{campaign.claim.target}, presented as {name}: {numbers}."))
    recited = recited_sentences(tables.recitals, campaign)
    for line in [*notes, told.verdict, *recited, *told.limits]:
        console.print(Text(line))


def _print_injected(console: Console, tables: Tables) -> None:
    for target, text in injected(tables.samples).items():
        console.print(Text(f"{target}: {injects(text)}"))
    for target, text in expected_texts(tables.samples).items():
        said = "by the folder under `tokenizer`, which is an expectation, not seen at the host"
        console.print(Text(f"{target}: {said}: {injects(text)}"))


def injects(text: str) -> str:
    """What a chat template puts before a question, in words."""
    if is_empty_turn(text):
        return "its chat template writes an empty system turn before a question"
    return f"its chat template injects before a question: {text}"


class _Side:
    """What one target and arm show, as text."""

    def __init__(
        self, target: Any, arm: Any, rows: pd.DataFrame, measure: str, identities: list[str]
    ) -> None:
        self.target, self.arm = str(target), short_arm(str(arm))
        first = rows.iloc[0]
        mine = rows.loc[rows["identity"].isin(identities), ["identity", *RATES]]
        by_identity = {str(row["identity"]): row for row in records(mine)}
        tokens = first["prompt_tokens_median"]
        self.tokens = "NA" if pd.isna(tokens) else f"{tokens:g}"
        self.scored = str(first["samples"])
        self.rates = [percent(*table_rate(by_identity[i])) for i in identities]
        self.missing = not_scored(first)
        best = rows.iloc[int(rows["hits"].to_numpy().argmax())]
        name = set_cell_size(plain(name_of(measure, str(best["identity"]))), MOST_NAME).rstrip()
        self.most = f"{name} {percent(*table_rate(best))}" if best["hits"] else "none"


def _print_rates(
    console: Console, part: pd.DataFrame, measure: str, identities: list[str], claimed: str | None
) -> None:
    """A row for each target and arm, with a column for each identity.

    Where the terminal has no room for all of them: the claimed one, and the one given most.
    """
    groups = part.groupby(["target", "arm"], sort=False)
    sides = [_Side(target, arm, rows, measure, identities) for (target, arm), rows in groups]
    names = [plain(name_of(measure, identity)) for identity in identities]
    each = {name: [s.rates[at] for s in sides] for at, name in enumerate(names)}
    most = {"given most": [s.most for s in sides]}
    wide = console.options.update(max_width=10_000)
    for rates, tokens in (
        (each, True),
        (({names[0]: each[names[0]]} if claimed in identities else {}) | most, True),
        (most, False),
    ):
        table = _table(sides, rates, tokens=tokens)
        if Measurement.get(console, wide, table).maximum <= console.width:
            return console.print(table)
    return _print_lines(console, sides, names)


def _table(sides: list[_Side], rates: dict[str, list[str]], *, tokens: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("target", no_wrap=True)
    table.add_column("arm", no_wrap=True)
    if tokens:  # the median: an injected system prompt shows here
        table.add_column("prompt\ntokens", justify="right", no_wrap=True)
    table.add_column("scored", justify="right", no_wrap=True)
    for name in rates:
        table.add_column(Text(name), justify="right", no_wrap=True)
    missing = any(s.missing for s in sides)
    if missing:
        table.add_column("not\nscored", max_width=NOT_SCORED)
    for at, s in enumerate(sides):
        row: list[Text | str] = [
            Text(s.target),
            Text(s.arm),
            *([s.tokens] if tokens else []),
            s.scored,
        ]
        row += [Text(column[at]) for column in rates.values()]
        table.add_row(*row, *([s.missing] if missing else []))
    return table


def _print_lines(console: Console, sides: list[_Side], names: list[str]) -> None:
    """What a terminal without room for a table is shown."""
    for s in sides:
        rates = ", ".join(f"{name} {rate}" for name, rate in zip(names, s.rates, strict=True))
        missing = f"; {s.missing}" if s.missing else ""
        console.print(Text(f"{s.target} {s.arm}: {rates}; of {s.scored}{missing}"))


def show_bars(console: Console, tables: Tables, campaign: Campaign, notes: list[str]) -> None:
    """The whole story in 80 columns: for each target and arm what it shows, as bars."""
    told = told_of(tables, campaign)
    _print_verdict(console, told, tables, campaign)
    for probe in campaign.probes:
        measure = measure_of(probe)
        part = rates_of(tables.tally, probe, measure)
        if not part.empty:
            console.print(Text(f"\n{probe}: {TITLES[measure]} ...", style="bold"))
            console.print(_bars(console, part, campaign, measure))
    console.print()
    _print_injected(console, tables)
    for line in [*notes, *told.limits]:
        console.print(Text(line))


def _print_verdict(console: Console, told: Story, tables: Tables, campaign: Campaign) -> None:
    """What was claimed, and what the run says of it."""
    if campaign.claim:
        name = name_of("name", campaign.claim.identity)
        console.print(
            Text(f"{campaign.campaign}: is {campaign.claim.target} {name}?", style="bold")
        )
    for line in [told.verdict, *recited_sentences(tables.recitals, campaign)]:
        console.print(Text(line))


def _bars(
    console: Console, part: pd.DataFrame, campaign: Campaign, measure: str, *, targets: bool = True
) -> Table:
    """For each target and arm the claimed identity, and those with the most hits, as bars."""
    claimed = claimed_identity(campaign, measure)
    table = Table(box=None, pad_edge=False, width=min(80, console.width))
    if targets:
        table.add_column("target", no_wrap=True, max_width=14)
    table.add_column("arm", no_wrap=True, max_width=14, overflow="ellipsis")
    head = "recited" if measure == "recital" else measure
    table.add_column(head, no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column("0 % to 100 %", no_wrap=True, width=BAR)
    table.add_column("% (interval)", no_wrap=True, justify="right")
    for (target, arm), rows in part.groupby(["target", "arm"], sort=False):
        named = rows[(rows["hits"] > 0) | (rows["identity"] == claimed)]
        best = named.sort_values("hits", ascending=False, kind="stable").head(3)
        about = [str(target), short_arm(str(arm))] if targets else [short_arm(str(arm))]
        for _, row in best.iterrows():
            name = Text(plain(name_of(measure, str(row["identity"]))))
            rate = table_rate(row)
            table.add_row(*map(Text, about), name, bar(*rate), percent(*rate))
            about = [""] * len(about)
        if best.empty:
            first = rows.iloc[0]
            missing = not_scored(first) or f"of {first['samples']}"
            table.add_row(*map(Text, about), "no identity", "", missing)
    return table


def show_ending(console: Console, tables: Tables, campaign: Campaign, run: Run, page: Path) -> None:
    """What a report ends with: verdict, a picture an arm, the weights' line, where to read on."""
    told = told_of(tables, campaign)
    _print_verdict(console, told, tables, campaign)
    probe = next((p for p in campaign.probes if measure_of(p) == "name"), campaign.probes[0])
    measure = measure_of(probe)
    part = rates_of(tables.tally, probe, measure)
    suspects = [t.name for t in campaign.targets if t.role == "suspect"]
    about = [campaign.claim.target] if campaign.claim else suspects or [campaign.targets[0].name]
    # a pool of names that few replies give is nobody
    part = part[part["target"].isin(about) & (part["identity"] != OTHER)]
    if not part.empty:
        console.print()
        console.print(_bars(console, part, campaign, measure, targets=len(about) > 1))
    console.print()
    if sentence := _weights_line(run.folder / "weights.json"):
        console.print(Text(f"weights: {plain(sentence)}"))
    for line in [*run.journal.record.notes(), *tables.dependence.notes, told.limits[0]]:
        console.print(Text(line))
    console.print(Text(f"report: {page}"), soft_wrap=True)
    console.print(Text(f"tables: truename tally {run.name}"), soft_wrap=True)


def _weights_line(path: Path) -> str | None:
    """The first line of a merge check that was written into the run's folder."""
    if not path.is_file():
        return None
    from harness.weights import Found

    return msgspec.json.decode(path.read_bytes(), type=Found).sentence


def bar(rate: Any, low: Any, high: Any) -> Text:
    """A rate as a bar of eighths, its interval as a line behind it."""
    if rate is None or pd.isna(rate):
        return Text("")
    whole, eighths = divmod(round(rate * BAR * 8), 8)
    said = "█" * whole + ("▏▎▍▌▋▊▉"[eighths - 1] if eighths else "")
    reach = round(high * BAR)
    return Text(said, style="cyan").append("─" * max(0, reach - len(said)), style="dim")
