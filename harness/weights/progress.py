"""Progress of a merge check by bytes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from harness.weights.check import Progress

EVERY_S: Final = 10.0


class Watch:
    """Shows what `check` tells, on stderr."""

    def __init__(self, live: bool) -> None:
        columns = (
            TextColumn("read"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True) if live else None
        self._task = self._bar.add_task("read", total=None) if self._bar else None
        self._began = self._said = time.monotonic()
        self._from: int | None = None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.planned)
            return
        now = time.monotonic()
        if self._from is None:
            self._from = progress.done
        if now - self._said < EVERY_S:
            return
        self._said = now
        speed = (progress.done - self._from) / max(1e-9, now - self._began)
        left = "unknown time left"
        if speed > 0:
            left = f"{(progress.planned - progress.done) / speed:.0f} s left"
        print(
            f"{progress.done / 1e9:.2f} of {progress.planned / 1e9:.2f} GB read, "
            f"{speed / 1e6:.0f} MB/s, {left}",
            file=sys.stderr,
            flush=True,
        )
