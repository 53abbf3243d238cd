"""Patience and money: which failures are tried again, and caps that are checked before anything is sent."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from harness.campaign import Budget, Limits, Price

Fate = Literal["retry", "fail", "stop"]
T = TypeVar("T")

#: What to do about an HTTP status: try again, fail this sample, or stop this target. Others below 500 fail the sample.
FATE_OF_STATUS: dict[int, Fate] = {
    401: "stop",  # the key is wrong: every further call would be refused too
    402: "stop",  # the account is empty
    403: "stop",
    404: "stop",  # no such model or route
    408: "retry",
    409: "retry",
    425: "retry",
    429: "retry",
}


class Refused(Exception):
    """One attempt that did not bring a reply. ``retry_after`` is in seconds, where the host says so."""

    def __init__(self, reason: str, fate: Fate, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.fate, self.status, self.retry_after = reason, fate, status, retry_after


def fate_of(status: int) -> Fate:
    return FATE_OF_STATUS.get(status, "retry" if status >= 500 else "fail")


async def attempt(call: Callable[[], Awaitable[T]], limits: Limits, noted: list[str], pause: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> T:
    """Call until it succeeds, fails for good, or patience ends; every attempt is noted.

    Waits 1, 2, 4 ... seconds with full jitter, or as long as the host asks for, never past the wall time.
    """
    began = time.monotonic()
    for number in range(1, limits.attempts + 1):
        try:
            result = await call()
        except Refused as refused:
            noted.append(refused.reason)
            wait = refused.retry_after if refused.retry_after is not None else random.uniform(0.1, 2 ** (number - 1))
            over = time.monotonic() - began + wait > limits.attempt_wall_s
            if refused.fate != "retry" or number == limits.attempts or over:
                raise
            await pause(wait)
        else:
            noted.append("ok")
            return result
    raise AssertionError("unreachable: attempts is at least 1")


@dataclass
class Spending:
    """What a run has used, and what its requests in flight may still use."""

    budget: Budget
    requests: int = 0
    tokens: int = 0
    money: float = 0.0
    unknown_usage: int = 0
    _reserved_requests: int = field(default=0, repr=False)
    _reserved_tokens: int = field(default=0, repr=False)
    _reserved_money: float = field(default=0.0, repr=False)

    def reserve(self, requests: int, prompt: int, completion: int, price: Price | None) -> Callable[[], None] | None:
        """Reserve the worst case of a call; None if a cap would be passed, else what releases the reservation."""
        tokens, money = prompt + completion, cost(prompt, completion, price)
        over = (
            (self.budget.requests is not None and self.requests + self._reserved_requests + requests > self.budget.requests)
            or (self.budget.tokens is not None and self.tokens + self._reserved_tokens + tokens > self.budget.tokens)
            or (self.budget.money is not None and self.money + self._reserved_money + money > self.budget.money)
        )
        if over:
            return None
        self._reserved_requests += requests
        self._reserved_tokens += tokens
        self._reserved_money += money

        def release() -> None:
            self._reserved_requests -= requests
            self._reserved_tokens -= tokens
            self._reserved_money -= money

        return release

    def add(self, requests: int, prompt: int | None, completion: int | None, price: Price | None, *, bound: tuple[int, int]) -> None:
        """Book what a call used; unreported usage is unknown and booked at its bound, never at zero."""
        if prompt is None or completion is None:
            self.unknown_usage += 1
        prompt, completion = bound[0] if prompt is None else prompt, bound[1] if completion is None else completion
        self.requests += requests
        self.tokens += prompt + completion
        self.money += cost(prompt, completion, price)


def cost(prompt: int, completion: int, price: Price | None) -> float:
    return (prompt * price.prompt + completion * price.completion) / 1e6 if price else 0.0


class ErrorRate:
    """The share of failures among the last 50 requests of one target; it speaks once there are ten."""

    def __init__(self, limit: float) -> None:
        self.limit, self.recent = limit, deque[bool](maxlen=50)

    def passed(self, failed: bool) -> bool:
        """Note one request; true if the target has to stop."""
        self.recent.append(failed)
        return len(self.recent) >= 10 and sum(self.recent) / len(self.recent) > self.limit
