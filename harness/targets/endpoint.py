"""Any OpenAI-compatible endpoint, through the `openai` client (its own retries are off: `harness.limits` counts them).

The body that is sent holds every sampling parameter; what a host refuses is named in the target's `omit` or
`rename`, never dropped by itself. The whole answer is kept, less the key.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.campaign import EndpointTarget, Limits
from harness.errors import RenderError, TargetError
from harness.limits import Refused, attempt, fate_of
from harness.rendering import ChatTemplate, template_from_folder
from harness.targets import Capabilities, Reply, Request, Status, all_replies, split_reasoning, status_of

#: Where hosts put reasoning in a message: DeepSeek and llama.cpp say reasoning_content, vLLM and OpenRouter reasoning.
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")


class Endpoint:
    """One model behind an OpenAI-compatible URL."""

    def __init__(self, settings: EndpointTarget, limits: Limits | None = None) -> None:
        self.settings = settings
        self.limits = limits or Limits()
        self.width = settings.concurrency
        self.key = _key(settings)
        self.root = settings.base_url.removesuffix("/v1")
        self.template = template_from_folder(Path(settings.tokenizer).expanduser()) if settings.tokenizer else None
        self.can = Capabilities(engine="endpoint", model=settings.model)
        self._tokens: dict[str, list[int] | None] = {}
        self._client: Any = None

    async def preflight(self) -> Capabilities:
        import openai

        self._client = openai.AsyncOpenAI(
            base_url=self.settings.base_url,
            api_key=self.key or "no-key",
            max_retries=0,
            timeout=self.settings.timeout_s,
            default_headers=_headers(self.settings),
        )
        hello = {"model": self.settings.model, "messages": [{"role": "user", "content": "Say hello."}], **self._renamed({"max_tokens": 16})}
        many, body = True, await self._first_word({**hello, "n": 2}, may_refuse=True)
        if body is None:
            many, body = False, await self._first_word(hello)
        assert body is not None
        many = many and len(body.get("choices") or []) == 2
        raw = await self._works("/completions", {"model": self.settings.model, "prompt": "Hello", **self._renamed({"max_tokens": 1})})
        await self._look_for_template()
        counts = isinstance((body.get("usage") or {}).get("prompt_tokens"), int)
        self.can = Capabilities(
            engine="endpoint",
            model=self.settings.model,
            version=body.get("system_fingerprint"),
            many_samples=many,
            raw_completions=raw,
            template_seen=self.template is not None,
            template_sha256=self.template.sha256 if self.template else None,
            chat_template=self.template.source if self.template else None,
            token_counts=counts,
            logprobs=await self._works("/chat/completions", {**hello, "logprobs": True}, lambda b: bool(b["choices"][0].get("logprobs"))),
            seed=await self._works("/chat/completions", {**hello, "seed": 1}),
            notes=() if self.settings.provider or "openrouter" not in self.settings.base_url else ("the aggregator may route every call to another backend: pin it with `provider`",),
        )
        return self.can

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def sample(self, request: Request) -> list[Reply]:
        if request.arm.kind == "bare" and (reason := self._no_bare()):
            return all_replies(request, "unsupported", reason)
        groups = [(request.indices, request.seeds)] if self.can.many_samples else [((i,), (s,)) for i, s in zip(request.indices, request.seeds, strict=True)]
        done = await asyncio.gather(*(self._group(request, indices, seeds[0]) for indices, seeds in groups))
        return [reply for group in done for reply in group]

    def _no_bare(self) -> str | None:
        if not self.can.raw_completions:
            return "the host offers no raw completions, so its chat template cannot be left out"
        if self.template is None:
            return "the host's chat template is not known: name a folder with the claimed model's tokenizer_config.json under `tokenizer`"
        return None

    async def _group(self, request: Request, indices: tuple[int, ...], seed: int | None) -> list[Reply]:
        """One call for the samples ``indices``, tried again where that may help."""
        try:
            kept = await self._rendered(request)
        except RenderError as problem:
            status: Status = "unsupported" if request.arm.kind == "bare" else "failed"
            return [Reply(i, status, error=problem.what) for i in indices]
        path, body = self._body(request, kept, len(indices), seed)
        kept["sent"] = {k: v for k, v in body.items() if k not in ("messages", "prompt")}
        attempts: list[str] = []
        began = time.monotonic()
        try:
            answer = await attempt(lambda: self._post(path, body), self.limits, attempts)
        except Refused as refused:
            if refused.fate == "stop":
                raise TargetError(refused.reason, where=f"target {self.settings.name}", next="mend the target's entry (model, base_url, key) and run again: what was sampled is kept") from None
            system_refused = request.messages[0]["role"] == "system" and refused.status == 400 and "system" in refused.reason.lower()
            status = "unsupported" if system_refused else "failed"
            return [Reply(i, status, error=refused.reason, attempts=tuple(attempts), seconds=time.monotonic() - began, **kept) for i in indices]
        return [self._reply(answer, position, index, kept, tuple(attempts), time.monotonic() - began) for position, index in enumerate(indices)]

    async def _rendered(self, request: Request) -> dict[str, Any]:
        """What is known of the prompt before it is sent: its text, tokens, injected text and the template's hash."""
        if self.template is None:
            return {}
        if request.arm.kind == "bare":
            text, injected = self.template.bare(request.messages[-1]["content"])
        else:
            text, injected = self.template.render(list(request.messages)), None
        tokens = await self._tokenize(text)
        return {"rendered_prompt": text, "rendered_tokens": None if tokens is None else len(tokens), "injected_text": injected, "template_sha256": self.template.sha256}

    def _body(self, request: Request, kept: Mapping[str, Any], samples: int, seed: int | None) -> tuple[str, dict[str, Any]]:
        sampling = request.sampling
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
        body: dict[str, Any] = {"model": self.settings.model, **self._renamed(parameters), **self.settings.extra_body}
        if self.settings.provider:
            body["provider"] = self.settings.provider
        if request.arm.kind == "bare":
            tokens = self._tokens.get(kept["rendered_prompt"])
            return "/completions", body | {"prompt": kept["rendered_prompt"] if tokens is None else tokens}
        return "/chat/completions", body | {"messages": list(request.messages)}

    def _renamed(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {self.settings.rename.get(k, k): v for k, v in parameters.items() if k not in self.settings.omit}

    def _reply(self, answer: dict[str, Any], position: int, index: int, kept: dict[str, Any], attempts: tuple[str, ...], seconds: float) -> Reply:
        choices = answer.get("choices")
        usage: dict[str, Any] = answer.get("usage") or {}
        alone = isinstance(choices, list) and len(choices) == 1
        common: dict[str, Any] = dict(
            kept,
            model=answer.get("model"),
            fingerprint=answer.get("system_fingerprint"),
            provider=answer.get("provider"),
            response_id=answer.get("id"),
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens") if alone else None,
            attempts=attempts,
            seconds=seconds,
        )
        if not isinstance(choices, list) or position >= len(choices) or not isinstance(choices[position], dict):
            return Reply(index, "failed", error=f"the answer holds {len(choices) if isinstance(choices, list) else 'no'} choices, so this sample has none", raw=answer, **common)
        choice = choices[position]
        message = choice.get("message") if isinstance(choice.get("message"), dict) else {"content": choice.get("text")}
        text, reasoning = content_text(message.get("content")), next((str(message[f]) for f in REASONING_FIELDS if message.get(f)), None)
        if text is not None and reasoning is None:
            reasoning, text = split_reasoning(text)
        if text is None and message.get("refusal"):
            text = str(message["refusal"])
        finish = choice.get("finish_reason")
        return Reply(index, status_of(text, finish), text=text, reasoning=reasoning, finish_reason=finish, raw={**answer, "choices": [choice]}, **common)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One attempt. Raises `Refused` with what became of it."""
        import openai

        try:
            response = await self._raw(path, body)
        except openai.APIStatusError as problem:
            status = problem.status_code
            raise Refused(self._hide(f"HTTP {status}: {_said(problem)}"), fate_of(status), status=status, retry_after=_retry_after(problem.response.headers)) from None
        except openai.APITimeoutError:
            raise Refused(f"no answer within {self.settings.timeout_s:g} s", "retry") from None
        except openai.APIConnectionError as problem:
            raise Refused(self._hide(f"no connection to {self.settings.base_url}: {problem.__cause__ or problem}"), "retry") from None
        try:
            answer = msgspec.json.decode(response)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(self._hide(f"the answer is no JSON: {response[:80]!r}"), "retry") from None
        if not isinstance(answer, dict):
            raise Refused("the answer is no JSON object", "retry")
        return answer

    async def _raw(self, path: str, body: dict[str, Any]) -> bytes:
        """The bytes of the answer; the client does the headers, the timeout and the errors."""
        if path == "/completions":
            made = await self._client.completions.with_raw_response.create(model=body["model"], prompt=body["prompt"], extra_body=_rest(body, "model", "prompt"))
        else:
            made = await self._client.chat.completions.with_raw_response.create(model=body["model"], messages=body["messages"], extra_body=_rest(body, "model", "messages"))
        content: bytes = made.http_response.content
        return content

    async def _first_word(self, body: dict[str, Any], *, may_refuse: bool = False) -> dict[str, Any] | None:
        try:
            return await attempt(lambda: self._post("/chat/completions", body), self.limits.model_copy(update={"attempts": 2}), [])
        except Refused as refused:
            if may_refuse and refused.fate == "fail":
                return None
            advice = "start the server or mend base_url" if refused.status is None else "mend model, base_url or the key variable in the target's entry"
            raise TargetError(f"the endpoint does not answer: {refused.reason}", where=f"target {self.settings.name}, {self.settings.base_url}", next=advice) from None

    async def _works(self, path: str, body: dict[str, Any], check: Any = None) -> bool:
        try:
            answer = await self._post(path, body)
            return bool(answer.get("choices")) and (check is None or bool(check(answer)))
        except (Refused, LookupError, TypeError):
            return False

    async def _look_for_template(self) -> None:
        """llama.cpp's server shows its template under /props; a template named in the campaign comes first."""
        if self.template is None and (properties := await self._side("GET", "/props")) and properties.get("chat_template"):
            self.template = ChatTemplate(str(properties["chat_template"]), str(properties.get("bos_token") or ""), str(properties.get("eos_token") or ""))

    async def _tokenize(self, text: str) -> list[int] | None:
        """Tokens by the server's own tokenizer (vLLM and llama.cpp have /tokenize), or None."""
        if text not in self._tokens:
            fields = {"model": self.settings.model, "prompt": text, "add_special_tokens": False} if not await self._is_llama() else {"content": text, "add_special": False, "parse_special": True}
            answer = await self._side("POST", "/tokenize", fields)
            tokens = (answer or {}).get("tokens")
            self._tokens[text] = tokens if isinstance(tokens, list) and all(isinstance(t, int) for t in tokens) else None
        return self._tokens[text]

    async def _is_llama(self) -> bool:
        if not hasattr(self, "_llama"):
            self._llama = bool((await self._side("GET", "/props") or {}).get("default_generation_settings"))
        return self._llama

    async def _side(self, method: str, route: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """One of the server's own routes beside the API, or None where it has none."""
        import httpx2

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            async with httpx2.AsyncClient(timeout=20, headers=headers) as client:
                answer = msgspec.json.decode((await client.request(method, self.root + route, json=body)).raise_for_status().content)
        except (httpx2.HTTPError, msgspec.DecodeError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None

    def _hide(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


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


def _headers(settings: EndpointTarget) -> dict[str, str]:
    """Extra headers; a value that starts with $ names an environment variable."""
    headers = {}
    for name, value in settings.headers.items():
        if value.startswith("$"):
            found = os.environ.get(value[1:])
            if found is None:
                raise TargetError(f"the environment variable {value[1:]} is not set", where=f"target {settings.name}, header {name}", next=f"export {value[1:]}=...")
            value = found
        headers[name] = value
    return headers


def _rest(body: dict[str, Any], *known: str) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k not in known}


def _said(problem: Any) -> str:
    body = problem.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or problem.response.text or problem.message)[:400]


def _retry_after(headers: Any) -> float | None:
    """Seconds that the host asks to wait: `retry-after-ms`, or `retry-after` as seconds or as a date."""
    if (ms := headers.get("retry-after-ms")) and ms.isdigit():
        return int(ms) / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
