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
from harness.progress import clock
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
        self.paces = {name: _Pace(counts) for name, counts in progress.targets.items()}
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
        for pace in self.paces.values():
            pace.look()
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
        total = {name: sum(getattr(c, name) for c in all_counts) for name in COUNTS}
        money = f", {total['money']:.2f} spent" if total["money"] else ""
        unsupported = f"{total['unsupported']} unsupported, " if total["unsupported"] else ""
        fresh, taken = total["done"] - self.progress.resumed, time.monotonic() - self.began
        return (
            f"{total['done']}/{total['planned']} samples, {_speed(fresh, taken)}, "
            f"{total['running']} in flight, {total['retried']} retried, "
            f"{total['failed']} failed, {unsupported}{total['tokens']} tokens{money}, "
            f"{_left(self._seconds_left(fresh, total['planned'] - total['done'], taken))} left"
        )

    def _seconds_left(self, fresh: int, owed: int, taken: float) -> float | None:
        """As long as the slowest target takes; where some have not begun, at the speed of all."""
        lefts = [pace.left() for pace in self.paces.values()]
        if None not in lefts:
            return max((left for left in lefts if left is not None), default=0.0)
        return taken / fresh * owed if fresh > 0 else None

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        table.add_column("target", no_wrap=True)
        columns = ["done", "speed", "left", "flying", "failed", "spent"]
        all_counts = self.progress.targets
        if any(counts.unsupported for counts in all_counts.values()):
            columns.insert(5, "unsup.")
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        troubles = []
        for name, c in all_counts.items():
            pace = self.paces[name]
            shown = {
                "done": f"{c.done}/{c.planned}",
                "speed": pace.speed(),
                "left": _left(pace.left(), "?") if c.done < c.planned else "done",
                "flying": str(c.running),
                "failed": str(c.failed),
                "unsup.": str(c.unsupported),
                "spent": _spent(c),
            }
            table.add_row(Text(name[:16]), *(shown[column] for column in columns))
            if trouble := _trouble(c):
                troubles.append(Text(f"{name[:20]}: {trouble}", overflow="ellipsis", no_wrap=True))
        return Group(table, *troubles, Text(self.line()))


class _Pace:
    """How fast a target is, from its first sample of this sitting to its last."""

    def __init__(self, counts: Counts) -> None:
        self.counts, self.before = counts, counts.done
        self.began: float | None = None
        self.ended: float | None = None

    def look(self) -> None:
        """Notice the beginning and the end."""
        now = time.monotonic()
        if self.began is None and (self.counts.running or self.counts.done > self.before):
            self.began = now
        if self.ended is None and self.counts.done >= self.counts.planned:
            self.ended = now

    def taken(self) -> float:
        self.look()
        return (self.ended or time.monotonic()) - self.began if self.began is not None else 0.0

    def speed(self) -> str:
        return _speed(self.counts.done - self.before, self.taken())

    def left(self) -> float | None:
        """Seconds that are left; None where nobody knows."""
        owed, fresh = self.counts.planned - self.counts.done, self.counts.done - self.before
        if owed <= 0:
            return 0.0
        return self.taken() / fresh * owed if fresh > 0 else None


def _speed(fresh: int, taken: float) -> str:
    rate = fresh / max(1e-9, taken)
    return f"{rate:.0f}/s" if rate >= 10 or not fresh else f"{rate:.1f}/s"


def _left(seconds: float | None, unknown: str = "unknown time") -> str:
    return unknown if seconds is None else clock(seconds)


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
