"""A vLLM server that truename starts, talks to as an endpoint, and stops."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from harness.campaign import EndpointTarget, Sampling, VllmTarget
from harness.errors import TargetError
from harness.masking import know
from harness.targets.endpoint import Endpoint
from harness.targets.pace import Pace
from harness.targets.protocol import Capabilities, Request, Response
from harness.targets.templates import template_from_folder
from harness.targets.vllm import BLOCK, QUIET, cpu_build, lab_notes, model_of

#: Variables that vLLM reads by itself, and may write into its log.
SECRETS: Final = ("VLLM_API_KEY", "HF_TOKEN")


class Server:
    """A server of our own on loopback. Its log is kept until the run ends well."""

    def __init__(self, settings: VllmTarget, pace: Pace | None = None) -> None:
        self.settings = settings
        self.pace = pace
        self.model = model_of(settings)
        self.width, self.block, self.paced = settings.concurrency, BLOCK, True
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None
        self.log = Path(tempfile.gettempdir()) / f"truename-vllm-{os.getpid()}-{settings.name}.log"

    def command(self, port: int) -> list[str]:
        """What is started.

        It is the module, since the `vllm` script looks for a distribution of that very name.
        """
        s = self.settings
        command = [s.python or sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", self.model, "--served-model-name", s.model]
        command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", s.dtype]
        command += ["--enforce-eager"] if s.enforce_eager else []
        command += ["--max-model-len", str(s.max_model_len)] if s.max_model_len else []
        command += ["--no-enable-chunked-prefill"] if cpu_build(command[0]) else []
        return command + s.arguments

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        port = _free_port()
        self._start(port)
        await self._until_healthy(port)
        own = Path(self.model)
        shown = template_from_folder(own) if own.is_dir() else None  # the server has it from there
        self._endpoint = Endpoint(self._as_endpoint(port), self.pace, shown)
        can = await self._endpoint.preflight(sampling)
        return replace(can, engine="vllm-server", notes=can.notes + lab_notes(self.settings.model))

    def _start(self, port: int) -> None:
        for name in SECRETS:
            know(os.environ.get(name))
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

    def _as_endpoint(self, port: int) -> EndpointTarget:
        return EndpointTarget(
            name=self.settings.name,
            role=self.settings.role,
            engine="endpoint",
            base_url=f"http://127.0.0.1:{port}/v1",
            model=self.settings.model,
            api_key_env=None,
            concurrency=self.settings.concurrency,
            extra_body={"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
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
                self._give_up(ended)
            await asyncio.sleep(0.5)

    def _give_up(self, ended: int | None) -> NoReturn:
        """Say why the server is not there, in its own last words."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        last = lines[-1] if lines else "(nothing)"
        what = f"the vLLM server ended with code {ended}"
        if ended is None:
            patience = self.settings.start_timeout_s
            what = f"the vLLM server was not ready within {patience:g} s"
        raise TargetError(
            f"{what}; its last line: {last[:300]}",
            where=str(self.log),
            next="read that log; on a machine without a GPU see docs/targets.md",
        )


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
