"""A target with an API of its own: from a request to the samples that it brings.

What is sent and read stands in the API's room; preflight, patience, caps and the ledger are those
of every endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.campaign import Budget, GeminiTarget, Limits, Message, NativeTarget, Sampling
from harness.errors import RenderError
from harness.targets import received
from harness.targets.answers import Usage
from harness.targets.bodies import write
from harness.targets.host import Host
from harness.targets.native.api import Api, NativeBodies, refuse_lacking
from harness.targets.outcomes import SystemMessages, filled, one_by_one, response_of
from harness.targets.pace import CEILING, Pace, Tries, pace_of
from harness.targets.preflight import HELLO, Preflight
from harness.targets.problems import Refused
from harness.targets.protocol import Capabilities, Context, Request, Response, no_reply
from harness.targets.spending import Spending
from harness.targets.templates import ChatTemplate

NO_BARE = "the API takes no raw prompts, so what its host puts before a question stays"


class Asked(NamedTuple):
    """A request as it is sent: its address, its body, and what is known of its prompt."""

    url: str
    body: dict[str, Any]
    context: Context


class Native:
    """One model behind an API of its own."""

    #: The host shows no chat template, and none is expected of a folder.
    shown: ChatTemplate | None = None
    expected: ChatTemplate | None = None

    def __init__(self, settings: NativeTarget, api: Api, pace: Pace | None = None) -> None:
        self.settings, self.api = settings, api
        self.width, self.paced = settings.concurrency or CEILING, True
        self.block = settings.samples_per_request if isinstance(settings, GeminiTarget) else 1
        self.pace = pace or pace_of(settings, Limits(), Spending(Budget()))
        self.host = Host(settings, self.pace, api.at, api.read)
        self.bodies = NativeBodies(settings, api, self.host.credentials.extra_body)
        self.kept = NativeBodies(settings, api)
        self.sampling = Sampling()
        self.can = Capabilities(engine=settings.engine, model=settings.model)
        self.counts_free = True
        self._system = SystemMessages()

    @property
    def key(self) -> str | None:
        return self.host.credentials.key

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        """Find out by a handful of small requests what the host can do.

        Raises
        ------
        TargetError
            The host does not answer, refuses what would be sent, or the campaign's sampling wants
            what the API does not have.
        """
        self.sampling = sampling or self.sampling
        refuse_lacking(self.api, self.sampling, self.settings)
        first = Preflight(self.host, self.bodies, self.sampling)
        hello = await first.hello(2 if self.block > 1 else 1)
        self.kept.omit = self.bodies.omit
        self.pace.gate.begin(hello.seconds)
        billed = (hello.answer.usage or Usage()).prompt_tokens
        notes = (*hello.notes, *self.api.notes(self.sampling), *await self._counts(billed))
        self.can = Capabilities(
            engine=self.settings.engine,
            model=self.settings.model,
            many_samples=hello.many,
            token_counts=billed is not None,
            seed="seed" in self.api.names and "seed" not in self.bodies.omit,
            notes=notes,
        )
        return self.can

    async def _counts(self, billed: int | None) -> list[str]:
        """Whether the free count of the first words is the number that was billed for them."""
        counted = await self._counted(HELLO["messages"])
        if counted is None or billed is None or counted == billed:
            return []
        return [
            f"the host's own count of a prompt is {counted} tokens, and it billed {billed}: "
            "what it counts for nothing is not all that it puts before the model"
        ]

    async def close(self) -> None:
        await self.host.close()

    async def sample(self, request: Request) -> Response:
        """The samples of a request: in one call where the host gives several, else in one each."""
        if request.arm.kind == "bare" and (reason := self.no_bare()):
            return no_reply(request, "unsupported", reason)
        if (reason := self._system.given_up(request.arm)) is not None:
            return no_reply(request, "unsupported", reason)
        if len(request.indices) == 1 or self.can.many_samples:
            return await filled(self._call, request, self.pace.limits.attempts)
        return await one_by_one(self._call, request)

    def no_bare(self) -> str | None:
        """Why the arm `bare` is not supported."""
        return NO_BARE

    async def _call(self, request: Request) -> Response:
        samples = len(request.indices)
        seed = self._seed(request)
        try:
            made = await self.made(request, samples, seed)
        except RenderError as problem:
            return no_reply(request, "unsupported", problem.what)
        outcome = await self.host.call(
            made.url,
            self.bodies.placed(made.body),
            request.prompt_bound,
            request.sampling.max_tokens * samples,
        )
        response = response_of(request, made.context, outcome, seed)
        if request.messages[0]["role"] == "system":
            self._system.note(request.arm, response)
        return response

    async def made(self, request: Request, samples: int, seed: int | None) -> Asked:
        """What is asked for a request, and where."""
        body = self.bodies.chat(request, samples, seed)
        return Asked(self.host.at.chat, body, self.context(request, samples))

    def _seed(self, request: Request) -> int | None:
        """The seed that is sent, if one is."""
        if "seed" not in self.api.names or "seed" in self.bodies.omit:
            return None
        return request.seed(request.indices[0])

    def context(self, request: Request, samples: int) -> Context:
        """What a request is made of, as far as it is known: the host shows no prompt."""
        return Context(self.kept.placed(self.kept.fields(request.sampling, samples, None)))

    async def prompt_tokens(self, messages: Sequence[Message]) -> tuple[int | None, int]:
        """Prompt tokens by the host's free count, or as billed where it has none."""
        if (counted := await self._counted(messages)) is not None:
            return counted, 0
        asked = self.bodies.small(self.sampling, self.bodies.prompt(messages))
        bound = 64 + sum(len(m["content"].encode()) for m in messages)
        answer, _ = await self.host.fetch(
            self.host.at.chat,
            write(self.bodies.placed(asked)),
            prompt=bound,
            completion=16 + self.api.ahead,
            tried=Tries(),
        )
        return (answer.usage or Usage()).prompt_tokens, 0

    async def _counted(self, messages: Sequence[Message]) -> int | None:
        """Tokens by the free route; None where there is none, which is found out once."""
        wanted = self.api.counting(self.host.at, messages) if self.counts_free else None
        if wanted is None:
            return None
        url, body = wanted.url, write(wanted.body)
        try:
            got = await self.host.pace.aside(
                lambda: self.host.wire.post(url, body), lambda _: (0, 0), 0, 0
            )
        except Refused as refused:
            if len(messages) == 1 or messages[0]["role"] != "system":
                self.counts_free = refused.problem.fate == "retry"
            return None
        found: dict[str, Any] = received.object_of(got.body) or {}
        return received.count(found.get(wanted.field))

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of some messages, where it shows that."""
        return None

    async def tokenize(self, text: str) -> list[int] | None:
        """Tokens by the server's own tokenizer, or None."""
        return None
