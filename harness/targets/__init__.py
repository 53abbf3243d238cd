"""One protocol for everything that can be asked: what a request is, what a reply is, what a target can do.

A bad sample is data, not a crash: a reply carries a status and a reason, and becomes a row either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.campaign import Arm, EmbeddedTarget, EndpointTarget, Sampling, VllmTarget
from harness.plan import Message

Status = Literal["ok", "truncated", "empty", "failed", "unsupported"]
Settings = EmbeddedTarget | VllmTarget | EndpointTarget


@dataclass(frozen=True)
class Request:
    """Samples of one trial that are still owed: their numbers and seeds belong together."""

    key: str
    arm: Arm
    messages: tuple[Message, ...]
    sampling: Sampling
    indices: tuple[int, ...]
    seeds: tuple[int | None, ...]


@dataclass(frozen=True)
class Reply:
    """One sample as it came back, with what was really sent.

    ``status`` is read before any verdict: ``ok`` (a whole reply), ``truncated`` (cut at the token limit),
    ``empty`` (no visible text), ``failed`` (no reply; ``error`` says why), ``unsupported`` (the arm cannot be
    put into practice here; ``error`` says why). ``text`` is None unless the host gave content.
    """

    index: int
    status: Status
    text: str | None = None
    reasoning: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    provider: str | None = None
    response_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    rendered_prompt: str | None = None
    rendered_tokens: int | None = None
    injected_text: str | None = None
    template_sha256: str | None = None
    sent: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    attempts: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Capabilities:
    """What a target can do, from one preflight; stored with the run. None: not known."""

    engine: str
    model: str
    version: str | None = None
    many_samples: bool = False
    raw_completions: bool = False
    template_seen: bool = False
    template_sha256: str | None = None
    chat_template: str | None = None
    token_counts: bool = False
    logprobs: bool | None = None
    seed: bool | None = None
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A model as it can be reached. ``width`` is how many requests it takes at once."""

    width: int

    async def preflight(self) -> Capabilities: ...

    async def sample(self, request: Request) -> list[Reply]: ...

    async def close(self) -> None: ...


def split_reasoning(text: str) -> tuple[str | None, str]:
    """Reasoning that a model wrote between think tags, and the answer that is left.

    A tag that is never closed means that the reply was cut inside its reasoning: the answer is then empty.
    """
    for opening, closing in (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>")):
        head, tag, rest = text.partition(opening)
        if tag and not head.strip():
            reasoning, closed, answer = rest.partition(closing)
            return reasoning.strip(), answer.strip() if closed else ""
        if not tag and closing in text:  # the template opened the tag in the prompt
            reasoning, _, answer = text.partition(closing)
            return reasoning.strip(), answer.strip()
    return None, text


def status_of(text: str | None, finish_reason: str | None) -> Status:
    """Status first, verdict second: a cut or empty reply is no answer."""
    if finish_reason in ("length", "max_tokens"):
        return "truncated"
    return "ok" if text and text.strip() else "empty"


def all_replies(request: Request, status: Status, error: str, **kept: Any) -> list[Reply]:
    """The same outcome for every sample that the request owed."""
    return [Reply(index, status, error=error, **kept) for index in request.indices]


def open_target(settings: Settings) -> Target:
    """The room for a target's engine; heavy packages are imported here and nowhere earlier."""
    if isinstance(settings, EmbeddedTarget):
        from harness.targets.embedded import Embedded

        return Embedded(settings)
    if isinstance(settings, EndpointTarget):
        from harness.targets.endpoint import Endpoint

        return Endpoint(settings)
    from harness.targets.vllm import open_vllm

    return open_vllm(settings)


def check(wanted: Sequence[Settings]) -> None:
    """Find what is wrong with any target (a path, a key variable, a tokenizer folder) before the first is asked.

    Raises
    ------
    TargetError
        For the first target that could not be opened. No call is made and no model is loaded.
    """
    for settings in wanted:
        open_target(settings)


__all__: Sequence[str] = ["Capabilities", "Reply", "Request", "Settings", "Status", "Target", "all_replies", "check", "open_target", "split_reasoning", "status_of"]
