"""What a run says, in sentences.

The claim under test, what the numbers make of it, and what they do not prove.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from harness.campaign import Campaign, load_book, load_probe
from harness.console import percent
from harness.counting import Read
from harness.counting.counted import OTHER, STATUSES
from harness.counting.drawn import PLAIN

Outcome = Literal["contradicted", "supported", "undecided", "none"]
CAVEAT = (
    "Self-report is testimony, not proof: a system prompt can make any model claim any name, "
    "and honest models err."
)
LINEAGE = (
    "A name is not a lineage: whose weights these are is a question for the weights themselves."
)
TITLES = {
    "name": "says its name is",
    "maker": "says its maker is",
    "recital": "recites at least half of the backstory of",
}


def called(identity: str) -> str:
    """A name as a sentence gives it: unlisted ones in quotes."""
    if identity.startswith("other:"):
        return f'"{identity.removeprefix("other:")}"'
    return name_of("name", identity)


class Story(NamedTuple):
    """The first screen in words.

    ``outcome`` is about the claim under test; ``none`` where the campaign makes no claim.
    """

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


class _Arm:
    """The names that a target gave itself in one arm."""

    def __init__(self, rows: pd.DataFrame, claimed: str) -> None:
        self.scored = int(rows["samples"].iloc[0]) if len(rows) else 0
        self.claimed = rows[rows["identity"] == claimed].iloc[0] if self.scored else None
        # a pool of rare names is nobody
        somebody = (rows["identity"] != claimed) & (rows["identity"] != OTHER)
        named = rows[somebody & (rows["hits"] > 0)]
        others = named.sort_values("hits", ascending=False, kind="stable")
        self.other = others.iloc[0] if self.scored and len(others) else None

    def said(self, row: Any) -> str:
        known = rate_of(row)
        rate = percent(known.rate, known.low, known.high)
        rate = rate.replace(" (", " %, interval ").replace(")", " %")
        checked = f"; people read {known.read} of them" if known.read else ""
        return f"{row['hits']} of {self.scored} replies ({rate}{checked})"


class Known(NamedTuple):
    """A rate and its interval; ``read`` says on how many replies that people read it rests."""

    rate: float
    low: float
    high: float
    read: int


def rate_of(row: Any) -> Known:
    """The rate of a tally's row: as people's reading makes it, where they read some; else raw."""
    if pd.notna(row["checked_n"]):
        read = int(row["checked_n"])
        return Known(row["checked_rate"], row["checked_low"], row["checked_high"], read)
    return Known(row["rate"], row["rate_low"], row["rate_high"], 0)


def story(
    tally: pd.DataFrame, campaign: Campaign, injected: dict[str, str], read: Read | None = None
) -> Story:
    """The story of a run's tally.

    ``injected`` is what each target's chat template puts before a question, where that is known;
    ``read`` is what people read of the run.
    """
    probe = next((p for p in campaign.probes if measure_of(p) == "name"), campaign.probes[0])
    names = rates_of(tally, probe, "name")
    limits = [*_limits(names, campaign), *(read.notes if read else ())]
    if campaign.claim is None:
        verdict = "The campaign names no claim to test; the rates stand below."
        return Story("none", " ".join([verdict, *_by_people(read)]), [], limits)
    target, identity = campaign.claim.target, campaign.claim.identity
    name = name_of("name", identity)
    mine = names[names["target"] == target]
    arms = {arm: _Arm(mine[mine["arm"] == arm], identity) for arm in campaign.arms}
    numbers = [_numbers(arm, found, name) for arm, found in arms.items()]
    plain = next((arm for arm in PLAIN if arm in arms and arms[arm].scored), None)
    if plain is None:
        verdict = (
            "Nothing was scored without a system prompt, so this run cannot say whose name "
            f"{target} gives by itself."
        )
        return Story("undecided", verdict, numbers, limits)
    outcome, verdict = _judged(arms[plain], plain, target, name)
    verdict = " ".join([verdict, *_by_people(read)])
    other = arms[plain].other
    if outcome == "contradicted" and other is not None:
        source = _source(arms, arms[plain].claimed, name, injected.get(target))
        beside = _beside(names, campaign, plain, str(other["identity"]))
        verdict = " ".join([verdict, *source, *beside])
    return Story(outcome, verdict, numbers, limits)


def _by_people(read: Read | None) -> list[str]:
    """What people read, and how often they agree with the classifier."""
    return [str(read)] if read else []


def _limits(names: pd.DataFrame, campaign: Campaign) -> list[str]:
    """What the numbers do not prove."""
    asked = names["questions"]
    questions = int(asked.max()) if len(names) and asked.notna().any() else 0
    limits = [
        CAVEAT,
        LINEAGE,
        f"Intervals (95 %) are for questions like the {questions} that were asked; "
        "other questions, sampling parameters or days may differ.",
    ]
    if campaign.stop:
        limits.append(
            "Sampling could stop early, once the rate of "
            f"{name_of('name', campaign.stop.identity)} was clear; for that name, "
            "anytime_low and anytime_high in tally.csv hold nonetheless."
        )
    return limits


def _judged(found: _Arm, arm: str, target: str, name: str) -> tuple[Outcome, str]:
    """What an arm that names nobody says of the claim."""
    claimed, other = found.claimed, found.other
    assert claimed is not None
    without = "Without any system prompt" if arm == "bare" else "With an empty system prompt"
    known, of_other = rate_of(claimed), None if other is None else rate_of(other)
    if other is not None and of_other is not None and of_other.low > known.high:
        return "contradicted", (
            f"{without}, {target} does not call itself {name}: {found.said(claimed)}. "
            f"It calls itself {called(other['identity'])}: {found.said(other)}."
        )
    if known.low > 0.5 and (of_other is None or known.low > of_other.high):
        return "supported", f"{without}, {target} calls itself {name}: {found.said(claimed)}."
    said = f"{without}, {target} called itself {name} in {found.said(claimed)}"
    if other is not None:
        said += f" and {called(other['identity'])} in {found.said(other)}"
    return "undecided", f"{said}. That does not settle whose name it is."


def _numbers(arm: str, found: _Arm, name: str) -> str:
    if found.claimed is None:
        return f"under {short_arm(arm)} nothing was scored"
    said = f"{name} in {found.claimed['hits']} of {found.scored} replies"
    if found.other is not None:
        said += f", {called(found.other['identity'])} in {found.other['hits']}"
    return f"under {short_arm(arm)} it named itself {said}"


def _source(arms: dict[str, _Arm], claimed: Any, name: str, injected: str | None) -> list[str]:
    """Where the claimed name comes from, if the arm that sends nothing shows it."""
    absent = arms.get("absent")
    if absent is None or absent.claimed is None:
        return []
    if rate_of(absent.claimed).low <= rate_of(claimed).high:
        return []
    source = (
        "a system prompt that its chat template injects"
        if injected
        else "what the host puts before the question"
    )
    return [
        f"The name {name} comes from {source}: where no system message is sent, "
        f"{absent.said(absent.claimed)} give it."
    ]


def _beside(names: pd.DataFrame, campaign: Campaign, arm: str, identity: str) -> list[str]:
    """The same name in the same arm, from the other targets."""
    rows = names[(names["arm"] == arm) & (names["identity"] == identity) & (names["samples"] > 0)]
    counts = {
        str(target): f"{int(hits)} of {int(samples)}"
        for target, hits, samples in zip(rows["target"], rows["hits"], rows["samples"], strict=True)
    }
    said = [
        f"{t.name if t.role == t.name else f'{t.name} ({t.role})'} {counts[t.name]}"
        for t in campaign.targets
        if t.role != "suspect" and t.name in counts
    ]
    if not said:
        return []
    return [
        f"Beside it, {called(identity)} is the name that these give in the same arm: "
        f"{', '.join(said)}."
    ]
