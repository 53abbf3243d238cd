"""Work on batches in several processes, in order, with few batches under way at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final, TypeVar

from harness.errors import ScoreError

A = TypeVar("A")
B = TypeVar("B")
#: Batches under way for each process: one that is worked on, one that waits.
AHEAD: Final = 2


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(work: Callable[[A], B], batches: Iterable[A], jobs: int) -> Iterator[tuple[A, B]]:
    """Each batch with what ``work`` makes of it, in the order of the batches.

    With one job, or one batch, here; else in ``jobs`` processes, for which ``work`` has to be a
    function of a module, and batches and results be picklable. An error ends the work and is raised
    here.

    Raises
    ------
    ScoreError
        A process was ended from outside.
    """
    source = iter(batches)
    some = list(islice(source, 2))
    if jobs < 2 or len(some) < 2:
        for batch in chain(some, source):
            yield batch, work(batch)
        return
    waiting: deque[tuple[A, Future[B]]] = deque()
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            for batch in chain(some, source):
                with _deaf():
                    waiting.append((batch, pool.submit(work, batch)))
                if len(waiting) >= AHEAD * jobs:
                    first, done = waiting.popleft()
                    yield first, done.result()
            while waiting:
                first, done = waiting.popleft()
                yield first, done.result()
        except BrokenProcessPool:
            raise ScoreError(
                "one of the processes that score was ended from outside",
                where=f"{jobs} processes",
                next="if memory is short, try --jobs 1",
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that begin meanwhile never hear Ctrl-C: it is for us, and we end them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
