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
from harness.errors import RenderError, TargetError
from harness.targets import answers, received
from harness.targets.answers import Completion, Usage
from harness.targets.bodies import Bodies, write
from harness.targets.host import Host, Outcome
from harness.targets.pace import CEILING, Pace, Tries, pace_of
from harness.targets.problems import Refused
from harness.targets.protocol import Capabilities, Context, Request, Response, no_reply
from harness.targets.quirks import SYSTEM_REFUSED, advice
from harness.targets.side_routes import SideRoutes
from harness.targets.spending import Spending
from harness.targets.templates import ChatTemplate, counter, template_from_folder

KEPT_CONTEXTS = 4096
HELLO: Final = {"messages": [{"role": "user", "content": "Say hello."}]}
_ALL_OK = {"ok"}


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
        self.routes = SideRoutes(self.host)
        self.shown = shown
        self.expected: ChatTemplate | None = None
        self._count: Callable[[str], int] | None = None
        if settings.tokenizer:
            folder = Path(settings.tokenizer).expanduser()
            self.expected, self._count = template_from_folder(folder), counter(folder)
        self.sampling = Sampling()
        self.can = Capabilities(engine="endpoint", model=settings.model)
        self._contexts: dict[tuple[str, int], tuple[Context, list[int] | None]] = {}
        self._ready = asyncio.Event()

    @property
    def key(self) -> str | None:
        return self.host.credentials.key

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        """Find out by a handful of small requests, all at once, what the host can do."""
        self.sampling = sampling or self.sampling
        host, works, small = self.host, self.routes.works, self.bodies.small
        hello = small(self.sampling, HELLO)
        (many, first), raw, logprobs, seed, properties = await asyncio.gather(
            self._hello(n=2 if self.block > 1 else 1),
            works(host.raw_url, small(self.sampling, {"prompt": "Hello"})),
            works(host.chat_url, hello | {"logprobs": True}, "logprobs"),
            works(host.chat_url, hello | {"seed": 1}),
            self.routes.properties(),
        )
        if self.shown is None:
            self.shown = _template_in(properties)
        notes = await asyncio.to_thread(self._notes)
        self.can = Capabilities(
            engine="endpoint",
            model=self.settings.model,
            version=received.name(first.system_fingerprint),
            many_samples=many,
            raw_completions=raw,
            template_seen=self.shown is not None,
            template_sha256=self.shown.sha256 if self.shown else None,
            chat_template=self.shown.source if self.shown else None,
            expected_template_sha256=self.expected.sha256 if self.expected else None,
            token_counts=first.usage is not None and first.usage.prompt_tokens is not None,
            logprobs=logprobs,
            seed=seed,
            notes=notes,
        )
        self._ready.set()
        return self.can

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if not self.settings.provider and "openrouter" in self.host.url:
            notes.append(
                "the aggregator may route every call to another backend: pin it with `provider`"
            )
        for whose, template in (
            ("the host", self.shown),
            ("the tokenizer's folder", self.expected),
        ):
            if template is not None and (why := template.problem()):
                notes.append(f"{whose}: {why}; its prompts are not known, and the arm bare is not")
        return tuple(notes)

    async def _hello(self, n: int) -> tuple[bool, Completion]:
        """Whether one request brings several samples, and an answer to all that will be sent."""
        body = self.bodies.small(self.sampling, HELLO) | ({"n": n} if n > 1 else {})
        try:
            answer, _ = await self.host.fetch(
                self.host.chat_url, write(body), prompt=64, completion=16 * n, tried=Tries()
            )
        except Refused as refused:
            entry = advice(refused.reason) if refused.problem.fate == "fail" else None
            if n > 1 and refused.problem.fate == "fail" and entry is None:
                return False, (await self._hello(1))[1]
            raise self._unusable(refused, entry) from None
        return n > 1 and len(answer.choices or []) == n, answer

    def _unusable(self, refused: Refused, entry: str | None) -> TargetError:
        """Why nothing can be asked, and what to mend; ``entry`` settles a refused parameter."""
        if entry is not None:
            return TargetError(
                f"the host refuses a parameter: {refused.reason}",
                where=f"target {self.settings.name}",
                next=f"write '{entry}' into the target's entry, so that it is known",
            )
        mend = "mend model, base_url or the key variable in the target's entry"
        if refused.status is None:
            gone = refused.problem.fate == "retry"
            mend = "start the server or mend base_url" if gone else refused.problem.mend
        return TargetError(
            f"the endpoint does not answer: {refused.reason}",
            where=f"target {self.settings.name}, {self.host.url}",
            next=mend,
        )

    async def close(self) -> None:
        await self.host.close()

    async def sample(self, request: Request) -> Response:
        """The samples of a request: in one call where the host gives several, else in one each."""
        alone = len(request.indices) == 1
        if not alone or request.arm.kind == "bare" or self._template is not None:
            await self._ready.wait()
        if request.arm.kind == "bare" and (reason := self._no_bare()):
            return no_reply(request, "unsupported", reason)
        if alone or self.can.many_samples:
            return await self._filled(request)
        parts = (self._filled(request._replace(indices=(i,))) for i in request.indices)
        return answers.joined(await asyncio.gather(*parts))

    def _no_bare(self) -> str | None:
        if not self.can.raw_completions:
            return "the host offers no raw completions, so its chat template cannot be left out"
        if self._template is None:
            return (
                "the host's chat template is not known: name a folder with the claimed model's "
                "tokenizer_config.json under `tokenizer`"
            )
        return None

    async def _filled(self, request: Request) -> Response:
        """One call; samples without a choice are asked for again, as the limits allow."""
        indices = request.indices
        response = await self._call(request)
        for _ in range(self.pace.limits.attempts - 1):
            if response.whole:
                break
            short = answers.without_choice(response)
            if not short or len(short) == len(indices):
                break
            again = await self._call(request._replace(indices=[indices[p] for p in short]))
            answers.fill(response, short, again)
        return response

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
        return _response(request, context, outcome)

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
        seed = request.seed(request.indices[0])
        if request.arm.kind == "bare":
            url, body = self.host.raw_url, self.bodies.raw(request, samples, seed, prompt)
        else:
            url, body = self.host.chat_url, self.bodies.chat(request, samples, seed)
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
        tokens = await self.routes.tokenize(bare.prompt)
        whose = "expected_injected" if self.shown is None else "injected_text"
        known = _of_prompt(template, bare.prompt, tokens)
        known |= {"prompt_source": "sent", whose: bare.injected}
        return Context(sent, **known), tokens

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
            self.host.chat_url, write(body), prompt=bound, completion=1, tried=Tries()
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


def _response(request: Request, context: Context, outcome: Outcome) -> Response:
    """What a call brought for each sample of its request."""
    answer, seed = outcome.answer, request.seed(request.indices[0])
    if isinstance(answer, Refused):
        return no_reply(
            request,
            "unsupported" if _system_refused(request, answer) else "failed",
            answer.reason,
            context,
            attempts=tuple(outcome.tried),
            seconds=outcome.seconds,
            seed=seed,
            raw=outcome.body.decode("utf-8", "replace") or None,
            booked=outcome.tried.booked,
        )
    usage = answer.usage or Usage()
    replies = answers.replies(answer, request.indices)
    return Response(
        replies,
        context,
        received.name(answer.model),
        received.name(answer.system_fingerprint),
        received.name(answer.provider),
        received.name(answer.id),
        usage.prompt_tokens,
        usage.completion_tokens,
        seed,
        outcome.body.decode("utf-8", "replace"),
        tuple(outcome.tried),
        outcome.seconds,
        outcome.tried.booked,
        whole={reply.status for reply in replies} == _ALL_OK,
    )


def _system_refused(request: Request, refused: Refused) -> bool:
    """Whether the host refuses system messages, not this one call."""
    with_system = request.messages[0]["role"] == "system" and refused.status is not None
    return (
        with_system
        and refused.problem.fate == "fail"
        and SYSTEM_REFUSED.search(refused.reason) is not None
    )
