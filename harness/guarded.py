"""Templates of others, rendered by a process under limits (`rendering.py`).

One such process is kept for as long as this one lives: it starts with the first job, and again
where a job broke it. Its limits are CPU time and memory, so that a busy machine is no reason to
refuse an honest template, and a hostile one ends by itself, whoever waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any, Final

from harness.rendering import CPU_S, MEMORY, Problem, read_whole, write_whole

#: What the process gets of the environment: where to find itself, and no secret.
ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL")


class NotRendered(Exception):
    """Why a template was not rendered.

    ``problem`` is one of `harness.rendering.Problem`, or None where the process passed a limit;
    ``error`` is the name of what it raised, ``line`` and ``block`` say where, if that is known.
    """

    def __init__(
        self,
        said: str,
        problem: Problem | None = None,
        error: str = "",
        line: int | None = None,
        block: str | None = None,
    ) -> None:
        super().__init__(said)
        self.said, self.problem, self.error = said, problem, error
        self.line, self.block = line, block


class _Process:
    """The process, started when there is a job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        #: Seconds of CPU time that all further jobs may take together; None: no end of them.
        self.left: float | None = None

    def does(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answer to one job.

        Raises
        ------
        NotRendered
            The job ended the process, or the machine starts none.
        """
        with self._lock:
            if self.left is not None:
                if self.left <= 0:
                    raise NotRendered("the templates together take more CPU time than they may")
                job = job | {"cpu_s": min(job["cpu_s"], self.left)}
            message = json.dumps(job).encode()
            try:
                process = self._started()
            except OSError as problem:  # no memory, or no place for one more process
                said = f"the process that renders templates cannot be started: {problem}"
                raise NotRendered(said) from None
            assert process.stdin is not None and process.stdout is not None
            try:
                write_whole(message, process.stdin)
                told = read_whole(process.stdout)
            except BrokenPipeError:
                told = None
            except BaseException:  # its answer would be taken for that to the next job
                self._ended()
                raise
            found: dict[str, Any] = {} if told is None else json.loads(told)
            if self.left is not None:
                self.left -= found.get("cpu_s", job["cpu_s"])
            if told is None:
                raise NotRendered(_why(self._ended()))
        return found

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._ended()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.rendering"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                process_group=0,  # Ctrl-C is for us alone
            )
        return self._process

    def _ended(self) -> int | None:
        """Make an end of the process; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()  # no end of file would come where a fork of ours holds the pipe
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return process.wait()

    def forget(self) -> None:
        """Leave the process to whom it belongs."""
        if self._process is not None:
            self._process.returncode = 0

    def end(self) -> None:
        """Let the process go; a job under way is awaited, which its limits bound."""
        with self._lock:
            self._ended()


def _why(code: int | None) -> str:
    """Why a process ended amid a job."""
    if code == -signal.SIGPROF:
        return f"the template did not end within {CPU_S:g} s of CPU time"
    return (
        f"the template took more memory than it may ({MEMORY >> 20} MB), "
        f"or broke the process that rendered it (exit code {code})"
    )


_process = _Process()
atexit.register(lambda: _process.end())


def _after_fork() -> None:
    """A forked process must not speak into the pipes of its parent's."""
    global _process
    _process.forget()
    _process = _Process()


os.register_at_fork(after_in_child=_after_fork)


def allow_together(seconds: float) -> None:
    """Bound the CPU time of all further jobs together: for whoever renders files of strangers."""
    _process.left = seconds


def rendered(kind: str, **job: Any) -> Any:
    """What a job (`harness.rendering.JOBS`) makes.

    A job that ends its process is done once more: it may have been ended by others (a machine out
    of memory), or charged for time in which a virtual machine stood still.

    Raises
    ------
    NotRendered
        The template is broken, reaches for Python internals, or passed a limit.
    """
    wanted = {"kind": kind, "cpu_s": CPU_S, **job}
    try:
        found = _process.does(wanted)
    except NotRendered:
        found = _process.does(wanted)
    if "made" in found:
        return found["made"]
    raise NotRendered(
        found["said"], found["problem"], found["error"], found["line"], found["block"]
    )
