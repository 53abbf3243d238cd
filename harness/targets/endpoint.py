"""Any OpenAI-compatible endpoint: from a request to the samples that it brings.

The `openai` package says how users configure it (its environment variables, the names of its
errors) and is the reference of the tests. What is sent stands in `bodies.py`, what is read in
`answers.py`, how a host is spoken to in `host.py`, and what servers say beside the API in
`side_routes.py`. The whole answer is kept, less the key.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from harness.campaign import Budget, EndpointTarget, Limits, Message, Sampling
from harness.errors import RenderError
from harness.targets import received
from harness.targets.answers import Choice, Usage
from harness.targets.bodies import Bodies, write
from harness.targets.host import Host, Outcome
from harness.targets.outcomes import SystemMessages, filled, one_by_one, response_of
from harness.targets.pace import CEILING, Pace, Tries, pace_of
from harness.targets.preflight import HELLO, Preflight
from harness.targets.problems import Refused
from harness.targets.protocol import Capabilities, Context, Request, Response, no_reply
from harness.targets.routing import Routing
from harness.targets.side_routes import SideRoutes
from harness.targets.spending import Spending
from harness.targets.templates import ChatTemplate, counter, template_from_folder

KEPT_CONTEXTS = 4096
#: Tokens by which hosts count otherwise: the marks of beginning and end.
CONVENTION: Final = 2


class Endpoint:
    """One model behind an OpenAI-compatible URL."""

    def __init__(
        self,
        settings: EndpointTarget,
        pace: Pace | None = None,
        shown: ChatTemplate | None = None,
    ) -> None:
        self.settings = settings
        self.width = settings.concurrency or CEILING
        self.block, self.paced = settings.samples_per_request, True
        self.pace = pace or pace_of(settings, Limits(), Spending(Budget()))
        self.host = Host(settings, self.pace)
        self.bodies = Bodies(settings, self.host.credentials.extra_body)
        self.kept = Bodies(settings)
        self.routes, self.routing = SideRoutes(self.host), Routing(settings)
        self.shown = shown
        self.expected: ChatTemplate | None = None
        self._count: Callable[[str], int] | None = None
        if settings.tokenizer:
            folder = Path(settings.tokenizer).expanduser()
            self.expected, self._count = template_from_folder(folder), counter(folder)
        self.sampling = Sampling()
        self.can = Capabilities(engine="endpoint", model=settings.model)
        self.raw: Choice | Refused = Choice()
        self._billed: tuple[float, ...] = ()
        self._system = SystemMessages()
        self._contexts: dict[tuple[str, int], tuple[Context, list[int] | None]] = {}
        self._ready = asyncio.Event()

    @property
    def key(self) -> str | None:
        return self.host.credentials.key

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        """Find out by a handful of small requests what the host can do.

        Raises
        ------
        TargetError
            The host does not answer, or refuses what would be sent.
        """
        self.sampling = sampling or self.sampling
        first = Preflight(self.host, self.bodies, self.sampling)
        routed = await self.routing.learn(self.host)
        hello, properties = await asyncio.gather(
            first.hello(2 if self.block > 1 else 1), self.routes.properties()
        )
        self.kept.omit, self.kept.rename = self.bodies.omit, self.bodies.rename
        self.pace.gate.begin(hello.seconds)
        self.raw, logprobs, seed = await self._able()
        if self.shown is None:
            self.shown = _template_in(properties)
        notes = await asyncio.to_thread(self._notes)
        usage = hello.answer.usage
        self._billed = _billed(usage, 2 if hello.many else 1)
        self.can = Capabilities(
            engine="endpoint",
            model=self.settings.model,
            version=received.name(hello.answer.system_fingerprint),
            many_samples=hello.many,
            raw_completions=not isinstance(self.raw, Refused),
            template_seen=self.shown is not None,
            template_sha256=self.shown.sha256 if self.shown else None,
            chat_template=self.shown.source if self.shown else None,
            expected_template_sha256=self.expected.sha256 if self.expected else None,
            token_counts=usage is not None and usage.prompt_tokens is not None,
            logprobs=isinstance(logprobs, Choice) and bool(logprobs.logprobs),
            seed=isinstance(seed, Choice),
            notes=(*hello.notes, *routed, *notes),
        )
        self._ready.set()
        return self.can

    async def _able(self) -> tuple[Choice | Refused, Choice | Refused, Choice | Refused]:
        """What small requests bring: a raw completion, log probabilities, a seed."""
        choice, small, host = self.routes.choice, self.bodies.small, self.host
        hello = small(self.sampling, HELLO)
        raw, logprobs, seed = await asyncio.gather(
            choice(host.at.raw, small(self.sampling, {"prompt": "Hello"})),
            choice(host.at.chat, hello | {"logprobs": True}),
            choice(host.at.chat, hello | {"seed": 1}),
        )
        return raw, logprobs, seed

    def _notes(self) -> tuple[str, ...]:
        notes = []
        for whose, template in (
            ("the host", self.shown),
            ("the tokenizer's folder", self.expected),
        ):
            if template is not None and (why := template.problem()):
                notes.append(f"{whose}: {why}; its prompts are not known, and the arm bare is not")
        return tuple(notes)

    async def close(self) -> None:
        await self.host.close()

    async def sample(self, request: Request) -> Response:
        """The samples of a request: in one call where the host gives several, else in one each."""
        alone = len(request.indices) == 1
        waits = self._template is not None or self.settings.auto_omit or bool(self.routing.only)
        if not alone or request.arm.kind == "bare" or waits:
            await self._ready.wait()
        if request.arm.kind == "bare" and (reason := self._no_bare()):
            return no_reply(request, "unsupported", reason)
        if (reason := self._system.given_up(request.arm)) is not None:
            return no_reply(request, "unsupported", reason)
        if alone or self.can.many_samples:
            return await filled(self._call, request, self.pace.limits.attempts)
        return await one_by_one(self._call, request)

    def _no_bare(self) -> str | None:
        if not self.can.raw_completions:
            why = f" ({self.raw})" if isinstance(self.raw, Refused) and self.raw.status else ""
            return f"the host offers no raw completions{why}, so its chat template stays"
        if self._template is None:
            return (
                "the host's chat template is not known: name a folder with the claimed model's "
                "tokenizer_config.json under `tokenizer`"
            )
        return None

    async def _call(self, request: Request) -> Response:
        """One call for the samples of a request, tried again where that may help."""
        early = None if self._ready.is_set() else await self._begun_early(request)
        try:
            context, tokens = await self._context(request, len(request.indices))
        except RenderError as problem:
            if early is not None:
                early.cancel()
            return no_reply(request, "unsupported", problem.what)
        if early is not None:
            outcome = await early
        else:
            outcome = await self._asked(
                request, context.rendered_prompt if tokens is None else tokens
            )
        response = response_of(request, context, outcome, self._seed(request))
        self.routing.judge(response)
        self._system.note(request.arm, response)
        return response

    def _seed(self, request: Request) -> int | None:
        """The seed that is sent, if one is."""
        return None if "seed" in self.bodies.omit else request.seed(request.indices[0])

    async def _begun_early(self, request: Request) -> asyncio.Task[Outcome]:
        """A chat call under way while the preflight is: its body needs nothing found there."""
        call = asyncio.create_task(self._asked(request))
        try:
            await self._ready.wait()
        except asyncio.CancelledError:
            call.cancel()
            raise
        return call

    async def _asked(self, request: Request, prompt: str | list[int] | None = None) -> Outcome:
        """The call itself; ``prompt`` is what a raw completion takes."""
        samples = len(request.indices)
        seed = self._seed(request)
        if request.arm.kind == "bare":
            url, body = self.host.at.raw, self.bodies.raw(request, samples, seed, prompt)
        else:
            url, body = self.host.at.chat, self.bodies.chat(request, samples, seed)
        at_most = request.sampling.max_tokens * samples
        return await self.host.call(url, body, request.prompt_bound, at_most)

    async def _context(self, request: Request, samples: int) -> tuple[Context, list[int] | None]:
        """What the request is made of, its prompt as far as it is known; made once for a trial."""
        place = (f"{request.key} {self._days()}" if self._template is not None else "", samples)
        if (known := self._contexts.get(place)) is not None:
            return known
        made = await self._made(request, self.kept.fields(request.sampling, samples, None))
        if len(self._contexts) >= KEPT_CONTEXTS:
            self._contexts.clear()
        self._contexts[place] = made
        return made

    def _days(self) -> list[datetime.date]:
        """The days that templates tell now: another makes another prompt."""
        return [t.dated for t in (self.shown, self.expected) if t is not None and t.dated]

    @property
    def _template(self) -> ChatTemplate | None:
        """The template that is known best: shown by the host, else of the folder that is named."""
        return self.shown or self.expected

    async def _made(
        self, request: Request, sent: dict[str, Any]
    ) -> tuple[Context, list[int] | None]:
        """What is known of a prompt, each source apart, and the tokens of a raw completion.

        Raises
        ------
        RenderError
            The arm is unsupported: its bare prompt is not proved, or the host's template refuses
            its system message.
        """
        if request.arm.kind == "bare":
            return await self._bare(request, sent)
        known: dict[str, Any] = {}
        tokens = None
        if self.shown is not None:
            shown = self.shown.of_today()
            prompt = await asyncio.to_thread(_taken, shown, request.messages)
            if prompt is not None:
                tokens = await self.routes.tokenize(prompt)
                known |= _of_prompt(shown, prompt, tokens) | {"prompt_source": "shown"}
        if self.expected is not None:
            known |= await asyncio.to_thread(self._expectation, request.messages)
        return Context(sent, **known), tokens

    async def _bare(
        self, request: Request, sent: dict[str, Any]
    ) -> tuple[Context, list[int] | None]:
        """The prompt that is sent as it is, made by the template that is known best."""
        assert self._template is not None
        template, asked = self._template.of_today(), request.messages[-1]
        bare = await asyncio.to_thread(template.bare, asked["content"])
        if bare.proof == "comparison" and self.shown is not None:
            shown = await self.routes.rendered([asked])
            if shown is not None and not shown.endswith(
                bare.prompt.removeprefix(template.bos_token)
            ):
                raise RenderError(
                    "the bare prompt cannot be proved: the host renders the question otherwise"
                )
        if bare.proof == "comparison" and self.shown is None:
            await asyncio.to_thread(self._agrees_with_the_bill, template)
        tokens = await self.routes.tokenize(bare.prompt)
        whose = "expected_injected" if self.shown is None else "injected_text"
        known = _of_prompt(template, bare.prompt, tokens)
        known |= {"prompt_source": "sent", whose: bare.injected}
        return Context(sent, **known), tokens

    def _agrees_with_the_bill(self, template: ChatTemplate) -> None:
        """Whether the host bills the preflight's question as the named template writes it.

        Raises
        ------
        RenderError
            It does not: the template is not the host's, so nothing is proved by comparing its text.
        """
        if not self._billed or self._count is None:
            return
        made = self._count(template.render(HELLO["messages"]))
        if all(abs(made - billed) > CONVENTION for billed in self._billed):
            raise RenderError(
                f"the bare prompt cannot be proved: the host bills {self._billed[0]:g} tokens for "
                f"a question of which the named template makes {made}"
            )

    def _expectation(self, messages: Sequence[Message]) -> dict[str, Any]:
        """What the named folder would make of messages: nothing where it cannot."""
        assert self.expected is not None
        try:
            prompt = self.expected.of_today().render(messages)
        except RenderError:
            return {}
        tokens = None if self._count is None else self._count(prompt)
        return {"expected_prompt": prompt, "expected_tokens": tokens}

    async def prompt_tokens(self, messages: Sequence[Message]) -> tuple[int | None, int]:
        """Prompt tokens billed for some messages, and how many more are only counted as cached."""
        body = self.bodies.small(self.sampling, {"messages": list(messages)}, max_tokens=1)
        bound = 64 + sum(len(m["content"].encode()) for m in messages)
        answer, _ = await self.host.fetch(
            self.host.at.chat, write(body), prompt=bound, completion=1, tried=Tries()
        )
        usage = answer.usage or Usage()
        return usage.prompt_tokens, usage.uncounted

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of some messages, where it shows that."""
        return await self.routes.rendered(messages)

    async def tokenize(self, text: str) -> list[int] | None:
        """Tokens by the server's own tokenizer, or None."""
        return await self.routes.tokenize(text)


def _taken(template: ChatTemplate, messages: Sequence[Message]) -> str | None:
    """What the host's template makes of messages; None where it cannot be rendered here.

    Raises
    ------
    RenderError
        The template refuses their system message.
    """
    try:
        return template.render(messages)
    except RenderError:
        if why := template.refused_system(messages):
            raise RenderError(why) from None
    return None


def _billed(usage: Usage | None, samples: int) -> tuple[float, ...]:
    """Prompt tokens of one question: some hosts count them once a request, some once a sample."""
    if usage is None or usage.prompt_tokens is None:
        return ()
    whole = usage.prompt_tokens + usage.uncounted
    return tuple(dict.fromkeys((whole, whole / samples)))


def _of_prompt(template: ChatTemplate, prompt: str, tokens: list[int] | None) -> dict[str, Any]:
    """What is kept of a rendered prompt."""
    return {
        "rendered_prompt": prompt,
        "rendered_tokens": None if tokens is None else len(tokens),
        "template_sha256": template.sha256,
        "rendered_date": template.dated.isoformat() if template.dated else None,
    }


def _template_in(properties: dict[str, Any]) -> ChatTemplate | None:
    """The chat template that llama.cpp's server shows."""
    if not properties.get("chat_template"):
        return None
    return ChatTemplate(
        received.text(properties["chat_template"]) or "",
        received.text(properties.get("bos_token")) or "",
        received.text(properties.get("eos_token")) or "",
    )
