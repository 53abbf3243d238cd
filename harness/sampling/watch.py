"""Live progress: a table that updates itself on a terminal, plain lines elsewhere.

And a log of JSON lines where one is asked for.
"""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from harness.errors import RunError
from harness.masking import hide, hide_bytes
from harness.sampling.progress import Counts, Progress

LINE_EVERY_S = 5.0
#: What the log says of each target.
COUNTS = (
    *("planned", "done", "running", "waiting", "retried"),
    *("failed", "unsupported", "truncated", "tokens", "money", "unknown_usage"),
)


class Watch:
    """Shows a run's progress while it lasts (a context manager)."""

    def __init__(self, progress: Progress, *, live: bool, log: Path | None = None) -> None:
        self.progress, self.live = progress, live
        self.began = time.monotonic()
        self.before = {name: counts.done for name, counts in progress.targets.items()}
        self._last_line = self.began
        self._display: Any = None
        self._log = _opened(log)

    def __enter__(self) -> Watch:
        if self.live:
            from rich.live import Live

            self._display = Live(get_renderable=self._table, refresh_per_second=4, transient=True)
            self._display.__enter__()
        self.progress.changed = self._changed
        self.progress.noted, self.progress.told = self._noted, self._told
        self._noted("begun", {"resumed": self.progress.resumed})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._display is not None:
            self._display.__exit__(kind, value, trace)
        self._noted("progress", self._totals())
        self._noted(
            "ended",
            {"stopped": self.progress.stopped, "error": None if value is None else str(value)},
        )
        if self._log is not None:
            self._log.close()

    def _changed(self) -> None:
        if self._display is not None and self._log is None:
            return
        if time.monotonic() - self._last_line < LINE_EVERY_S:
            return
        self._last_line = time.monotonic()
        if self._display is None:
            self._print()
        self._noted("progress", self._totals())

    def _print(self) -> None:
        print(self.line(), flush=True)
        for name, counts in self.progress.targets.items():
            if counts.gate and (waits := counts.gate.said()):
                print(hide(f"  {name}: {waits}"), flush=True)

    def _told(self, target: str, said: str) -> None:
        """A wait and its end: on a plain line at once; a live view shows it by itself."""
        if self._display is None:
            print(f"  {target}: {said}", flush=True)
        self._noted("told", {"target": target, "said": said})

    def _noted(self, event: str, about: dict[str, Any]) -> None:
        if self._log is not None:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            line = msgspec.json.encode({"time": now, "event": event, **about})
            self._log.write(hide_bytes(line) + b"\n")
            self._log.flush()

    def _totals(self) -> dict[str, Any]:
        return {
            "targets": {
                target: {name: getattr(counts, name) for name in COUNTS} | {"state": counts.state}
                for target, counts in self.progress.targets.items()
            }
        }

    def line(self) -> str:
        """All targets in one plain line."""
        all_counts = self.progress.targets.values()
        total = {
            name: sum(getattr(c, name) for c in all_counts)
            for name in ("done", "planned", "running", "retried", "failed", "tokens", "money")
        }
        fresh = total["done"] - self.progress.resumed
        left = self._left(fresh, total["planned"] - total["done"])
        money = f", {total['money']:.2f} spent" if total["money"] else ""
        return (
            f"{total['done']}/{total['planned']} samples, {self._speed(fresh)}, "
            f"{total['running']} in flight, {total['retried']} retried, "
            f"{total['failed']} failed, {total['tokens']} tokens{money}, {left} left"
        )

    def _speed(self, fresh: int) -> str:
        rate = fresh / max(1e-9, time.monotonic() - self.began)
        return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s"

    def _left(self, fresh: int, owed: int) -> str:
        if fresh <= 0:
            return "unknown time"
        minutes, seconds = divmod(int((time.monotonic() - self.began) / fresh * owed), 60)
        hours, rest = divmod(minutes, 60)
        return f"{hours}:{rest:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        table.add_column("target", no_wrap=True)
        for column in ("done", "speed", "left", "flying", "failed", "spent"):
            table.add_column(column, justify="right", no_wrap=True)
        troubles = []
        for name, c in self.progress.targets.items():
            fresh = c.done - self.before[name]
            left = self._left(fresh, c.planned - c.done) if c.done < c.planned else "done"
            table.add_row(
                Text(name[:20]),
                f"{c.done}/{c.planned}",
                self._speed(fresh),
                "?" if left.startswith("unknown") else left,
                str(c.running),
                str(c.failed),
                _spent(c),
            )
            if trouble := _trouble(c):
                troubles.append(Text(f"{name[:20]}: {trouble}", overflow="ellipsis", no_wrap=True))
        return Group(table, *troubles, Text(self.line()))


def _spent(counts: Counts) -> str:
    if counts.money:
        return f"{counts.money:.2f}"
    return f"{counts.tokens / 1e6:.1f}M tok" if counts.tokens >= 1e6 else f"{counts.tokens} tok"


def _trouble(counts: Counts) -> str:
    """What the target waits for, else what failed last."""
    return counts.state or (f"last failure: {counts.last_error[:60]}" if counts.last_error else "")


def _opened(log: Path | None) -> IO[bytes] | None:
    if log is None:
        return None
    try:
        return log.open("ab")
    except OSError as problem:
        raise RunError(
            f"the log cannot be written: {problem}",
            where=str(log),
            next="choose another path for --log-file",
        ) from None
