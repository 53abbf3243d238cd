"""llama.cpp in this process, through `xllamacpp`: GGUF files and lab models.

Every arm goes the same way: the prompt is rendered (by llama.cpp itself for all arms but ``bare``), turned into
tokens, and sent as raw tokens. So the stored prompt and its count are what the model saw, not a guess.
With one slot a worker decodes one sample at a time: the sums, and so seeded samples, do not depend on the order.
"""

from __future__ import annotations

import asyncio
import queue
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.campaign.campaign import EmbeddedTarget, Sampling
from harness.errors import RenderError, TargetError
from harness.targets import (
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

#: Samples of a trial that a worker takes at a time: few, so that little is lost when the run is killed.
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
        return len(
            self._call(
                self._servers[0],
                "/tokenize",
                {"content": text, "add_special": False, "parse_special": True},
            )["tokens"]
        )

    def _start(self) -> Capabilities:
        import xllamacpp

        for _ in range(self.settings.workers):
            try:
                self._servers.append(xllamacpp.Server(self._parameters()))
            except Exception as problem:  # xllamacpp raises bare exceptions of several kinds
                raise TargetError(
                    f"llama.cpp cannot load the model: {str(problem).strip() or type(problem).__name__}",
                    where=str(self.path),
                    next="check that the file is a whole GGUF model; llama.cpp's own words stand above",
                ) from None
        for server in self._servers:
            for _ in range(self.settings.slots):
                self._workers.put(server)
        properties = self._call(self._servers[0], "/props")
        self._template = ChatTemplate(
            str(properties.get("chat_template") or ""),
            str(properties.get("bos_token") or ""),
            str(properties.get("eos_token") or ""),
        )
        notes = ("lab model: " + _stand_in(),) if self.settings.model.startswith("lab:") else ()
        return Capabilities(
            engine="embedded",
            model=self.settings.model,
            version=f"xllamacpp {xllamacpp._version.__version__}"
            if hasattr(xllamacpp._version, "__version__")
            else "xllamacpp",
            many_samples=self.settings.slots > 1,
            raw_completions=True,
            template_seen=bool(self._template.source),
            template_sha256=self._template.sha256,
            chat_template=self._template.source,
            token_counts=True,
            logprobs=True,
            seed=True,
            notes=notes,
        )

    def _parameters(self) -> Any:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self.path)
        parameters.n_parallel = self.settings.slots
        parameters.n_ctx = self.settings.context * self.settings.slots
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = (
            self.settings.threads
        )
        parameters.verbosity = -1
        parameters.warmup = False
        parameters.cache_prompt = False
        parameters.cache_ram_mib = 0
        return parameters

    def _call(self, server: Any, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One of llama.cpp's own JSON routes, on the loopback address that this process serves itself."""
        import urllib.request

        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(
            server.listening_address + path, data=data, headers={"Content-Type": "application/json"}
        )  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  (loopback)
            loaded: dict[str, Any] = msgspec.json.decode(response.read())
        return loaded

    def _prompt(self, server: Any, request: Request) -> _Prompt:
        """The prompt of a trial: rendered once, for its blocks follow one another."""
        assert self._template is not None
        if (known := self._prompts.get(request.key)) is not None:
            return known
        if request.arm.kind == "bare":
            text, injected = self._template.bare(request.messages[-1]["content"])
        else:
            text, injected = (
                self._call(server, "/apply-template", {"messages": list(request.messages)})[
                    "prompt"
                ],
                None,
            )
        tokens = self._call(
            server, "/tokenize", {"content": text, "add_special": False, "parse_special": True}
        )["tokens"]
        if len(self._prompts) >= KEPT_PROMPTS:
            self._prompts.clear()
        self._prompts[request.key] = _Prompt(text, tokens, injected)
        return self._prompts[request.key]

    def _sample(self, request: Request) -> Response:
        import urllib.error

        began = time.monotonic()
        server = self._workers.get()
        try:
            try:
                prompt = self._prompt(server, request)
            except RenderError as problem:
                return no_reply(request, "unsupported", problem.what)
            except (urllib.error.URLError, KeyError) as problem:
                if request.arm.kind in ("absent", "bare"):
                    return no_reply(
                        request, "failed", f"llama.cpp cannot render the prompt: {problem}"
                    )
                return no_reply(
                    request,
                    "unsupported",
                    f"the model's template refuses this system message: {problem}",
                )
            return self._answered(server, request, prompt, began)
        finally:
            self._workers.put(server)

    def _answered(self, server: Any, request: Request, prompt: _Prompt, began: float) -> Response:
        sampling = request.sampling
        sent: dict[str, Any] = {
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
        assert self._template is not None
        seeds = [request.seed(index) for index in request.indices]
        bodies = [
            server.handle_completions(
                {"prompt": prompt.tokens, **sent, **({} if seed is None else {"seed": seed})}
            )
            for seed in seeds
        ]
        good: dict[str, Any] = next((body for body in bodies if "error" not in body), {})
        completion = [body.get("usage", {}).get("completion_tokens") for body in bodies]
        return Response(
            [
                _reply(body, index, seed)
                for body, index, seed in zip(bodies, request.indices, seeds, strict=True)
            ],
            Context(sent, prompt.text, len(prompt.tokens), prompt.injected, self._template.sha256),
            model=self.settings.model,
            fingerprint=good.get("system_fingerprint"),
            response_id=good.get("id"),
            prompt_tokens=good.get("usage", {}).get("prompt_tokens"),
            completion_tokens=None if None in completion else sum(completion),
            raw=msgspec.json.encode(bodies).decode("utf-8", "replace"),
            seconds=time.monotonic() - began,
            attempts=("ok",),
        )


def _reply(body: dict[str, Any], index: int, seed: int | None) -> Reply:
    if "error" in body:
        return Reply(
            index,
            "failed",
            error=f"llama.cpp: {body['error'].get('message', body['error'])}",
            seed=seed,
        )
    choice = body["choices"][0]
    reasoning, text = split_reasoning(choice["text"])
    return Reply(
        index,
        status_of(text, choice["finish_reason"]),
        text,
        reasoning,
        choice["finish_reason"],
        None,
        body.get("usage", {}).get("completion_tokens"),
        seed,
    )


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


def _stand_in() -> str:
    from harness.lab.store import STAND_IN

    return STAND_IN
