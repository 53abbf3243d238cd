"""Live progress: a table that updates itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from harness.sampler import Progress

LINE_EVERY_S = 5.0


class Watch:
    """Shows a run's progress while it lasts (a context manager)."""

    def __init__(self, progress: Progress, *, live: bool) -> None:
        self.progress, self.live = progress, live
        self.began = time.monotonic()
        self._last_line = self.began
        self._display: Any = None

    def __enter__(self) -> Watch:
        if self.live:
            from rich.live import Live

            self._display = Live(get_renderable=self._table, refresh_per_second=4, transient=True)
            self._display.__enter__()
        self.progress.changed = self._changed
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._display is not None:
            self._display.__exit__(kind, value, trace)

    def _changed(self) -> None:
        if self._display is None and time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            print(self.line(), flush=True)

    def line(self) -> str:
        """All targets in one plain line."""
        all_counts = self.progress.targets.values()
        total = {name: sum(getattr(c, name) for c in all_counts) for name in ("done", "planned", "running", "waiting", "retried", "failed", "tokens")}
        return (
            f"{total['done']}/{total['planned']} samples, {total['running']} running, {total['waiting']} waiting, {total['retried']} retried, "
            f"{total['failed']} failed, {total['tokens']} tokens, {self._left(total['done'], total['planned'])} left"
        )

    def _left(self, done: int, planned: int) -> str:
        fresh = done - self.progress.resumed
        if fresh <= 0:
            return "unknown time"
        seconds = (time.monotonic() - self.began) / fresh * (planned - done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, caption=self.line(), caption_justify="left")
        for column in ("target", "done", "running", "waiting", "retried", "failed", "tokens", ""):
            table.add_column(column, justify="left" if column in ("target", "") else "right")
        for name, c in self.progress.targets.items():
            table.add_row(name, f"{c.done}/{c.planned}", str(c.running), str(c.waiting), str(c.retried), str(c.failed), str(c.tokens), c.said)
        return table
