"""How far a command is that takes a while: a bar on a terminal, a line now and then elsewhere.

Nothing is shown until the command line asks for it (`show`), nor before `PATIENCE_S` are over; all
of it goes to standard error. Whoever does the work names it and counts it (`watched`, `stage`), and
knows nothing of how it is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from harness.console import plain

#: Seconds before anything is shown, and between two plain lines.
PATIENCE_S: Final = 1.0
EVERY_S: Final = 10.0
#: Items between two looks at the clock.
_STRIDE: Final = 64
T = TypeVar("T")
_shown = [False]


def show(wanted: bool) -> None:
    """From now on this process shows how far it is, or does not."""
    _shown[0] = wanted


def watched(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Hand on items and show how many of ``total`` were taken, and the time that is left.

    Parameters
    ----------
    items
        What is worked through.
    what
        Their kind in the plural, such as ``samples scored``.
    total
        How many there are; None where nobody knows.
    """
    if not _shown[0]:
        yield from items
        return
    with Bar(what, total) as bar:
        done = 0
        for done, item in enumerate(items, 1):
            yield item
            if done % _STRIDE == 0:
                bar.at(done)
        bar.at(done)


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Say on a terminal what is done while it lasts; nothing elsewhere."""
    if not (_shown[0] and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


class Bar:
    """Shows how far one piece of work is (a context manager)."""

    def __init__(self, what: str, total: int | None, *, in_bytes: bool = False) -> None:
        self.what, self.total, self.in_bytes = plain(what), total, in_bytes
        self.began = self._said = time.monotonic()
        self._from: int | None = None
        self._live: Any = None
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def at(self, done: int, total: int | None = None) -> None:
        """So much is done, of the total, which may be known only now."""
        self.total = total if total is not None else self.total
        now = time.monotonic()
        if self._from is None:
            self._from = done
        if not _shown[0] or now - self.began < PATIENCE_S:
            return
        if self._terminal:
            self._bar().update(0, completed=done, total=self.total)
        elif now - self._said >= EVERY_S:
            self._said = now
            print(self.line(done, now), file=sys.stderr, flush=True)

    def line(self, done: int, now: float) -> str:
        """How far it is, in one plain line."""
        speed = (done - (self._from or 0)) / max(1e-9, now - self.began)
        left = "time left unknown"
        if self.total and speed > 0:
            left = f"{clock((self.total - done) / speed)} left"
        if self.in_bytes:
            whole = f" of {self.total / 1e9:.2f}" if self.total else ""
            return f"{done / 1e9:.2f}{whole} GB {self.what}, {speed / 1e6:.0f} MB/s, {left}"
        whole = f" of {self.total:,}" if self.total else ""
        return f"{done:,}{whole} {self.what}, {speed:,.0f}/s, {left}"

    def _bar(self) -> Any:
        if self._live is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            amount = DownloadColumn() if self.in_bytes else MofNCompleteColumn()
            columns = (TextColumn(self.what), BarColumn(20), amount, TimeRemainingColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.add_task("", total=self.total)
            self._live.start()
        return self._live


def clock(seconds: float) -> str:
    """A span of time such as 0:42 or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
