"""Stopping early: an arm needs no more samples once its case is clear.

That is, once it is sure on which side of a threshold a rate is. Samples are then taken in rounds,
one of each question that asks for the name, and looked at after whole rounds. The bound on error
holds however often one looks (`harness.stats.evidence_beyond`), for the rate over the questions
that are asked, if the repeats of a question are independent. So an arm is decided only after
`FEWEST_ROUNDS`, and only while its rounds pass the tests of `harness.repeats`; one that fails is
sampled in full.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from harness import stats
from harness.campaign import Plan, Stop, load_probe
from harness.errors import CampaignError
from harness.repeats import FEWEST_ROUNDS, letters, order_of
from harness.targets import Reply

#: Level of the tests of dependence, at each look; a false alarm costs samples, and no error.
ALPHA_DEPENDENT = 0.01

Side = Literal["below", "above"]
SIDES: tuple[Side, ...] = ("below", "above")
#: Tells, for each text, the identities that it claims as its speaker's names.
NamesIn = Callable[[Sequence[str | None]], Sequence[Sequence[str]]]


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


class _Arm:
    """The rounds of one arm, and what the whole ones among them add up to."""

    def __init__(self, questions: int, rounds: int) -> None:
        self.rounds = [_Round(questions) for _ in range(rounds)]
        self.looked = self.hits = self.scored = 0
        self.replies: dict[int, dict[int, tuple[int, bool]]] = {}  # by position and round
        self.dependent = False

    def next_whole(self) -> bool:
        """Count the next round, if it is whole."""
        if self.looked == len(self.rounds) or self.rounds[self.looked].missing:
            return False
        self.hits += self.rounds[self.looked].hits
        self.scored += self.rounds[self.looked].scored
        self.looked += 1
        return True

    @property
    def passes(self) -> bool:
        """Whether the rounds looked at are enough, and their repeats look independent so far."""
        if self.looked < min(FEWEST_ROUNDS, len(self.rounds)):
            return False
        if not self.dependent:
            seen = [
                [said[number] for number in sorted(said) if number < self.looked]
                for said in self.replies.values()
            ]
            texts, hits = ([[one[i] for one in said] for said in seen] for i in (0, 1))
            order = order_of(texts, hits)
            self.dependent = order.copies or order.least < ALPHA_DEPENDENT
        return not self.dependent


class Stopping:
    """The sequences of one target, arm by arm.

    Raises
    ------
    CampaignError
        Probes that ask for the name have different numbers of samples: there are no whole rounds.
    """

    def __init__(self, rule: Stop, plan: Plan, target: str, names_in: NamesIn) -> None:
        names_in([""])  # whatever it loads is there before the first reply waits for it
        self.rule, self.plan, self.names_in = rule, plan, names_in
        self.decided: dict[str, Decision] = {}
        campaign = plan.campaign
        naming = {p for p in campaign.probes if load_probe(p).measures == "name"}
        naming = {probe for probe in naming if campaign.samples_of(probe)}
        if len({campaign.samples_of(probe) for probe in naming}) > 1:
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
        self.rounds = campaign.samples_of(next(iter(naming))) if naming else 0
        asked = Counter(self.arms.values())
        self._arms = {arm: _Arm(questions, self.rounds) for arm, questions in asked.items()}

    def order(self) -> Iterable[tuple[int, int]]:
        """(position, number) of every sample that asks for the name, round by round."""
        return ((position, number) for number in range(self.rounds) for position in self.arms)

    def wants(self, position: int) -> bool:
        """Whether the arm of a trial is still undecided."""
        return self.arms.get(position) not in self.decided

    def note(self, position: int, replies: Sequence[Reply]) -> Decision | None:
        """Count what came back; the decision, when this completes the round that brings it."""
        label = self.arms.get(position)
        if label is None:
            return None
        arm = self._arms[label]
        whole = [reply for reply in replies if reply.status == "ok"]
        for reply in replies:
            arm.rounds[reply.index].missing -= 1
        for reply, names in zip(whole, self.names_in([r.text for r in whole]), strict=True):
            arm.rounds[reply.index].scored += 1
            hit = self.rule.identity in names
            arm.rounds[reply.index].hits += hit
            said = arm.replies.setdefault(position, {})
            said[reply.index] = hash(letters(reply.text or "")), hit
        return self._look(label, arm)

    def _look(self, label: str, arm: _Arm) -> Decision | None:
        threshold, enough = self.rule.threshold, math.log(1 / self.rule.alpha)
        while label not in self.decided and arm.next_whole():
            for side in SIDES if arm.passes else ():
                if stats.evidence_beyond(arm.hits, arm.scored, threshold, side) >= enough:
                    self.decided[label] = Decision(side, arm.hits, arm.scored, arm.looked)
                    return self.decided[label]
        return None
