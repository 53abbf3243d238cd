"""One protocol for all that can be asked: what a request, a reply and a target's abilities are.

A bad sample is data, not a crash: a reply carries a status and a reason, and becomes a row either
way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from harness.campaign import Arm, Message, Sampling, sample_seed
from harness.targets.spending import Booked

Status = Literal["ok", "truncated", "filtered", "empty", "failed", "unsupported", "misrouted"]


class Request(NamedTuple):
    """Samples of one trial that are owed, by number."""

    key: str
    arm: Arm
    messages: tuple[Message, ...]
    sampling: Sampling
    indices: Sequence[int]
    prompt_bound: int  # tokens that the prompt has at most

    def seed(self, index: int) -> int | None:
        """The seed of one sample."""
        return sample_seed(self.sampling.seed, self.key, index)


class Reply(msgspec.Struct, array_like=True, gc=False):
    """One sample as it came back.

    ``status`` is read before any verdict: ``ok`` (a whole reply), ``truncated`` (cut at the token
    limit), ``filtered`` (ended by the host's filter), ``empty`` (no visible text), ``failed`` (no
    reply, or one that was broken off; ``error`` says why), ``unsupported`` (the arm cannot be put
    into practice here; ``error`` says why), ``misrouted`` (another host of an aggregator
    answered than the one that was asked, or nobody says which). ``text`` is None unless the host
    gave content. ``seed`` is given where each sample has its own.
    """

    index: int
    status: Status
    text: str | None = None
    reasoning: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    completion_tokens: int | None = None
    seed: int | None = None


class Context(msgspec.Struct, frozen=True):
    """What a request was made of, as far as it is known: shared by many responses, stored once.

    ``rendered_prompt`` and what follows it are facts or the host's own claim: ``prompt_source`` is
    ``sent`` where we sent just these tokens, ``shown`` where the host shows the template that makes
    them. What the folder of a named tokenizer makes is what the user believes of the model, and
    stands apart in ``expected_...``. ``rendered_date`` is the day that the template told, if any.
    """

    sent: dict[str, Any] = {}
    rendered_prompt: str | None = None
    rendered_tokens: int | None = None
    injected_text: str | None = None
    template_sha256: str | None = None
    prompt_source: Literal["sent", "shown"] | None = None
    rendered_date: str | None = None
    expected_prompt: str | None = None
    expected_tokens: int | None = None
    expected_injected: str | None = None


class Response(msgspec.Struct):
    """The samples of one request, with all that came back.

    ``raw`` is the host's own text, less the key. ``booked`` is what its requests cost, where the
    target books them. ``whole``: every sample is known to be a whole reply, nobody has to look.
    """

    replies: list[Reply]
    context: Context = Context()
    model: str | None = None
    fingerprint: str | None = None
    provider: str | None = None
    response_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seed: int | None = None
    raw: str | None = None
    attempts: tuple[str, ...] = ()
    seconds: float = 0.0
    booked: Booked = Booked()
    whole: bool = False

    def having(self, status: Status) -> int:
        """How many of the samples have a status."""
        return sum([reply.status == status for reply in self.replies])


def told_of(model: str | None, fingerprint: str | None, provider: str | None) -> str:
    """What a host says of who answered, as one word: equal where all of it is."""
    return "|".join(said or "" for said in (model, fingerprint, provider))


@dataclass(frozen=True)
class Capabilities:
    """What a target can do, from one preflight; stored with the run. None: not known.

    ``expected_template_sha256`` is of the folder that the user names, and no template of the host.
    """

    engine: str
    model: str
    version: str | None = None
    many_samples: bool = False
    raw_completions: bool = False
    template_seen: bool = False
    template_sha256: str | None = None
    chat_template: str | None = None
    expected_template_sha256: str | None = None
    token_counts: bool = False
    logprobs: bool | None = None
    seed: bool | None = None
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A model as it can be reached.

    ``width`` is how many requests it takes at once, ``block`` how many samples of a trial one
    request carries at most: samples are fetched and saved by such blocks, so that a resumed run
    asks just what an unbroken one asks. ``paced``: it asks its `Pace` before each request and books
    what it used by itself.
    """

    width: int
    block: int
    paced: bool

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities: ...

    async def sample(self, request: Request) -> Response: ...

    async def close(self) -> None: ...


def no_reply(
    request: Request, status: Status, error: str, context: Context | None = None, **known: Any
) -> Response:
    """The same outcome, without a reply, for every sample of a request."""
    return Response(
        [Reply(index, status, error=error) for index in request.indices],
        context or Context(),
        **known,
    )
