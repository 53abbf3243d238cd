"""From a campaign to trials: lazily, with stable keys, and with the worst case counted before anything is paid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness import probes, prompts
from harness.campaign import Arm, Loaded

Message = dict[str, str]


@dataclass(frozen=True)
class Trial:
    """One target x one rendered question x one arm. Its samples are numbered 0 to ``samples - 1``.

    ``messages`` hold what is to be said; how the arm is put into practice (a template without its injected
    text for ``bare``) is the target's business and is stored with each sample.
    """

    target: str
    arm: Arm
    probe: str
    language: str
    question: str
    messages: tuple[Message, ...]
    samples: int
    key: str = field(default="")


def arm_messages(arm: Arm, question: str, system: str | None) -> tuple[Message, ...]:
    """The messages of an arm: no system message for ``absent`` and ``bare``, an explicit empty one for ``empty``."""
    user = {"role": "user", "content": question}
    if arm.kind in ("absent", "bare"):
        return (user,)
    return ({"role": "system", "content": "" if arm.kind == "empty" else system or ""}, user)


def trial_key(target: str, arm: Arm, probe: str, language: str, question: str, messages: tuple[Message, ...], sampling: dict[str, Any]) -> str:
    """128 bits of SHA-256 over everything that makes a trial what it is."""
    content = json.dumps([target, arm.label, probe, language, question, messages, sampling], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def sample_seed(base: int | None, key: str, index: int) -> int | None:
    """The seed of one sample: the campaign's seed mixed with the trial's key and the sample's number."""
    if base is None:
        return None
    return int.from_bytes(hashlib.sha256(f"{base}:{key}:{index}".encode()).digest()[:4], "big") >> 1


def trials(loaded: Loaded) -> Iterator[Trial]:
    """All trials in a fixed order: target, arm, probe, language, question."""
    campaign = loaded.campaign
    sampling = campaign.sampling.model_dump()
    wanted = [(probes.load(name), campaign.samples_of(name)) for name in campaign.probes]
    for target in campaign.targets:
        for arm in campaign.arm_list:
            system = prompts.system_prompt(arm.file, campaign.variables, loaded.folder) if arm.file else None
            for probe, samples in wanted:
                for language in campaign.languages if samples else ():
                    for question in prompts.questions(probe.prompts, language, campaign.variables):
                        messages = arm_messages(arm, question.text, system)
                        key = trial_key(target.name, arm, probe.probe, language, question.id, messages, sampling)
                        yield Trial(target.name, arm, probe.probe, language, question.id, messages, samples, key)


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

    A request carries one sample (hosts may share more, never less), a prompt at most one token a UTF-8 byte
    plus 64 for the template and each completion ``max_tokens``. Hidden prompts of a host are not known here.
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
            plan = plans[target.name]
            plan.money = (plan.prompt_tokens * target.price.prompt + plan.completion_tokens * target.price.completion) / 1e6
    return list(plans.values())


def prompt_token_bound(messages: tuple[Message, ...]) -> int:
    """No byte-level tokenizer makes more tokens than there are bytes; 64 more for the template."""
    return 64 + sum(len(m["content"].encode("utf-8", "surrogatepass")) for m in messages)
