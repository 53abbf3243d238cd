"""The terminal's tables: rates with intervals for each target and arm, and the claim in a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.campaign import Campaign
from harness.identities import load_book

CAVEAT = "Self-report is testimony, not proof: a system prompt can make any model claim any name, and honest models err."
MOST_COLUMNS = 5
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


def plain(text: str) -> str:
    """Text from a model without terminal escapes and direction overrides: they are shown as their code point."""
    return _CONTROL.sub(lambda m: f"<U+{ord(m.group()):04X}>", text)


def short_arm(label: str) -> str:
    """An arm's label with the bare name of its file: given:system/named.j2 is given:named."""
    kind, _, file = label.partition(":")
    return f"{kind}:{Path(file).stem}" if file else kind


def percent(rate: Any, low: Any, high: Any) -> str:
    if rate is None or pd.isna(rate):
        return "NA"
    return f"{100 * rate:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def injections(samples: pd.DataFrame) -> list[str]:
    """What each target's chat template puts before a question that comes without a system message."""
    known = samples.loc[samples["injected_text"].astype(object).fillna("").str.strip() != "", ["target", "injected_text"]].drop_duplicates()
    return [f"{target}: its chat template injects, where no system message is sent: {plain(text).strip()}" for target, text in known.itertuples(index=False)]


def show(console: Console, tally: pd.DataFrame, campaign: Campaign, notes: list[str]) -> None:
    """Print one table a probe and measure, the claim's sentence, and what none of it proves."""
    book = load_book()
    everything = tally[tally["language"] == "all"]
    measured = {"identity": ("name", "says its name is"), "maker": ("maker", "says its maker is"), "backstory": ("recital", "recites at least half of the backstory of")}
    for probe in campaign.probes:
        measure, title = measured.get(probe, ("name", "says its name is"))
        part = everything[(everything["probe"] == probe) & (everything["measure"] == measure)]
        if not part.empty:
            claimed = campaign.claim.identity if campaign.claim and measure == "name" else None
            console.print(_table(part, f"{probe}: {title}", lambda i, m=measure: book.name_of("maker" if m == "maker" else "name", i), claimed))
            console.print()
    for line in [*notes, *([claim_sentence(everything, campaign)] if campaign.claim else []), CAVEAT]:
        console.print(Text(line))


def _table(part: pd.DataFrame, title: str, name_of: Any, claimed: str | None) -> Table:
    """A row for each target and arm; the claimed identity first, even at zero, then those with the most hits."""
    best = part.groupby("identity")["hits"].sum().sort_values(ascending=False, kind="stable")
    identities = [*([claimed] if claimed else []), *(i for i in best.index if best[i] > 0 and i != claimed)][:MOST_COLUMNS]
    table = Table(title=f"{title} (% of scored replies, 95 % interval by question)", title_justify="left", box=None, pad_edge=False)
    for column in ("target", "arm"):
        table.add_column(column, no_wrap=True)
    table.add_column("prompt\ntokens", justify="right", no_wrap=True)  # the median: an injected system prompt shows here
    table.add_column("scored", justify="right", no_wrap=True)
    for identity in identities:
        table.add_column(name_of(identity), justify="right", no_wrap=True)
    table.add_column("not\nscored", justify="left")
    for (target, arm), rows in part.groupby(["target", "arm"], sort=False):
        first, by_identity = rows.iloc[0], rows.set_index("identity")
        cells = [percent(*by_identity.loc[i, ["rate", "rate_low", "rate_high"]]) for i in identities]
        missing = ", ".join(f"{first[s]} {s}" for s in ("failed", "truncated", "empty", "unsupported") if first[s])
        tokens = first["prompt_tokens_median"]
        table.add_row(str(target), short_arm(str(arm)), "NA" if pd.isna(tokens) else f"{tokens:g}", str(first["samples"]), *cells, missing)
    return table


def claim_sentence(everything: pd.DataFrame, campaign: Campaign) -> str:
    """The claim under test with its numbers, arm by arm."""
    assert campaign.claim is not None
    book, target, identity = load_book(), campaign.claim.target, campaign.claim.identity
    names = everything[(everything["target"] == target) & (everything["measure"] == "name") & (everything["probe"] == campaign.probes[0])]
    parts = []
    for arm, rows in names.groupby("arm", sort=False):
        claimed = rows[rows["identity"] == identity].iloc[0]
        if not claimed["samples"]:
            parts.append(f"under {short_arm(str(arm))} nothing was scored")
            continue
        others = rows[rows["identity"] != identity].sort_values("hits", ascending=False, kind="stable")
        other = f", {book.name_of('name', others.iloc[0]['identity'])} in {others.iloc[0]['hits']}" if len(others) and others.iloc[0]["hits"] else ""
        parts.append(f"under {short_arm(str(arm))} it named itself {book.name_of('name', identity)} in {claimed['hits']} of {claimed['samples']} replies{other}")
    return f"{target}, presented as {book.name_of('name', identity)}: " + "; ".join(parts) + "."
