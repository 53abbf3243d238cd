"""What the story's sentences rest on: rates as far as they are known, of the claim's target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.campaign import Campaign
from harness.counting import Read, missing
from harness.counting.counted import OTHER
from harness.counting.drawn import PLAIN
from harness.counting.readings import same
from harness.report.behind import NOTHING, Behind
from harness.report.rows import name_of, short_arm
from harness.scoring import finder, normalize


class Known(NamedTuple):
    """A rate and its interval, and where it may lie whatever the missing replies would have said.

    ``read`` says on how many replies that people read it rests.
    """

    rate: float
    low: float
    high: float
    least: float
    most: float
    read: int


def rate_of(row: Any) -> Known:
    """The rate of a tally's row: as people's reading makes it, where they read some; else the
    classifier's. Where sampling could stop for it, the interval holds whenever it stopped.
    """
    if pd.notna(row["checked_n"]):
        rate, low, high = (float(row[f"checked_{name}"]) for name in ("rate", "low", "high"))
        gone = sum(missing.by_status(row).values())
        there = int(row["samples"]) / (int(row["samples"]) + gone)
        least, most = low * there, high * there + 1 - there
        return Known(rate, low, high, least, most, int(row["checked_n"]))
    rate, low, high = (float(row[name]) for name in ("rate", "rate_low", "rate_high"))
    least, most = float(row["rate_low_missing"]), float(row["rate_high_missing"])
    if pd.notna(row["anytime_low"]):
        rate = rate if pd.isna(row["anytime_rate"]) else float(row["anytime_rate"])
        low, high = min(low, row["anytime_low"]), max(high, row["anytime_high"])
    return Known(rate, low, high, min(low, least), max(high, most), 0)


class Said:
    """How often one name is given in an arm: its row of the tally, what is known of its rate."""

    def __init__(self, row: Any) -> None:
        self.row = row
        self.identity = str(row["identity"])
        self.hits = int(row["hits"])
        self.known = rate_of(row)

    @property
    def elsewhere(self) -> tuple[float, float]:
        """Where the rate may lie in languages like those asked; from 0 to 1 if it was one."""
        low, high = self.row["language_low"], self.row["language_high"]
        if pd.isna(low):
            return 0.0, 1.0
        return min(float(low), self.known.least), max(float(high), self.known.most)


class Arm:
    """The names that the claim's target gave itself in one arm; ``rows`` are of the tally."""

    def __init__(self, label: str, rows: pd.DataFrame, claimed: str) -> None:
        self.label = label
        self.scored = int(rows["samples"].iloc[0]) if len(rows) else 0
        self.missing = missing.by_status(rows.iloc[0] if len(rows) else {})
        self.questions = int(rows["questions"].iloc[0]) if self.scored else 0
        self.languages = int(rows["languages"].iloc[0]) if self.scored else 0
        said = [Said(row) for _, row in rows.iterrows()] if self.scored else []
        self.claimed = next((one for one in said if one.identity == claimed), None)
        # a pool of rare names is nobody
        others = [s for s in said if s.hits and s.identity not in (claimed, OTHER)]
        self.others = sorted(others, key=lambda one: -one.hits)
        self.first = rows.iloc[0] if self.scored else None

    @property
    def other(self) -> Said | None:
        """The name that is given most, but for the claimed one."""
        return self.others[0] if self.others else None

    @property
    def asked(self) -> int:
        return self.scored + sum(self.missing.values())

    @property
    def missing_share(self) -> float:
        return 1 - self.scored / self.asked if self.asked else 1.0

    def p_missing(self, by: str) -> float:
        """The p-value of whether replies are missing by arm, or by question; 1 where unknown."""
        p = None if self.first is None else self.first[f"missing_p_{by}"]
        return 1.0 if p is None or pd.isna(p) else float(p)


@dataclass(frozen=True)
class Facts:
    """Everything that a sentence may rest on.

    ``names`` are the tally's rows of the probe that asks for the name, ``injected`` what each
    target's chat template puts before a question, where that is known; ``behind`` is who answered.
    """

    campaign: Campaign
    names: pd.DataFrame
    injected: Mapping[str, str]
    read: Read | None
    behind: Behind = NOTHING

    @property
    def claims(self) -> bool:
        return self.campaign.claim is not None

    @property
    def target(self) -> str:
        assert self.campaign.claim is not None
        return self.campaign.claim.target

    @property
    def identity(self) -> str:
        assert self.campaign.claim is not None
        return self.campaign.claim.identity

    @property
    def name(self) -> str:
        return name_of("name", self.identity)

    @cached_property
    def arms(self) -> dict[str, Arm]:
        mine = self.names[self.names["target"] == self.target] if self.claims else self.names[:0]
        return {
            arm: Arm(arm, mine[mine["arm"] == arm], self.identity)
            for arm in (self.campaign.arms if self.claims else ())
        }

    @cached_property
    def plain(self) -> Arm | None:
        """The first arm without any text that names the model in which something was scored."""
        return next((self.arms[a] for a in PLAIN if a in self.arms and self.arms[a].scored), None)

    @property
    def absent(self) -> Arm | None:
        """The arm in which no system message is sent, if something was scored there."""
        arm = self.arms.get("absent")
        return arm if arm is not None and arm.scored else None

    @property
    def questions(self) -> int:
        """The most questions that were scored in one place."""
        asked = self.names["questions"]
        return int(asked.max()) if len(asked) and asked.notna().any() else 0

    @cached_property
    def holds_name(self) -> bool:
        """Whether the text that the target's template injects holds the claimed name, by the book's
        aliases.
        """
        text = self.injected.get(self.target, "")
        if self.identity.startswith("other:"):
            return self.identity.removeprefix("other:") in normalize(text).text.casefold()
        found = {m.family for m in finder().find(normalize(text))}
        return same(self.identity) in {same(str(family)) for family in found if family}


#: What stands before a rate.
WITHOUT: Final = {"bare": "Without any system prompt", "empty": "With an empty system prompt"}


def under(arm: str) -> str:
    return WITHOUT.get(arm, f"Under {short_arm(arm)}")
