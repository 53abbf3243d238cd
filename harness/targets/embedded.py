"""llama.cpp in this process, through `xllamacpp`: GGUF files and lab models.

Every arm goes the same way: the prompt is rendered by the process under limits
(`harness.guarded`), turned into tokens, and sent as raw tokens. So the stored prompt and its count
are what the model saw, not a guess, and llama.cpp never runs the template of a file, which is a
program of whoever made it: it is given `HARMLESS` in its place.

A worker decodes some samples of one question in lockstep, and nothing beside them. Seeded samples
do not depend on what ran before, because the sums do not: a request starts in the slot
`FIRST_SLOT` and takes the next ones in order, so the same samples lie in the same rows of the same
batches, each slot has a cache of its own, and that is empty when the request begins. Left to
itself, llama.cpp starts in whichever slot was idle longest; in rare samples (2 of 4,416, once
measured) the last bits of a sum then decide over another token.
"""

from __future__ import annotations

import asyncio
import queue
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.campaign import EmbeddedTarget, Sampling
from harness.errors import RenderError, TargetError
from harness.targets.finishes import ended
from harness.targets.gguf_template import read_template
from harness.targets.protocol import (
    Capabilities,
    Context,
    Reply,
    Request,
    Response,
    Status,
    no_reply,
)
from harness.targets.reasoning import split_reasoning
from harness.targets.templates import ChatTemplate, Refusal

#: Samples of a trial that are saved together: few, so that a killed run loses little.
BLOCK = 8
KEPT_PROMPTS = 64
#: Where each request starts, whatever ran before.
FIRST_SLOT = 0
#: The template of its own that llama.cpp takes for a file's: the one for files that have none.
HARMLESS = "chatml"
#: A block of a large model on few cores takes its time.
TIMEOUT_S = 3600
#: What is asked for of each result; the rest repeats the request.
RESULT = (
    *("index", "content", "tokens_predicted", "tokens_evaluated"),
    *(
        "stop_type",
        "stopping_word",
        "truncated",
        "generation_settings/seed",
        "timings/predicted_ms",
    ),
)
FINISHED = {"eos": "stop", "word": "stop", "limit": "length"}


class _Prompt(NamedTuple):
    """A prompt as it is sent; ``date`` is the day that it tells."""

    text: str
    tokens: list[int]
    injected: str | None
    date: str | None


class Embedded:
    """Workers, each a copy of the model with its own threads."""

    def __init__(self, settings: EmbeddedTarget) -> None:
        self.settings = settings
        self.path = _model_path(settings.model)
        self.width, self.block, self.paced = settings.workers, max(BLOCK, settings.slots), False
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
        source = read_template(self.path, self.settings.name)
        for _ in range(self.settings.workers):
            self._servers.append(self._server())
        for server in self._servers:
            self._workers.put(server)
        properties = self._call(self._servers[0], "/props")
        self._template = ChatTemplate(
            source or str(properties.get("chat_template") or ""),
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
            many_samples=True,
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
        parameters.chat_template = HARMLESS
        parameters.n_parallel = self.settings.slots
        # a cache for each sample: in a shared one each would be compared with all others
        parameters.kv_unified = False
        parameters.n_ctx = self.settings.context * self.settings.slots
        for threads in (parameters.cpuparams, parameters.cpuparams_batch):
            threads.n_threads = self.settings.threads
            threads.poll = 0  # threads that wait would take the cores from those that work
        parameters.verbosity = -1
        parameters.warmup = False
        parameters.cache_prompt = False
        parameters.cache_ram_mib = 0
        return parameters

    def _call(self, server: Any, path: str, body: dict[str, Any] | None = None) -> Any:
        """One of llama.cpp's own JSON routes, on the loopback address that this process serves."""
        address = server.listening_address + path
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, data=data, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310  (loopback)
            return msgspec.json.decode(response.read())

    def _tokens(self, server: Any, text: str) -> list[int]:
        asked = {"content": text, "add_special": False, "parse_special": True}
        tokens: list[int] = self._call(server, "/tokenize", asked)["tokens"]
        return tokens

    def _prompt(self, server: Any, request: Request) -> _Prompt:
        """The prompt of a trial: rendered once, for its blocks follow one another."""
        if (known := self._prompts.get(request.key)) is not None:
            return known
        injected, template = None, self.template.of_today()
        if request.arm.kind == "bare":
            text, injected, _ = template.bare(request.messages[-1]["content"])
        else:
            text = template.render(request.messages)
        date = template.dated.isoformat() if template.dated else None
        made = _Prompt(text, self._tokens(server, text), injected, date)
        if len(self._prompts) >= KEPT_PROMPTS:
            self._prompts.clear()
        self._prompts[request.key] = made
        return made

    def _sample(self, request: Request) -> Response:
        began = time.monotonic()
        server = self._workers.get()
        try:
            prompt = self._prompt(server, request)
        except RenderError as problem:
            return no_reply(request, _unrendered(request, problem), problem.what)
        except (urllib.error.URLError, KeyError) as problem:
            return no_reply(request, "failed", f"llama.cpp: {_reason(problem)}")
        else:
            return self._answered(server, request, prompt, began)
        finally:
            self._workers.put(server)

    def _answered(self, server: Any, request: Request, prompt: _Prompt, began: float) -> Response:
        """The samples of a block, as many at a time as there are slots."""
        sent, slots = _sent(request.sampling), self.settings.slots
        made_of = Context(
            sent,
            prompt.text,
            len(prompt.tokens),
            prompt.injected,
            self.template.sha256,
            "sent",
            prompt.date,
        )
        results: list[dict[str, Any]] = []
        try:
            for at in range(0, len(request.indices), slots):
                some = request.indices[at : at + slots]
                results += self._decoded(server, prompt, sent, len(some), request.seed(some[0]))
        except urllib.error.URLError as problem:
            return no_reply(request, "failed", f"llama.cpp: {_reason(problem)}", made_of)
        replies = [_reply(r, index) for r, index in zip(results, request.indices, strict=True)]
        return Response(
            replies,
            made_of,
            model=self.settings.model,
            prompt_tokens=results[0]["tokens_evaluated"],
            completion_tokens=sum(result["tokens_predicted"] for result in results),
            raw=msgspec.json.encode(results).decode("utf-8", "replace"),
            seconds=time.monotonic() - began,
            attempts=("ok",),
        )

    def _decoded(
        self, server: Any, prompt: _Prompt, sent: dict[str, Any], samples: int, seed: int | None
    ) -> list[dict[str, Any]]:
        """Samples of one request; each has a seed of its own, one more than the one before."""
        asked = {"prompt": prompt.tokens, **sent, "n": samples, "id_slot": FIRST_SLOT}
        asked |= {"response_fields": RESULT} | ({} if seed is None else {"seed": seed})
        got = self._call(server, "/completion", asked)
        return sorted(got if isinstance(got, list) else [got], key=lambda one: int(one["index"]))


def _sent(sampling: Sampling) -> dict[str, Any]:
    """Every parameter of the sampler; llama.cpp's own defaults of the others are switched off."""
    return {
        "n_predict": sampling.max_tokens,
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


def _reason(problem: Exception) -> str:
    """What llama.cpp says is wrong."""
    if isinstance(problem, urllib.error.HTTPError):
        body = problem.read()
        try:
            return str(msgspec.json.decode(body)["error"]["message"])
        except (msgspec.DecodeError, LookupError, TypeError):
            return f"HTTP {problem.code}"
    return str(problem.reason if isinstance(problem, urllib.error.URLError) else problem)


def _unrendered(request: Request, problem: RenderError) -> Status:
    """An arm that the template does not take is unsupported; a template that breaks, failed."""
    refused = isinstance(problem, Refusal) and request.messages[0]["role"] == "system"
    return "unsupported" if refused or request.arm.kind == "bare" else "failed"


def _reply(result: dict[str, Any], index: int) -> Reply:
    finish = FINISHED.get(result["stop_type"], result["stop_type"])
    reasoning, text = split_reasoning(result["content"])
    tokens, seed = result["tokens_predicted"], result["generation_settings/seed"]
    how = ended(text, finish)
    return Reply(index, how.status, text, reasoning, finish, how.error, tokens, seed)


def _model_path(model: str) -> Path:
    if model.startswith("lab:"):
        from harness.lab import build

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
    from harness.lab import STAND_IN

    return STAND_IN
