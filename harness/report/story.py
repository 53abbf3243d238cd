"""What a run says, in sentences: the claim under test, what the numbers make of it, and what they do not prove."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from harness.campaign import Campaign, load_book, load_probe
from harness.console import percent
from harness.counting.counted import OTHER, STATUSES

Outcome = Literal["contradicted", "supported", "undecided", "none"]
CAVEAT = "Self-report is testimony, not proof: a system prompt can make any model claim any name, and honest models err."
#: Arms without any text that names the model, the most telling first.
PLAIN = ("bare", "empty")
TITLES = {
    "name": "says its name is",
    "maker": "says its maker is",
    "recital": "recites at least half of the backstory of",
}


def called(identity: str) -> str:
    """A name as a sentence gives it: unlisted ones in quotes."""
    return (
        f'"{identity.removeprefix("other:")}"'
        if identity.startswith("other:")
        else name_of("name", identity)
    )


class Story(NamedTuple):
    """The first screen in words. ``outcome`` is about the claim under test; ``none`` where the campaign makes no claim."""

    outcome: Outcome
    verdict: str
    numbers: list[str]
    limits: list[str]


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
    return ", ".join(f"{row[status]} {status}" for status in STATUSES if row[status])


def shown(
    tally: pd.DataFrame, probe: str, measure: str, claimed: str | None, most: int
) -> list[str]:
    """The identities worth a column: the claimed one, even at zero, then those with the most hits."""
    best = (
        rates_of(tally, probe, measure)
        .groupby("identity")["hits"]
        .sum()
        .sort_values(ascending=False, kind="stable")
    )
    return [
        *([claimed] if claimed else []),
        *(str(i) for i in best.index if best[i] > 0 and i != claimed),
    ][:most]


def claimed_identity(campaign: Campaign, measure: str = "name") -> str | None:
    return campaign.claim.identity if campaign.claim and measure == "name" else None


class _Arm:
    """The names that a target gave itself in one arm."""

    def __init__(self, rows: pd.DataFrame, claimed: str) -> None:
        self.scored = int(rows["samples"].iloc[0]) if len(rows) else 0
        self.claimed = rows[rows["identity"] == claimed].iloc[0] if self.scored else None
        named = rows[
            (rows["identity"] != claimed) & (rows["identity"] != OTHER) & (rows["hits"] > 0)
        ]  # a pool of rare names is nobody
        others = named.sort_values("hits", ascending=False, kind="stable")
        self.other = others.iloc[0] if self.scored and len(others) else None

    def said(self, row: Any) -> str:
        return f"{row['hits']} of {self.scored} replies ({percent(row['rate'], row['rate_low'], row['rate_high']).replace(' (', ' %, interval ').replace(')', ' %)')}"


def story(tally: pd.DataFrame, campaign: Campaign, injected: dict[str, str]) -> Story:
    """The story of a run's tally; ``injected`` is what each target's chat template puts before a question, where that is known."""
    probe = next((p for p in campaign.probes if measure_of(p) == "name"), campaign.probes[0])
    names = rates_of(tally, probe, "name")
    limits = [
        CAVEAT,
        "A name is not a lineage: whose weights these are is a question for the weights themselves.",
    ]
    questions = (
        int(names["questions"].max()) if len(names) and names["questions"].notna().any() else 0
    )
    limits.append(
        f"Intervals (95 %) are for questions like the {questions} that were asked; other questions, sampling parameters or days may differ."
    )
    if campaign.stop:
        limits.append(
            f"Sampling could stop early, once the rate of {name_of('name', campaign.stop.identity)} was clear; for that name, anytime_low and anytime_high in tally.csv hold nonetheless."
        )
    if campaign.claim is None:
        return Story(
            "none", "The campaign names no claim to test; the rates stand below.", [], limits
        )
    target, identity = campaign.claim.target, campaign.claim.identity
    name = name_of("name", identity)
    mine = names[names["target"] == target]
    arms = {arm: _Arm(mine[mine["arm"] == arm], identity) for arm in campaign.arms}
    numbers = [_numbers(arm, found, name) for arm, found in arms.items()]
    plain = next((arm for arm in PLAIN if arm in arms and arms[arm].scored), None)
    if plain is None:
        return Story(
            "undecided",
            f"Nothing was scored without a system prompt, so this run cannot say whose name {target} gives by itself.",
            numbers,
            limits,
        )
    found = arms[plain]
    claimed, other = found.claimed, found.other
    assert claimed is not None
    without = "Without any system prompt" if plain == "bare" else "With an empty system prompt"
    if other is not None and other["rate_low"] > claimed["rate_high"]:
        verdict = f"{without}, {target} does not call itself {name}: {found.said(claimed)}. It calls itself {called(other['identity'])}: {found.said(other)}."
        return Story(
            "contradicted",
            " ".join(
                [
                    verdict,
                    *_source(arms, claimed, name, injected.get(target)),
                    *_beside(names, campaign, plain, str(other["identity"])),
                ]
            ),
            numbers,
            limits,
        )
    if claimed["rate_low"] > 0.5 and (other is None or claimed["rate_low"] > other["rate_high"]):
        return Story(
            "supported",
            f"{without}, {target} calls itself {name}: {found.said(claimed)}.",
            numbers,
            limits,
        )
    said = f"{without}, {target} called itself {name} in {found.said(claimed)}" + (
        f" and {called(other['identity'])} in {found.said(other)}" if other is not None else ""
    )
    return Story("undecided", f"{said}. That does not settle whose name it is.", numbers, limits)


def _numbers(arm: str, found: _Arm, name: str) -> str:
    if found.claimed is None:
        return f"under {short_arm(arm)} nothing was scored"
    other = (
        f", {called(found.other['identity'])} in {found.other['hits']}"
        if found.other is not None
        else ""
    )
    return f"under {short_arm(arm)} it named itself {name} in {found.claimed['hits']} of {found.scored} replies{other}"


def _source(arms: dict[str, _Arm], claimed: Any, name: str, injected: str | None) -> list[str]:
    """Where the claimed name comes from, if the arm that sends nothing shows it."""
    absent = arms.get("absent")
    if (
        absent is None
        or absent.claimed is None
        or absent.claimed["rate_low"] <= claimed["rate_high"]
    ):
        return []
    source = (
        "a system prompt that its chat template injects"
        if injected
        else "what the host puts before the question"
    )
    return [
        f"The name {name} comes from {source}: where no system message is sent, {absent.said(absent.claimed)} give it."
    ]


def _beside(names: pd.DataFrame, campaign: Campaign, arm: str, identity: str) -> list[str]:
    """The same name in the same arm, from the other targets."""
    rows = names[(names["arm"] == arm) & (names["identity"] == identity) & (names["samples"] > 0)]
    counts = {
        str(target): (int(hits), int(samples))
        for target, hits, samples in zip(rows["target"], rows["hits"], rows["samples"], strict=True)
    }
    beside = [t for t in campaign.targets if t.role != "suspect" and t.name in counts]
    said = [
        f"{t.name if t.role == t.name else f'{t.name} ({t.role})'} {counts[t.name][0]} of {counts[t.name][1]}"
        for t in beside
    ]
    return (
        [
            f"Beside it, {called(identity)} is the name that these give in the same arm: {', '.join(said)}."
        ]
        if said
        else []
    )
