"""What requests cost, and caps that are never passed."""

from __future__ import annotations

import asyncio
import operator
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.campaign import Budget, Price


class BudgetReached(Exception):
    """A cap would be passed by the next request, and it says which; nothing was sent."""


class Stopped(Exception):
    """The run is being stopped: no further attempt is made, the samples stay owed."""


class Booked(NamedTuple):
    """What requests cost: how many there were, and their tokens; unknown ones at their bound."""

    requests: int = 0
    unknown_usage: int = 0
    prompt: int = 0
    completion: int = 0

    def plus(self, other: Booked) -> Booked:
        return Booked(*map(operator.add, self, other))


@dataclass
class Spending:
    """What a run has used, and what its requests in flight may still use.

    Tokens are worst cases until they are known. ``tell`` is called, once, when requests begin to
    wait for what those in flight will really use.
    """

    budget: Budget
    requests: int = 0
    tokens: int = 0
    money: float = 0.0
    unknown_usage: int = 0
    tell: Callable[[str], None] = field(default=lambda said: None, repr=False)
    _flying: int = field(default=0, repr=False)
    _flying_tokens: int = field(default=0, repr=False)
    _flying_money: float = field(default=0.0, repr=False)
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque, repr=False)
    _told: bool = field(default=False, repr=False)

    async def room(
        self,
        prompt: int,
        completion: int,
        price: Price | None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Reserve the worst case of one request.

        Near a cap it waits for what is in flight: that mostly uses less than its worst case.

        Raises
        ------
        BudgetReached
            Nothing is in flight any more, and the request could still pass a cap.
        Stopped
            The run is being stopped.
        """
        while (over := self._over(prompt, completion, price)) is not None:
            if stopping():
                raise Stopped
            if not self._flying:
                raise BudgetReached(over)
            if not self._told:
                self._told = True
                self.tell(f"near a cap ({over}): waiting for {self._flying} in flight")
            again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(again)
            await again
        self._reserve(prompt, completion, price)

    def wake(self) -> None:
        """Let everyone who waits for room look again."""
        while self._waiting:
            if not (again := self._waiting.popleft()).done():
                again.set_result(None)

    def _over(self, prompt: int, completion: int, price: Price | None) -> str | None:
        """The cap that one more request could pass, or None."""
        cap, tokens = self.budget, prompt + completion
        if cap.requests is not None and self.requests + self._flying + 1 > cap.requests:
            return f"requests: {self.requests:,} of {cap.requests:,} are used"
        if cap.tokens is not None and self.tokens + self._flying_tokens + tokens > cap.tokens:
            return (
                f"tokens: {self.tokens:,} of {cap.tokens:,} are used{self._bounds()}, "
                f"and the next request may need {tokens:,}"
            )
        money = cost(prompt, completion, price)
        if cap.money is not None and self.money + self._flying_money + money > cap.money:
            return (
                f"money: {self.money:.4g} of {cap.money:g} are used{self._bounds()}, "
                f"and the next request may need {money:.4g}"
            )
        return None

    def _bounds(self) -> str:
        """How much of what counts as used is not known but bounded."""
        if not self.unknown_usage:
            return ""
        return f" ({self.unknown_usage:,} requests of unknown usage at their worst case)"

    def _reserve(self, prompt: int, completion: int, price: Price | None) -> None:
        self._flying += 1
        self._flying_tokens += prompt + completion
        self._flying_money += cost(prompt, completion, price)

    def release(self, prompt: int, completion: int, price: Price | None, *, sent: bool) -> None:
        """Give a reservation back; ``sent``: the request was made and counts."""
        self._flying -= 1
        self._flying_tokens -= prompt + completion
        self._flying_money -= cost(prompt, completion, price)
        self.requests += sent
        self.wake()

    def add(self, prompt: int, completion: int, price: Price | None, *, known: bool) -> None:
        """Book tokens; unreported usage is booked at its bound and counted as unknown."""
        self.unknown_usage += not known
        self.tokens += prompt + completion
        self.money += cost(prompt, completion, price)

    def past(self, used: Booked, price: Price | None) -> None:
        """Count what earlier sittings used."""
        self.requests += used.requests
        self.unknown_usage += used.unknown_usage
        self.tokens += used.prompt + used.completion
        self.money += cost(used.prompt, used.completion, price)


def cost(prompt: int, completion: int, price: Price | None) -> float:
    return (prompt * price.prompt + completion * price.completion) / 1e6 if price else 0.0
