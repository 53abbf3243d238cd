"""What a run says, in sentences: the claim under test, what the numbers make of it, and what not.

`sentences.py` is the table of all sentences and their conditions, `facts.py` what they rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import pandas as pd

from harness.campaign import Campaign
from harness.counting import Read
from harness.report.behind import NOTHING, Behind
from harness.report.conditions import contradicted, supported
from harness.report.facts import Arm, Facts
from harness.report.rows import called, measure_of, rates_of, short_arm
from harness.report.sentences import SENTENCES

Outcome = Literal["contradicted", "supported", "undecided", "none"]


class Story(NamedTuple):
    """The first screen in words.

    ``outcome`` is about the claim under test; ``none`` where the campaign makes no claim. ``said``
    are the names in `sentences.SENTENCES` of what is said.
    """

    outcome: Outcome
    verdict: str
    numbers: list[str]
    limits: list[str]
    said: tuple[str, ...]


def story(
    tally: pd.DataFrame,
    campaign: Campaign,
    injected: dict[str, str],
    read: Read | None = None,
    repeats: Sequence[str] = (),
    behind: Behind = NOTHING,
) -> Story:
    """The story of a run's tally.

    ``injected`` is what each target's chat template puts before a question, where that is known;
    ``read`` is what people read of the run; ``repeats`` says where repeats are not independent;
    ``behind`` is what the host says of who answered.
    """
    probe = next((p for p in campaign.probes if measure_of(p) == "name"), campaign.probes[0])
    facts = Facts(campaign, rates_of(tally, probe, "name"), injected, read, behind)
    told = [sentence for sentence in SENTENCES if sentence.holds(facts)]
    verdict = " ".join(s.says(facts) for s in told if s.place == "verdict")
    limits = [s.says(facts) for s in told if s.place == "limits"]
    return Story(
        _outcome(facts),
        verdict,
        [_numbers(arm, facts.name) for arm in facts.arms.values()],
        [*limits, *(read.notes if read else ()), *repeats],
        tuple(s.name for s in told),
    )


def _outcome(facts: Facts) -> Outcome:
    if not facts.claims:
        return "none"
    if contradicted(facts):
        return "contradicted"
    return "supported" if supported(facts) else "undecided"


def _numbers(arm: Arm, name: str) -> str:
    if arm.claimed is None:
        return f"under {short_arm(arm.label)} nothing was scored"
    said = f"{name} in {arm.claimed.hits} of {arm.scored} replies"
    if arm.other is not None:
        said += f", {called(arm.other.identity)} in {arm.other.hits}"
    return f"under {short_arm(arm.label)} it named itself {said}"
