"""How far an inspection is, and when it is given up: hosts may be slow, or silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from harness.progress import Bar

#: Seconds after which an inspection is given up, where the user says nothing.
WITHIN_S: Final = 300.0
#: Seconds between two looks at how far it is.
_EVERY_S: Final = 0.5


class Course:
    """What an inspection does at the moment, and how many of its requests are answered."""

    def __init__(self, within_s: float) -> None:
        self.within_s, self.doing = within_s, "asking what the host can do"
        self.done, self.total = 0, 1
        self.cut: str | None = None

    def begins(self, doing: str, requests: int) -> None:
        """Another part of it begins, with so many requests."""
        self.doing = doing
        self.total += requests

    @asynccontextmanager
    async def within_its_time(self) -> AsyncIterator[None]:
        """Show how far what stands within is; ``cut`` says where it was given up."""
        with Bar("answers for the inspection", self.total) as bar:
            showing = asyncio.create_task(self._show(bar))
            try:
                async with asyncio.timeout(self.within_s):
                    yield
            except TimeoutError:
                self.cut = f"the limit of {self.within_s:g} s was reached while {self.doing}"
            finally:
                showing.cancel()

    async def _show(self, bar: Bar) -> None:
        while True:
            bar.at(self.done, self.total)
            await asyncio.sleep(_EVERY_S)
