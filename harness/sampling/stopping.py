"""Stopping early: sampling of a target and arm ends once it is sure on which side of a threshold an identity's rate lies.

Samples are then taken in rounds, one of each question that asks for the name, and looked at after whole rounds. The bound on
error holds however often one looks (`harness.stats.evidence_beyond`), for the rate over the questions that are asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from harness import stats
from harness.campaign import probes
from harness.campaign.campaign import Stop
from harness.campaign.plan import Plan
from harness.errors import CampaignError
from harness.scoring.verdict import verdicts
from harness.targets import Reply

Side = Literal["below", "above"]


class Decision(NamedTuple):
    """What was found, and after how many scored samples."""

    side: Side
    hits: int
    samples: int
    rounds: int


class _Round:
    """Counts of one round: samples still missing, hits and scored ones."""

    def __init__(self, missing: int) -> None:
        self.missing, self.hits, self.scored = missing, 0, 0


class Stopping:
    """The sequences of one target, arm by arm.

    Raises
    ------
    CampaignError
        Probes that ask for the name have different numbers of samples, so that there are no whole rounds.
    """

    def __init__(self, rule: Stop, plan: Plan, target: str) -> None:
        next(
            verdicts([""])
        )  # the classifier is loaded, or fitted, before the first reply waits for it
        self.rule, self.plan = rule, plan
        self.decided: dict[str, Decision] = {}
        naming = {
            probe
            for probe in plan.campaign.probes
            if probes.load(probe).measures == "name" and plan.campaign.samples_of(probe)
        }
        if len({plan.campaign.samples_of(probe) for probe in naming}) > 1:
            raise CampaignError(
                "with 'stop', every probe that asks for the name needs the same number of samples",
                where="samples",
                next=f"give {', '.join(sorted(naming))} the same number",
            )
        self.arms: dict[int, str] = {}  # by position, of trials that ask for the name
        for position in plan.positions(target):
            trial = plan.trial(position)
            if trial.probe in naming:
                self.arms[position] = trial.arm.label
        self.rounds = plan.campaign.samples_of(next(iter(naming))) if naming else 0
        questions = {
            arm: sum(label == arm for label in self.arms.values())
            for arm in set(self.arms.values())
        }
        self._counts = {
            arm: [_Round(asked) for _ in range(self.rounds)] for arm, asked in questions.items()
        }
        self._looked = dict.fromkeys(questions, 0)
        self._hits, self._scored = dict.fromkeys(questions, 0), dict.fromkeys(questions, 0)

    def order(self) -> Iterable[tuple[int, int]]:
        """(position, number) of every sample that asks for the name, round by round."""
        return ((position, number) for number in range(self.rounds) for position in self.arms)

    def wants(self, position: int) -> bool:
        """Whether the arm of a trial is still undecided."""
        return self.arms.get(position) not in self.decided

    def note(self, position: int, replies: Iterable[Reply]) -> Decision | None:
        """Count what came back; the decision, when this completes the round that brings it."""
        arm = self.arms.get(position)
        if arm is None:
            return None
        for reply in replies:
            counts = self._counts[arm][reply.index]
            counts.missing -= 1
            if reply.status == "ok":
                counts.scored += 1
                counts.hits += self.rule.identity in next(verdicts([reply.text])).names
        return self._look(arm)

    def _look(self, arm: str) -> Decision | None:
        while (
            arm not in self.decided
            and self._looked[arm] < self.rounds
            and self._counts[arm][self._looked[arm]].missing == 0
        ):
            counts = self._counts[arm][self._looked[arm]]
            self._looked[arm] += 1
            self._hits[arm] += counts.hits
            self._scored[arm] += counts.scored
            for side in ("below", "above"):
                if stats.evidence_beyond(
                    self._hits[arm], self._scored[arm], self.rule.threshold, side
                ) >= math.log(1 / self.rule.alpha):
                    self.decided[arm] = Decision(
                        side, self._hits[arm], self._scored[arm], self._looked[arm]
                    )
                    return self.decided[arm]
        return None
