"""Stopping early: an arm needs no more samples once its case is clear.

That is, once it is sure on which side of a threshold a rate is. Samples are then taken in rounds,
one of each question that asks for the name, and looked at after whole rounds. The bound on error
holds however often one looks (`harness.stats.evidence_beyond`), for the rate over the questions
that are asked, if the repeats of a question are independent. So an arm is decided only after
`FEWEST_ROUNDS`, and only while its rounds pass the tests of `harness.repeats`; one that fails is
sampled in full, and that is told.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from harness import stats
from harness.campaign import Plan, Stop, load_probe
from harness.errors import CampaignError
from harness.repeats import FEWEST_ROUNDS, letters, near, order_of, sketch
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


class Answer(NamedTuple):
    """The replies of one request: what came back, its id, and what was told of who answered."""

    replies: Sequence[Reply]
    response_id: str | None = None
    backend: str = ""


class _Said(NamedTuple):
    """A reply as codes, and when it came."""

    text: int
    sketch: int
    hit: bool
    came: int
    backend: int


class _Round:
    """Counts of one round: samples still missing, hits and scored ones."""

    def __init__(self, missing: int) -> None:
        self.missing, self.hits, self.scored = missing, 0, 0


class _Arm:
    """The rounds of one arm, and what the whole ones among them add up to."""

    def __init__(self, questions: int, rounds: int) -> None:
        self.rounds = [_Round(questions) for _ in range(rounds)]
        self.looked = self.hits = self.scored = 0
        self.replies: dict[int, dict[int, _Said]] = {}  # by position and round
        self.came = 0
        self.ids: dict[str, set[int]] = {}  # the texts that came first under a response id
        self.again, self.ids_mean = 0, True
        self.dependent: str | None = None
        self.told = False

    def note(self, position: int, said: Mapping[int, _Said], response_id: str | None) -> None:
        """Keep what one request brought, by round."""
        self.replies.setdefault(position, {}).update(said)
        if response_id:
            texts = {one.text for one in said.values()}
            if response_id in self.ids:
                self.again += len(said)
                self.ids_mean &= texts <= self.ids[response_id]
            self.ids.setdefault(response_id, texts)

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
        if self.dependent is None:
            self.dependent = self._why_dependent()
        return self.dependent is None

    def _why_dependent(self) -> str | None:
        if self.again and self.ids_mean and len(self.ids) > 1:
            return "replies came again under the response ids of earlier ones"
        seen = [
            [said[number] for number in sorted(said) if number < self.looked]
            for said in self.replies.values()
        ]
        texts = [
            near(
                [one.text for one in said], [one.sketch for one in said], [one.hit for one in said]
            )
            for said in seen
        ]
        hits = [[one.hit for one in said] for said in seen]
        times = [[one.came for one in said] for said in seen]
        backends = [[one.backend for one in said] for said in seen]
        order = order_of(texts, hits, times, backends)
        return order.why if order.copies or order.least < ALPHA_DEPENDENT else None


class Early(Protocol):
    """What decides, sample by sample, what a target is still asked.

    ``arms`` holds the trials that it decides about, by position; ``order`` their samples as they
    are to be asked, each of which ``wants`` is asked about when it is due; ``note`` takes in what
    came back.
    """

    arms: dict[int, str]

    def order(self) -> Iterable[tuple[int, int]]: ...

    def wants(self, position: int) -> bool: ...

    def note(self, position: int, answer: Answer) -> Decision | None: ...

    def fresh_doubts(self) -> Iterable[tuple[str, str]]: ...


#: Makes, for a plan and the name of a target, what decides about it.
MakeEarly = Callable[[Plan, str], Early]


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

    def note(self, position: int, answer: Answer) -> Decision | None:
        """Count what came back; the decision, when this completes the round that brings it."""
        label = self.arms.get(position)
        if label is None:
            return None
        arm = self._arms[label]
        whole = [reply for reply in answer.replies if reply.status == "ok"]
        for reply in answer.replies:
            arm.rounds[reply.index].missing -= 1
        said: dict[int, _Said] = {}
        for reply, names in zip(whole, self.names_in([r.text for r in whole]), strict=True):
            arm.rounds[reply.index].scored += 1
            hit = self.rule.identity in names
            arm.rounds[reply.index].hits += hit
            text = reply.text or ""
            arm.came += 1
            said[reply.index] = _Said(
                hash(letters(text)), sketch(text), hit, arm.came, hash(answer.backend)
            )
        arm.note(position, said, answer.response_id)
        return self._look(label, arm)

    def fresh_doubts(self) -> Iterator[tuple[str, str]]:
        """Arms that are found dependent since this was asked last, and why: sampled in full."""
        for label, arm in self._arms.items():
            if arm.dependent is not None and not arm.told:
                arm.told = True
                yield label, arm.dependent

    def _look(self, label: str, arm: _Arm) -> Decision | None:
        threshold, enough = self.rule.threshold, math.log(1 / self.rule.alpha)
        while label not in self.decided and arm.next_whole():
            for side in SIDES if arm.passes else ():
                if stats.evidence_beyond(arm.hits, arm.scored, threshold, side) >= enough:
                    self.decided[label] = Decision(side, arm.hits, arm.scored, arm.looked)
                    return self.decided[label]
        return None
