"""llama.cpp in this process, through `xllamacpp`: GGUF files and lab models.

Every arm goes the same way: the prompt is rendered (by llama.cpp itself for all arms but ``bare``),
turned into tokens, and sent as raw tokens. So the stored prompt and its count are what the model
saw, not a guess. With one slot a worker decodes one sample at a time: the sums, and so seeded
samples, do not depend on the order.
"""

from __future__ import annotations

import asyncio
import queue
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.campaign import EmbeddedTarget, Sampling
from harness.errors import RenderError, TargetError
from harness.targets.protocol import (
    Capabilities,
    Context,
    Reply,
    Request,
    Response,
    no_reply,
    split_reasoning,
    status_of,
)
from harness.targets.templates import ChatTemplate

#: Samples of a trial that a worker takes at a time: few, so that a killed run loses little.
BLOCK = 8
KEPT_PROMPTS = 64


class _Prompt(NamedTuple):
    text: str
    tokens: list[int]
    injected: str | None


class Embedded:
    """Workers, each a copy of the model with its own slots and threads."""

    def __init__(self, settings: EmbeddedTarget) -> None:
        self.settings = settings
        self.path = _model_path(settings.model)
        self.width = settings.workers * settings.slots
        self.block, self.paced = BLOCK, False
        self._workers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._servers: list[Any] = []
        self._prompts: dict[str, _Prompt] = {}
        self._template: ChatTemplate | None = None

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        return await asyncio.to_thread(self._start)

    async def sample(self, request: Request) -> Response:
        return await asyncio.to_thread(self._sample, request)

    async def close(self) -> None:
        while not self._workers.empty():
            self._workers.get()
        self._servers.clear()

    @property
    def template(self) -> ChatTemplate:
        """The model's chat template, once the target is open."""
        assert self._template is not None
        return self._template

    def count(self, text: str) -> int:
        """Tokens of a text, as the model's tokenizer makes them."""
        return len(self._tokens(self._servers[0], text))

    def _start(self) -> Capabilities:
        for _ in range(self.settings.workers):
            self._servers.append(self._server())
        for server in self._servers:
            for _ in range(self.settings.slots):
                self._workers.put(server)
        properties = self._call(self._servers[0], "/props")
        self._template = ChatTemplate(
            str(properties.get("chat_template") or ""),
            str(properties.get("bos_token") or ""),
            str(properties.get("eos_token") or ""),
        )
        return self._able(self._template)

    def _server(self) -> Any:
        """One copy of the model, loaded."""
        import xllamacpp

        try:
            return xllamacpp.Server(self._parameters())
        except Exception as problem:  # xllamacpp raises bare exceptions of several kinds
            said = str(problem).strip() or type(problem).__name__
            raise TargetError(
                f"llama.cpp cannot load the model: {said}",
                where=str(self.path),
                next="check that the file is a whole GGUF model; llama.cpp's own words stand above",
            ) from None

    def _able(self, template: ChatTemplate) -> Capabilities:
        lab = self.settings.model.startswith("lab:")
        return Capabilities(
            engine="embedded",
            model=self.settings.model,
            version=_version(),
            many_samples=self.settings.slots > 1,
            raw_completions=True,
            template_seen=bool(template.source),
            template_sha256=template.sha256,
            chat_template=template.source,
            token_counts=True,
            logprobs=True,
            seed=True,
            notes=("lab model: " + _stand_in(),) if lab else (),
        )

    def _parameters(self) -> Any:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self.path)
        parameters.n_parallel = self.settings.slots
        parameters.n_ctx = self.settings.context * self.settings.slots
        parameters.cpuparams.n_threads = self.settings.threads
        parameters.cpuparams_batch.n_threads = self.settings.threads
        parameters.verbosity = -1
        parameters.warmup = False
        parameters.cache_prompt = False
        parameters.cache_ram_mib = 0
        return parameters

    def _call(self, server: Any, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One of llama.cpp's own JSON routes, on the loopback address that this process serves."""
        import urllib.request

        address = server.listening_address + path
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, data=data, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  (loopback)
            loaded: dict[str, Any] = msgspec.json.decode(response.read())
        return loaded

    def _tokens(self, server: Any, text: str) -> list[int]:
        asked = {"content": text, "add_special": False, "parse_special": True}
        tokens: list[int] = self._call(server, "/tokenize", asked)["tokens"]
        return tokens

    def _prompt(self, server: Any, request: Request) -> _Prompt:
        """The prompt of a trial: rendered once, for its blocks follow one another."""
        if (known := self._prompts.get(request.key)) is not None:
            return known
        injected = None
        if request.arm.kind == "bare":
            text, injected = self.template.bare(request.messages[-1]["content"])
        else:
            asked = {"messages": list(request.messages)}
            text = self._call(server, "/apply-template", asked)["prompt"]
        made = _Prompt(text, self._tokens(server, text), injected)
        if len(self._prompts) >= KEPT_PROMPTS:
            self._prompts.clear()
        self._prompts[request.key] = made
        return made

    def _sample(self, request: Request) -> Response:
        import urllib.error

        began = time.monotonic()
        server = self._workers.get()
        try:
            prompt = self._prompt(server, request)
        except RenderError as problem:
            return no_reply(request, "unsupported", problem.what)
        except (urllib.error.URLError, KeyError) as problem:
            return _unrendered(request, problem)
        else:
            return self._answered(server, request, prompt, began)
        finally:
            self._workers.put(server)

    def _answered(self, server: Any, request: Request, prompt: _Prompt, began: float) -> Response:
        sent = _sent(request.sampling)
        seeds = [request.seed(index) for index in request.indices]
        bodies = [
            server.handle_completions({"prompt": prompt.tokens, **sent, **_seeded(seed)})
            for seed in seeds
        ]
        good: dict[str, Any] = next((body for body in bodies if "error" not in body), {})
        completion = [_usage(body, "completion_tokens") for body in bodies]
        replies = [
            _reply(body, index, seed)
            for body, index, seed in zip(bodies, request.indices, seeds, strict=True)
        ]
        made_of = Context(
            sent, prompt.text, len(prompt.tokens), prompt.injected, self.template.sha256
        )
        return Response(
            replies,
            made_of,
            model=self.settings.model,
            fingerprint=good.get("system_fingerprint"),
            response_id=good.get("id"),
            prompt_tokens=_usage(good, "prompt_tokens"),
            completion_tokens=None if None in completion else sum(completion),
            raw=msgspec.json.encode(bodies).decode("utf-8", "replace"),
            seconds=time.monotonic() - began,
            attempts=("ok",),
        )


def _sent(sampling: Sampling) -> dict[str, Any]:
    """Every parameter of the sampler; llama.cpp's own defaults of the others are switched off."""
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repeat_penalty": 1.0,
        "stop": list(sampling.stop),
        "cache_prompt": False,
    }


def _seeded(seed: int | None) -> dict[str, int]:
    return {} if seed is None else {"seed": seed}


def _usage(body: dict[str, Any], field: str) -> Any:
    return body.get("usage", {}).get(field)


def _unrendered(request: Request, problem: Exception) -> Response:
    """A prompt that llama.cpp does not render: with a system message, the template refuses that."""
    if request.arm.kind in ("absent", "bare"):
        return no_reply(request, "failed", f"llama.cpp cannot render the prompt: {problem}")
    reason = f"the model's template refuses this system message: {problem}"
    return no_reply(request, "unsupported", reason)


def _reply(body: dict[str, Any], index: int, seed: int | None) -> Reply:
    if "error" in body:
        error = body["error"]
        return Reply(index, "failed", error=f"llama.cpp: {error.get('message', error)}", seed=seed)
    choice = body["choices"][0]
    finish = choice["finish_reason"]
    reasoning, text = split_reasoning(choice["text"])
    tokens = _usage(body, "completion_tokens")
    return Reply(index, status_of(text, finish), text, reasoning, finish, None, tokens, seed)


def _model_path(model: str) -> Path:
    if model.startswith("lab:"):
        from harness.lab.build import build

        return build(model.removeprefix("lab:"), "gguf")
    path = Path(model).expanduser()
    if not path.is_file():
        raise TargetError(
            "there is no such model file",
            where=str(path),
            next="give the path of a GGUF file, or lab:suspect, lab:donor, lab:base, lab:control",
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise TargetError(
                "the file is not a GGUF model",
                where=str(path),
                next="convert the model to GGUF, or point at another file",
            )
    return path


def _version() -> str:
    import xllamacpp

    known = getattr(xllamacpp._version, "__version__", None)
    return "xllamacpp" if known is None else f"xllamacpp {known}"


def _stand_in() -> str:
    from harness.lab.store import STAND_IN

    return STAND_IN
