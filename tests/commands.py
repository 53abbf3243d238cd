"""The command `truename`, typed in this process, or in one of its own where a process is tested.

Those processes start warm: they are forked from a server that has imported truename, at a tenth of
what `python -m harness.cli` costs. They are whole: they get signals, die, leave files and an exit
code.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from harness.cli import main

#: What waits for a condition gives up after so long: no machine that works takes a tenth of it.
PATIENCE_S = 600.0
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(["tests.commands", "tests.warm"])


def truename(*arguments: Any, folder: Path | None = None, said: bytes | None = None) -> Result:
    """Type a command in this process (in a folder), and give it a standard input."""
    try:
        with contextlib.chdir(folder or Path.cwd()):
            return CliRunner().invoke(main, [str(a) for a in arguments], input=said)
    finally:
        gc.enable()


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, however long it takes on a busy machine."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.02)


class Moment(NamedTuple):
    """A signal that a process sends to itself before one of its SQL statements.

    The same moment on every machine.
    """

    statement: int
    signal: signal.Signals = signal.SIGKILL


class Typed:
    """A command in a process of its own, warm from the start."""

    def __init__(
        self,
        *arguments: Any,
        folder: Path,
        at: Moment | None = None,
        file_limit: int | None = None,
        **environment: str,
    ) -> None:
        self._told = tempfile.TemporaryDirectory(prefix="truename-typed-")
        for name in ("stdout", "stderr"):
            (Path(self._told.name) / name).touch()
        self._process = _WARM.Process(
            target=_type,
            args=(
                [str(a) for a in arguments],
                folder,
                self._told.name,
                at,
                file_limit,
                environment,
            ),
        )
        self._process.start()

    def __enter__(self) -> Typed:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind, whatever became of the test."""
        self._process.kill()
        self._process.join()
        self._told.cleanup()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    @property
    def stdout(self) -> str:
        return (Path(self._told.name) / "stdout").read_text("utf-8")

    @property
    def stderr(self) -> str:
        return (Path(self._told.name) / "stderr").read_text("utf-8")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ctrl_c(self) -> None:
        """What a terminal does: the signal goes to the command and to all that it began."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def ended(self) -> int:
        """Wait for its end; the exit code, or the negative number of the signal that killed it."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, "the process does not end"
        return self._process.exitcode


@contextlib.contextmanager
def typed(*arguments: Any, folder: Path, **options: Any) -> Iterator[Typed]:
    """A command under way in a process of its own; it is killed where the test leaves it."""
    with Typed(*arguments, folder=folder, **options) as process:
        yield process


def _end_with_parent() -> None:
    """A session of tests that is killed leaves no server of its own behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _type(
    arguments: list[str],
    folder: Path,
    told: str,
    at: Moment | None,
    file_limit: int | None,
    environment: dict[str, str],
) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(told) / name, os.O_WRONLY | os.O_APPEND), number)
    os.setpgid(0, 0)  # as a shell does
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    os.environ.update(environment)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    if at is not None:
        import sqlalchemy as sa

        count = itertools.count(1)

        @sa.event.listens_for(sa.Engine, "before_cursor_execute")
        def _(*_: object) -> None:
            if next(count) == at.statement:
                os.kill(os.getpid(), at.signal)

    sys.argv = ["truename", *arguments]
    main(arguments, prog_name="truename")
