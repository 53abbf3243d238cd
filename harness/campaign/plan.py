"""From a campaign to trials: lazily, with stable keys, its worst case counted before it is paid."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from harness.campaign import prompts
from harness.campaign.campaign import Arm, Campaign, Loaded
from harness.campaign.probes import load_probe

Message = dict[str, str]


@dataclass(frozen=True)
class Trial:
    """One target x one rendered question x one arm. Its samples are numbered 0 to ``samples - 1``.

    ``messages`` hold what is to be said; how the arm is put into practice (a template without its
    injected text for ``bare``) is the target's business and is stored with each sample.
    """

    target: str
    arm: Arm
    probe: str
    language: str
    question: str
    messages: tuple[Message, ...]
    samples: int
    key: str = ""
    position: int = 0


def arm_messages(arm: Arm, question: str, system: str | None) -> tuple[Message, ...]:
    """The messages of an arm.

    There is no system message for ``absent`` and ``bare``, and an explicit empty one for ``empty``.
    """
    user = {"role": "user", "content": question}
    if arm.kind in ("absent", "bare"):
        return (user,)
    return ({"role": "system", "content": "" if arm.kind == "empty" else system or ""}, user)


def trial_key(
    target: str,
    arm: Arm,
    probe: str,
    language: str,
    question: str,
    messages: tuple[Message, ...],
    sampling: dict[str, Any],
) -> str:
    """128 bits of SHA-256 over everything that makes a trial what it is."""
    content = json.dumps(
        [target, arm.label, probe, language, question, messages, sampling],
        ensure_ascii=False,
        sort_keys=True,
    )
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def sample_seed(base: int | None, key: str, index: int) -> int | None:
    """The seed of one sample: the campaign's with the trial's key and the sample's number."""
    if base is None:
        return None
    return int.from_bytes(hashlib.sha256(f"{base}:{key}:{index}".encode()).digest()[:4], "big") >> 1


class _Cell(NamedTuple):
    """The questions of one probe in one language, and how often each is asked."""

    probe: str
    language: str
    samples: int
    questions: list[prompts.Question]


def _cells(campaign: Campaign) -> Iterator[_Cell]:
    wanted = [(load_probe(name), campaign.samples_of(name)) for name in campaign.probes]
    for probe, samples in wanted:
        for language in campaign.languages if samples else ():
            asked = prompts.questions(probe.prompts, language, campaign.variables)
            yield _Cell(probe.probe, language, samples, asked)


def _system_text(arm: Arm, loaded: Loaded) -> str | None:
    if not arm.file:
        return None
    return prompts.system_prompt(arm.file, loaded.campaign.variables, loaded.folder)


class Plan:
    """All trials of a campaign, each made when it is asked for.

    They stand by target, arm, probe, language, question. A trial's position is its place in that
    order; every target has the same number of trials.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.campaign = loaded.campaign
        self._sampling = self.campaign.sampling.model_dump()
        self._cells = list(_cells(self.campaign))
        self._ends = list(accumulate(len(cell.questions) for cell in self._cells))
        self._per_arm = self._ends[-1] if self._ends else 0
        self._arms = [(arm, _system_text(arm, loaded)) for arm in self.campaign.arm_list]
        self._targets = [target.name for target in self.campaign.targets]
        self.per_target = self._per_arm * len(self._arms)

    def __len__(self) -> int:
        return self.per_target * len(self._targets)

    def __iter__(self) -> Iterator[Trial]:
        return map(self.trial, range(len(self)))

    @property
    def samples_per_target(self) -> int:
        return len(self._arms) * sum(cell.samples * len(cell.questions) for cell in self._cells)

    def positions(self, target: str) -> range:
        """The places of a target's trials."""
        first = self._targets.index(target) * self.per_target
        return range(first, first + self.per_target)

    def samples(self, position: int) -> int:
        """How many samples the trial at a place has."""
        return self._cells[bisect_right(self._ends, position % self._per_arm)].samples

    def arm(self, position: int) -> Arm:
        """The arm of the trial at a place."""
        return self._arms[position % self.per_target // self._per_arm][0]

    def trial(self, position: int) -> Trial:
        """The trial at a place."""
        target, rest = divmod(position, self.per_target)
        place, rest = divmod(rest, self._per_arm)
        number = bisect_right(self._ends, rest)
        cell, (arm, system) = self._cells[number], self._arms[place]
        question = cell.questions[rest - (self._ends[number - 1] if number else 0)]
        messages = arm_messages(arm, question.text, system)
        name = self._targets[target]
        key = trial_key(name, arm, cell.probe, cell.language, question.id, messages, self._sampling)
        return Trial(
            name, arm, cell.probe, cell.language, question.id, messages, cell.samples, key, position
        )

    @property
    def digest(self) -> str:
        """SHA-256 of every rendered question and system prompt.

        The same digest means the same trials at the same places.
        """
        said = [
            [cell.probe, cell.language, cell.samples, [tuple(q) for q in cell.questions]]
            for cell in self._cells
        ]
        told = [(arm.label, system) for arm, system in self._arms]
        whole = [said, told, self._targets, self._sampling]
        content = json.dumps(whole, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def trials(loaded: Loaded) -> Iterator[Trial]:
    """All trials in a fixed order: target, arm, probe, language, question."""
    return iter(Plan(loaded))


@dataclass
class TargetPlan:
    """Counts and worst case of one target. ``money`` is None where no price is given."""

    target: str
    trials: int = 0
    samples: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float | None = None


def worst_case(loaded: Loaded) -> list[TargetPlan]:
    """Worst-case counts for each target, before any call.

    A request carries one sample (hosts may share more, never less), a prompt at most one token a
    UTF-8 byte plus 64 for the template and each completion ``max_tokens``. Hidden prompts of a host
    are not known here.
    """
    plans = {t.name: TargetPlan(t.name) for t in loaded.campaign.targets}
    for trial in trials(loaded):
        plan = plans[trial.target]
        plan.trials += 1
        plan.samples += trial.samples
        plan.requests += trial.samples
        plan.prompt_tokens += trial.samples * prompt_token_bound(trial.messages)
        plan.completion_tokens += trial.samples * loaded.campaign.sampling.max_tokens
    for target in loaded.campaign.targets:
        if target.price:
            plan, price = plans[target.name], target.price
            asked, said = (
                plan.prompt_tokens * price.prompt,
                plan.completion_tokens * price.completion,
            )
            plan.money = (asked + said) / 1e6
    return list(plans.values())


def prompt_token_bound(messages: tuple[Message, ...]) -> int:
    """No byte-level tokenizer makes more tokens than there are bytes; 64 more for the template."""
    return 64 + sum(len(m["content"].encode("utf-8", "surrogatepass")) for m in messages)
