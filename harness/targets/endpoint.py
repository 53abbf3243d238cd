"""Any OpenAI-compatible endpoint.

The `openai` package says how users configure it (its environment variables, the names of its errors) and is the
reference of the tests; the wire is `harness.targets.transport`. The body that is sent holds every sampling
parameter; what a host refuses is named in the target's `omit` or `rename`, never dropped by itself. The whole
answer is kept, less the key.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.campaign.campaign import Budget, EndpointTarget, Limits, Sampling
from harness.campaign.plan import Message
from harness.errors import RenderError, TargetError
from harness.targets import (
    Capabilities,
    Context,
    Reply,
    Request,
    Response,
    Status,
    no_reply,
    split_reasoning,
    status_of,
)
from harness.targets.limits import PROBLEMS, Booked, Gate, Pace, Refused, Spending, Tries
from harness.targets.quirks import REASONING_FIELDS, SYSTEM_REFUSED, advice
from harness.targets.templates import ChatTemplate, template_from_folder
from harness.targets.transport import Answer, Transport

#: Where a target's entry names no address.
OPENAI = "https://api.openai.com/v1"
#: Requests in flight to begin with, and at most, where the campaign leaves it to truename.
START, CEILING = 8, 512
KEPT_CONTEXTS = 4096


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    text: Any = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Any = None


class Completion(msgspec.Struct, gc=False):
    """What is read of an answer, whatever else it holds."""

    choices: list[_Choice] | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    provider: str | None = None
    id: str | None = None
    usage: _Usage | None = None


_read = msgspec.json.Decoder(Completion).decode
_write = msgspec.json.Encoder().encode


class Endpoint:
    """One model behind an OpenAI-compatible URL."""

    def __init__(self, settings: EndpointTarget, pace: Pace | None = None) -> None:
        self.settings = settings
        self.width = settings.concurrency or CEILING
        self.block, self.paced = settings.samples_per_request, True
        self.pace = pace or Pace(
            Limits(), Spending(Budget()), gate_of(settings, Limits()), settings.price
        )
        self.key = _key(settings)
        self.url = (settings.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
        self.root = self.url.removesuffix("/v1")
        own = _headers(settings)
        #: What must never be kept: the key, and headers' values that come from the environment.
        self._secrets = tuple(
            secret
            for secret in (
                self.key,
                *(
                    value
                    for name, value in own.items()
                    if settings.headers.get(name, "").startswith("$")
                ),
            )
            if secret
        )
        self.headers = own | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        self.template = (
            template_from_folder(Path(settings.tokenizer).expanduser())
            if settings.tokenizer
            else None
        )
        self.sampling = Sampling()
        self.can = Capabilities(engine="endpoint", model=settings.model)
        self._chat_url, self._raw_url = self.url + "/chat/completions", self.url + "/completions"
        self._contexts: dict[tuple[str, int], tuple[Context, list[int] | None]] = {}
        self._llama = False
        self._wire: Transport | None = None
        self._ready = asyncio.Event()

    @property
    def wire(self) -> Transport:
        if self._wire is None:
            self._wire = Transport(
                self.url,
                self.headers,
                self.settings.timeout_s,
                int(self.settings.max_reply_mb * 1e6),
            )
        return self._wire

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        """Find out by a handful of small requests, all at once, what the host can do."""
        self.sampling = sampling or self.sampling
        hello = self._small({"messages": [{"role": "user", "content": "Say hello."}]})
        (many, first), raw, logprobs, seed, properties = await asyncio.gather(
            self._hello(n=2 if self.block > 1 else 1),
            self._works(self._raw_url, self._small({"prompt": "Hello"})),
            self._works(self._chat_url, hello | {"logprobs": True}, "logprobs"),
            self._works(self._chat_url, hello | {"seed": 1}),
            self._side("GET", "/props"),
        )
        properties = properties or {}
        self._llama = bool(properties.get("default_generation_settings"))
        if self.template is None and properties.get(
            "chat_template"
        ):  # a template named in the campaign comes first
            self.template = ChatTemplate(
                str(properties["chat_template"]),
                str(properties.get("bos_token") or ""),
                str(properties.get("eos_token") or ""),
            )
        self.can = Capabilities(
            engine="endpoint",
            model=self.settings.model,
            version=first.system_fingerprint,
            many_samples=many,
            raw_completions=raw,
            template_seen=self.template is not None,
            template_sha256=self.template.sha256 if self.template else None,
            chat_template=self.template.source if self.template else None,
            token_counts=first.usage is not None and first.usage.prompt_tokens is not None,
            logprobs=logprobs,
            seed=seed,
            notes=()
            if self.settings.provider or "openrouter" not in self.url
            else (
                "the aggregator may route every call to another backend: pin it with `provider`",
            ),
        )
        self._ready.set()
        return self.can

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()

    async def sample(self, request: Request) -> Response:
        """The samples of a request, in one call where the host gives several, else in one call each."""
        alone = len(request.indices) == 1
        if not alone or request.arm.kind == "bare" or self.template is not None:
            await self._ready.wait()
        if request.arm.kind == "bare" and (reason := self._no_bare()):
            return no_reply(request, "unsupported", reason)
        if alone or self.can.many_samples:
            return await self._filled(request, request.indices)
        parts = await asyncio.gather(*(self._filled(request, (i,)) for i in request.indices))
        return _joined(parts)

    def _no_bare(self) -> str | None:
        if not self.can.raw_completions:
            return "the host offers no raw completions, so its chat template cannot be left out"
        if self.template is None:
            return "the host's chat template is not known: name a folder with the claimed model's tokenizer_config.json under `tokenizer`"
        return None

    async def _filled(self, request: Request, indices: Sequence[int]) -> Response:
        """One call for some samples; those that got no choice are asked for again, as often as the limits allow."""
        response = await self._call(request, indices)
        for _ in range(self.pace.limits.attempts - 1):
            if response.whole:
                break
            short = [
                place for place, reply in enumerate(response.replies) if reply.error == NO_CHOICE
            ]
            if not short or len(short) == len(indices):
                break
            again = await self._call(request, [indices[p] for p in short])
            for place, reply in zip(short, again.replies, strict=True):
                reply.seed = again.seed
                response.replies[place] = reply
            response.attempts += again.attempts
            response.booked = response.booked.plus(again.booked)
            response.completion_tokens = _sum(response.completion_tokens, again.completion_tokens)
            response.raw = f"{response.raw}\n{again.raw}"
        return response

    async def _call(self, request: Request, indices: Sequence[int]) -> Response:
        """One call, tried again where that may help."""
        prompt, completion = request.prompt_bound, request.sampling.max_tokens * len(indices)
        seed = request.seed(indices[0])
        early = None
        if (
            not self._ready.is_set()
        ):  # the body depends on nothing that the preflight finds: asked while that is under way
            early = asyncio.create_task(
                self._attempts(
                    self._chat_url,
                    self._chat_body(request, len(indices), seed),
                    len(indices),
                    prompt,
                    completion,
                )
            )
            try:
                await self._ready.wait()
            except asyncio.CancelledError:
                early.cancel()
                raise
        try:
            context, tokens = await self._context(request, len(indices))
        except RenderError as problem:
            if early is not None:
                early.cancel()
            return Response(
                [
                    Reply(
                        i,
                        "unsupported" if request.arm.kind == "bare" else "failed",
                        error=problem.what,
                    )
                    for i in indices
                ]
            )
        if early is not None:
            answer, body, tried, seconds = await early
        elif request.arm.kind == "bare":
            raw = {
                **self._fields(request.sampling, len(indices), seed),
                "prompt": context.rendered_prompt if tokens is None else tokens,
            }
            answer, body, tried, seconds = await self._attempts(
                self._raw_url, raw, len(indices), prompt, completion
            )
        else:
            answer, body, tried, seconds = await self._attempts(
                self._chat_url,
                self._chat_body(request, len(indices), seed),
                len(indices),
                prompt,
                completion,
            )
        if isinstance(answer, Refused):
            refused = (
                request.messages[0]["role"] == "system"
                and answer.status in (400, 422)
                and SYSTEM_REFUSED.search(answer.reason)
            )
            status: Status = "unsupported" if refused else "failed"
            return Response(
                [Reply(i, status, error=answer.reason) for i in indices],
                context,
                attempts=tuple(tried),
                seconds=seconds,
                seed=seed,
                booked=tried.booked,
            )
        return self._response(answer, body, indices, context, tried, seconds, seed)

    async def _attempts(
        self, url: str, body: dict[str, Any], samples: int, prompt: int, completion: int
    ) -> tuple[Completion | Refused, bytes, Tries, float]:
        """The answer, or the last refusal where the sample fails; a refusal that concerns the whole target is raised."""
        tried = Tries()
        sent, began = _write(body), time.monotonic()
        try:
            answer, got = await self.pace.fetch(
                lambda: self._post(url, sent), prompt, completion, tried
            )
        except Refused as refused:
            if refused.problem.fate == "stop":
                raise TargetError(
                    refused.reason,
                    where=f"target {self.settings.name}",
                    next="mend the target's entry (model, base_url, key) and run again: what was sampled is kept",
                ) from None
            return refused, b"", tried, time.monotonic() - began
        usage = answer.usage or _Usage()
        known = usage.prompt_tokens is not None and usage.completion_tokens is not None
        self.pace.book(
            tried,
            prompt if usage.prompt_tokens is None else usage.prompt_tokens,
            completion if usage.completion_tokens is None else usage.completion_tokens,
            known=known,
        )
        return answer, got, tried, time.monotonic() - began

    async def _post(self, url: str, body: bytes) -> tuple[Completion, bytes]:
        """One attempt. Raises `Refused` with what became of it, less the key."""
        try:
            got, wait = await self.wire.post(url, body)
        except Refused as refused:
            refused.reason = self._hide(refused.reason)
            raise
        if wait:
            self.pace.gate.hold(wait, "the host's rate limit is used up")
        for secret in self._secrets:
            if secret.encode() in got or b"\\u00" in got:
                got = _without(got, secret)
        answer = read_completion(got)
        if isinstance(answer, str):
            raise Refused(self._hide(answer), PROBLEMS["json"])
        if not answer.choices:
            raise Refused("the answer holds no choices", PROBLEMS["choices"])
        return answer, got

    async def _context(self, request: Request, samples: int) -> tuple[Context, list[int] | None]:
        """What the request is made of, with its prompt as far as it is known; made once for a trial."""
        place = (request.key if self.template is not None else "", samples)
        if (known := self._contexts.get(place)) is not None:
            return known
        sent = self._fields(request.sampling, samples, None)
        tokens = None
        if self.template is None:
            context = Context(sent)
        else:
            if request.arm.kind == "bare":
                text, injected = self.template.bare(request.messages[-1]["content"])
            else:
                text, injected = self.template.render(list(request.messages)), None
            tokens = await self.tokenize(text)
            context = Context(
                sent, text, None if tokens is None else len(tokens), injected, self.template.sha256
            )
        if len(self._contexts) >= KEPT_CONTEXTS:
            self._contexts.clear()
        self._contexts[place] = context, tokens
        return context, tokens

    def _fields(self, sampling: Sampling, samples: int, seed: int | None) -> dict[str, Any]:
        """The body but for the prompt."""
        parameters: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        if sampling.stop:
            parameters["stop"] = list(sampling.stop)
        if seed is not None:
            parameters["seed"] = seed
        if samples > 1:
            parameters["n"] = samples
        fields = {
            "model": self.settings.model,
            **self._renamed(parameters),
            **self.settings.extra_body,
        }
        if self.settings.provider:
            fields["provider"] = self.settings.provider
        return fields

    def _chat_body(self, request: Request, samples: int, seed: int | None) -> dict[str, Any]:
        return {**self._fields(request.sampling, samples, seed), "messages": request.messages}

    def _renamed(self, parameters: dict[str, Any]) -> dict[str, Any]:
        rename, omit = self.settings.rename, self.settings.omit
        return (
            {rename.get(k, k): v for k, v in parameters.items() if k not in omit}
            if rename or omit
            else parameters
        )

    def _response(
        self,
        answer: Completion,
        body: bytes,
        indices: Sequence[int],
        context: Context,
        tried: Tries,
        seconds: float,
        seed: int | None,
    ) -> Response:
        choices, usage = answer.choices or [], answer.usage
        completion = usage.completion_tokens if usage else None
        alone = completion if len(choices) == 1 else None
        replies = [
            _reply(choices[place], index, alone)
            if place < len(choices)
            else Reply(index, "failed", error=NO_CHOICE)
            for place, index in enumerate(indices)
        ]
        return Response(
            replies,
            context,
            answer.model,
            answer.system_fingerprint,
            answer.provider,
            answer.id,
            usage.prompt_tokens if usage else None,
            completion,
            seed,
            body.decode("utf-8", "replace"),
            tuple(tried),
            seconds,
            tried.booked,
            {reply.status for reply in replies} == _ALL_OK,
        )

    async def _hello(self, n: int) -> tuple[bool, Completion]:
        """Whether one request brings several samples, and a first answer to every parameter that will be sent."""
        body = self._small({"messages": [{"role": "user", "content": "Say hello."}]})
        tried = Tries()
        try:
            answer, _ = await self.pace.fetch(
                lambda: self._post(self._chat_url, _write(body | ({"n": n} if n > 1 else {}))),
                64,
                16 * n,
                tried,
            )
            return n > 1 and len(answer.choices or []) == n, answer
        except Refused as refused:
            if n > 1 and refused.problem.fate == "fail" and advice(refused.reason) is None:
                return False, (await self._hello(1))[1]
            if refused.problem.fate == "fail" and (entry := advice(refused.reason)) is not None:
                raise TargetError(
                    f"the host refuses a parameter: {refused.reason}",
                    where=f"target {self.settings.name}",
                    next=f"write '{entry}' into the target's entry, so that it is known",
                ) from None
            hint = (
                "start the server or mend base_url"
                if refused.status is None
                else "mend model, base_url or the key variable in the target's entry"
            )
            raise TargetError(
                f"the endpoint does not answer: {refused.reason}",
                where=f"target {self.settings.name}, {self.url}",
                next=hint,
            ) from None

    async def prompt_tokens(self, messages: Sequence[Message]) -> tuple[int | None, int]:
        """Prompt tokens that the host bills for some messages, and how many of them it counts apart as cached."""
        body = {
            **self._fields(self.sampling.model_copy(update={"max_tokens": 1}), 1, None),
            "messages": list(messages),
        }
        answer, _ = await self.pace.fetch(
            lambda: self._post(self._chat_url, _write(body)),
            64 + sum(len(m["content"].encode()) for m in messages),
            1,
            Tries(),
        )
        usage = answer.usage or _Usage()
        details = (
            usage.prompt_tokens_details if isinstance(usage.prompt_tokens_details, dict) else {}
        )
        cached = _count(details.get("cached_tokens")) or 0
        # the API counts cached tokens among the prompt's; hosts that leave them out report fewer tokens than are cached
        return (
            usage.prompt_tokens,
            cached if usage.prompt_tokens is not None and cached > usage.prompt_tokens else 0,
        )

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of some messages, where it shows that: llama.cpp's /apply-template, vLLM's render route (else /tokenize) and /detokenize."""
        shown = await self._side("POST", "/apply-template", {"messages": list(messages)})
        if shown and isinstance(shown.get("prompt"), str):
            return str(shown["prompt"])
        asked = {"model": self.settings.model, "messages": list(messages)}
        tokens = (await self._side("POST", "/v1/chat/completions/render", asked) or {}).get(
            "token_ids"
        )
        if not isinstance(tokens, list):
            tokens = (await self._side("POST", "/tokenize", asked) or {}).get("tokens")
        if isinstance(tokens, list) and tokens:
            text = (
                await self._side(
                    "POST", "/detokenize", {"model": self.settings.model, "tokens": tokens}
                )
                or {}
            ).get("prompt")
            return str(text) if text else None
        return None

    def _small(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body with few tokens and the parameters that every request will have."""
        return self._fields(self.sampling.model_copy(update={"max_tokens": 16}), 1, None) | body

    async def _works(self, url: str, body: dict[str, Any], field: str | None = None) -> bool:
        try:
            answer = msgspec.json.decode(
                (await self._kept_at(lambda: self.wire.post(url, _write(body)))).body
            )
            self.pace.spending.requests += 1
            choice = answer["choices"][0]
            return field is None or bool(choice.get(field))
        except (
            Refused,
            msgspec.DecodeError,
            UnicodeDecodeError,
            LookupError,
            TypeError,
            AttributeError,
        ):
            return False

    async def tokenize(self, text: str) -> list[int] | None:
        """Tokens by the server's own tokenizer (vLLM and llama.cpp have /tokenize), or None."""
        fields = (
            {"content": text, "add_special": False, "parse_special": True}
            if self._llama
            else {"model": self.settings.model, "prompt": text, "add_special_tokens": False}
        )
        tokens = (await self._side("POST", "/tokenize", fields) or {}).get("tokens")
        return (
            tokens if isinstance(tokens, list) and all(isinstance(t, int) for t in tokens) else None
        )

    async def _side(
        self, method: str, route: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """One of the server's own routes beside the API, or None where it has none."""
        url = self.root + route
        try:
            answer = msgspec.json.decode(
                (
                    await self._kept_at(
                        lambda: (
                            self.wire.get(url)
                            if method == "GET"
                            else self.wire.post(url, _write(body))
                        )
                    )
                ).body
            )
            return answer if isinstance(answer, dict) else None
        except (Refused, msgspec.DecodeError, UnicodeDecodeError):
            return None

    @staticmethod
    async def _kept_at(send: Callable[[], Awaitable[Answer]]) -> Answer:
        """What a small request brings that tells what a host can do. A lost connection is no answer, so it is asked again."""
        for _ in range(SIDE_ATTEMPTS - 1):
            try:
                return await send()
            except Refused as refused:
                if refused.problem not in (PROBLEMS["reset"], PROBLEMS["body"]):
                    raise
            await asyncio.sleep(SIDE_PAUSE_S)
        return await send()

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text


_ALL_OK = {"ok"}
#: How often a host is asked what it can do, and the pause between, where the connection is lost.
SIDE_ATTEMPTS: Final = 3
SIDE_PAUSE_S: Final = 0.3
NO_CHOICE = "the answer holds fewer choices than asked for, so this sample has none"


def gate_of(settings: EndpointTarget, limits: Limits) -> Gate:
    """The gate of an endpoint: it begins at the level that the campaign names, or finds its own."""
    ceiling, start = (
        (settings.concurrency, settings.concurrency) if settings.concurrency else (CEILING, START)
    )
    return Gate(
        ceiling,
        start,
        breaker_after=limits.breaker_after,
        per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )


def read_completion(body: bytes) -> Completion | str:
    """A chat or text completion, or what is wrong with the bytes. Fields of other types than said count as missing."""
    try:
        return _read(body)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"the answer is no JSON: {body[:80]!r}"
    try:
        return _lenient(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"the answer is no JSON: {body[:80]!r}"


def _lenient(found: Any) -> Completion | str:
    if not isinstance(found, dict):
        return "the answer is no JSON object"
    usage: Any = found.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    listed: Any = found.get("choices")
    choices = []
    for choice in listed if isinstance(listed, list) else []:
        if isinstance(choice, dict):
            message = choice.get("message") if isinstance(choice.get("message"), dict) else None
            said = (
                None
                if message is None
                else _Message(
                    message.get("content"),
                    _text(message.get("refusal")),
                    *(message.get(field) for field in REASONING_FIELDS),
                )
            )
            choices.append(_Choice(said, choice.get("text"), _text(choice.get("finish_reason"))))
    model, fingerprint, provider, identifier = (
        _text(found.get(name)) for name in ("model", "system_fingerprint", "provider", "id")
    )
    return Completion(
        choices,
        model,
        fingerprint,
        provider,
        identifier,
        _Usage(
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
            usage.get("prompt_tokens_details"),
        ),
    )


def _without(body: bytes, secret: str) -> bytes:
    """An answer without a secret, however its letters are escaped."""
    body = body.replace(secret.encode(), b"[key]")
    try:
        plain = _write(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError):
        return body
    return plain.replace(secret.encode(), b"[key]") if secret.encode() in plain else body


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _reply(choice: _Choice, index: int, tokens: int | None) -> Reply:
    message, finish, reasoning = choice.message, choice.finish_reason, None
    if message is None:
        text = content_text(choice.text)
    else:
        text = message.content
        if type(text) is not str:
            text = message.refusal or None if text is None else content_text(text)
        found = message.reasoning_content or message.reasoning or message.thinking
        if found:
            reasoning = str(found)
    if reasoning is None and text and "<" in text:
        reasoning, text = split_reasoning(text)
    return Reply(index, status_of(text, finish), text, reasoning, finish, None, tokens)


def _joined(parts: list[Response]) -> Response:
    """Responses to one sample each as the response to all of them."""
    first = parts[0]
    for part in parts:
        for reply in part.replies:
            reply.seed = part.seed
    first.replies = [reply for part in parts for reply in part.replies]
    completion = [part.completion_tokens for part in parts]
    first.completion_tokens = None if None in completion else sum(c or 0 for c in completion)
    first.raw = "\n".join(part.raw or "" for part in parts)
    first.whole = all(part.whole for part in parts)
    first.booked = functools.reduce(Booked.plus, [part.booked for part in parts])
    first.attempts = tuple(attempt for part in parts for attempt in part.attempts)
    first.seconds = max(part.seconds for part in parts)
    return first


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def content_text(content: Any) -> str | None:
    """The text of a message's content, which some hosts send as a list of parts; None stays None."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def _key(settings: EndpointTarget) -> str | None:
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env)
    if not key:
        raise TargetError(
            f"the environment variable {settings.api_key_env} is not set",
            where=f"target {settings.name}",
            next=f"export {settings.api_key_env}=..., or write 'api_key_env: null' if the host wants no key",
        )
    return key


#: Headers that the `openai` package takes from the environment beside the key.
_OPENAI_HEADERS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}


def _headers(settings: EndpointTarget) -> dict[str, str]:
    """Extra headers; a value that starts with $ names an environment variable."""
    headers = {}
    if settings.api_key_env == "OPENAI_API_KEY":
        headers = {
            name: os.environ[variable]
            for name, variable in _OPENAI_HEADERS.items()
            if os.environ.get(variable)
        }
    for name, value in settings.headers.items():
        if value.startswith("$"):
            found = os.environ.get(value[1:])
            if found is None:
                raise TargetError(
                    f"the environment variable {value[1:]} is not set",
                    where=f"target {settings.name}, header {name}",
                    next=f"export {value[1:]}=...",
                )
            value = found
        headers[name] = value
    return headers
