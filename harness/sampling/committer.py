"""Answers into the journal: one writer, few commits, and nothing counts before it is committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from harness.campaign import Loaded
from harness.journal import Sampled, Writer
from harness.sampling.progress import Progress
from harness.targets import cost

#: Blocks that one commit takes at most; twice as many may wait for it.
AT_MOST: Final = 512
#: Waiting a little makes commits few: one costs as much CPU as a token of a small model.
GATHER_S: Final = 0.05


class Committer:
    """Takes answers from many workers, and commits whatever waits as soon as it can."""

    def __init__(self, loaded: Loaded, writer: Writer, progress: Progress) -> None:
        self.loaded, self.writer, self.progress = loaded, writer, progress
        self._unsaved: list[Sampled] = []
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._ended = self._broken = False

    async def take(self, done: Sampled) -> None:
        """Take one answer; waits while too many wait."""
        self.progress.targets[done.trial.target].waiting += len(done.response.replies)
        self._unsaved.append(done)
        self._more.set()
        if len(self._unsaved) >= 2 * AT_MOST and not self._broken:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Commit until `end` was called and nothing waits.

        Raises
        ------
        StoreError
            The journal cannot be written.
        """
        while True:
            await self._more.wait()
            self._more.clear()
            while self._unsaved:
                batch, self._unsaved = self._unsaved[:AT_MOST], self._unsaved[AT_MOST:]
                try:
                    await asyncio.to_thread(self.writer.save, batch)
                finally:
                    self._room.set()
                for done in batch:
                    self._count(done)
                self.progress.changed()
                await self._gather()
            if self._ended and not self._unsaved:
                return

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._more.set()

    @property
    def ended(self) -> bool:
        return self._ended

    def abandon(self) -> None:
        """It cannot be written: let everyone who waits for room go on, for there will be none."""
        self._broken = True
        self._room.set()

    async def _gather(self) -> None:
        until = time.monotonic() + GATHER_S
        while not self._ended and len(self._unsaved) < AT_MOST // 2:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), left)
            except TimeoutError:
                return

    def _count(self, done: Sampled) -> None:
        response, booked = done.response, done.booked
        counts = self.progress.targets[done.trial.target]
        if not response.whole:
            counts.failed += response.having("failed")
            counts.unsupported += response.having("unsupported")
            counts.truncated += response.having("truncated")
        size = len(response.replies)
        counts.done += size
        counts.waiting -= size
        counts.retried += retried(response.attempts)
        counts.tokens += booked.prompt + booked.completion
        counts.unknown_usage += booked.unknown_usage
        price = self.loaded.campaign.target(done.trial.target).price
        counts.money += cost(booked.prompt, booked.completion, price)


def retried(attempts: Sequence[str]) -> int:
    """How many attempts failed and were followed by another."""
    return sum(what != "ok" for what in attempts[:-1])
