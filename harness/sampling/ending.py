"""How a sitting ends: by a signal, or by what one of its tasks raised."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


def stop_at_signals(
    here: asyncio.Task[Any], stopping: Callable[[], bool], stop: Callable[[], None], finish_s: float
) -> None:
    """The first signal lets what is in flight finish, for a while; the second does not."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if stopping():
            here.cancel()
        stop()
        loop.call_later(finish_s, here.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)


def first_of(group: BaseExceptionGroup[E]) -> E:
    """The first error of a group, however deep it lies."""
    found = group.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found
