"""Patience and pace: how many requests fly at once, are tried again, and when it is given up."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from harness.campaign import EndpointTarget, Limits, Price, Settings
from harness.targets.problems import PROBLEMS, Refused
from harness.targets.spending import Booked, BudgetReached, Spending

T = TypeVar("T")
#: The host has too much to do: fewer requests at once.
OVERLOADED: Final = frozenset((429, 503, 529))
WAIT_AT_MOST: Final = 60.0
#: Requests in flight to begin with, and at most, where the campaign leaves it to truename.
START, CEILING = 8, 512


class Stopped(Exception):
    """The run is being stopped: no further attempt is made, the samples stay owed."""


class ErrorRate:
    """The share of failures among the last requests; it speaks once there are ten."""

    def __init__(self, limit: float, last: int = 50) -> None:
        self.limit, self._recent, self._failed = limit, deque[bool](maxlen=last), 0

    def passed(self, failed: bool) -> bool:
        """Note one request; true if whoever asks has to stop."""
        if len(self._recent) == self._recent.maxlen:
            self._failed -= self._recent[0]
        self._recent.append(failed)
        self._failed += failed
        return (
            self._failed > 9 * self.limit
            and len(self._recent) >= 10
            and self._failed / len(self._recent) > self.limit
        )


class Gate:
    """How many requests of one target may fly.

    Additive increase, multiplicative decrease (Chiu and Jain 1989): it begins with ``start``
    (doubling until the first sign of trouble), grows by one a round while answers come and take
    less than twice the shortest seen, and halves, once a round at most, on overload. A host's
    Retry-After, its rate-limit headers and caps by the minute close it for a while. After
    ``breaker_after`` failures in a row the breaker opens: nothing is sent for 1, 2, 4 ... 60 s,
    then one request tries the host (half-open); a success closes it.
    """

    def __init__(
        self,
        ceiling: int,
        start: int,
        *,
        breaker_after: int,
        per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ceiling, self.level = ceiling, float(min(start, ceiling))
        self.flying = 0
        self.waits_until = 0.0
        self.why = ""
        self.opened_at: float | None = None
        self.breaker_after = breaker_after
        self._clock = clock
        self._interval = 60 / per_minute if per_minute else 0.0
        self._token_interval = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = 0.0
        self._bad = 0
        self._opened = 0
        self._shortest = float("inf")
        self._halved_at = 0.0
        self._doubling = True
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, tokens: int) -> None:
        """Wait until one more request may fly."""
        while True:
            wait = max(self.waits_until, self._next) - self._clock()
            if wait > 0:
                await asyncio.sleep(min(wait, 0.5))
            elif self.flying < (1 if self.opened_at is not None else int(self.level)):
                break
            else:
                room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(room)
                await room
        self.flying += 1
        if self._interval or self._token_interval:
            self._next = max(self._next, self._clock()) + max(
                self._interval, tokens * self._token_interval
            )

    def leave(self) -> None:
        self.flying -= 1
        free = (1 if self.opened_at is not None else int(self.level)) - self.flying
        while free > 0 and self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
                free -= 1

    def wake(self) -> None:
        """Let everyone who waits look again."""
        while self._waiting:
            if not (room := self._waiting.popleft()).done():
                room.set_result(None)

    def succeeded(self, seconds: float) -> None:
        self._bad = 0
        if self.opened_at is not None:
            self.opened_at, self._opened, self.why = None, 0, ""
        if seconds < self._shortest:
            self._shortest = seconds
        if self.level < self.ceiling and seconds < 2 * self._shortest + 0.05:
            self.level = min(self.ceiling, self.level + (1 if self._doubling else 1 / self.level))

    def failed(self, refused: Refused) -> None:
        """Note a failed attempt: halve, wait, or open the breaker."""
        now = self._clock()
        if refused.status in OVERLOADED:
            self._doubling = False
            if now - self._halved_at > min(self._shortest, 5.0):
                self.level, self._halved_at = max(1.0, self.level / 2), now
        if refused.retry_after:
            self.hold(refused.retry_after, f"the host asks to wait ({refused.reason[:60]})")
        if refused.problem.fate != "retry" or refused.status == 429:
            return
        self._bad += 1
        if self._bad >= self.breaker_after and now >= self.waits_until:
            if self.opened_at is None:
                self.opened_at = now
            self._opened += 1
            self.hold(
                min(WAIT_AT_MOST, 2.0 ** (self._opened - 1)), f"breaker open: {refused.reason[:60]}"
            )

    def hold(self, seconds: float, why: str) -> None:
        """Send nothing for a while."""
        until = self._clock() + seconds
        if until > self.waits_until:
            self.waits_until, self.why = until, why

    def said(self) -> str:
        """What it waits for, or nothing."""
        left = self.waits_until - self._clock()
        if left > 0:
            return f"next try in {left:.0f} s; {self.why}"
        return "breaker half-open: one request tries the host" if self.opened_at is not None else ""

    @property
    def open_for(self) -> float:
        """Seconds since the breaker opened and no request has succeeded."""
        return 0.0 if self.opened_at is None else self._clock() - self.opened_at


class Tries(list[str]):
    """What became of each attempt, and what they cost."""

    unknown_usage = prompt = completion = 0

    @property
    def booked(self) -> Booked:
        return Booked(len(self), self.unknown_usage, self.prompt, self.completion)


class Pace:
    """How one target is asked: its gate, its price, the run's caps, patience for each request."""

    def __init__(
        self, limits: Limits, spending: Spending, gate: Gate, price: Price | None = None
    ) -> None:
        self.limits, self.spending, self.gate, self.price = limits, spending, gate, price
        self.stopping = False

    async def fetch(
        self, call: Callable[[], Awaitable[T]], prompt: int, completion: int, tried: Tries
    ) -> T:
        """Call until it succeeds, fails for good, or patience ends.

        What became of each attempt is appended to ``tried``. Waits 1, 2, 4 ... seconds with full
        jitter, or as long as the host asks for, never past the wall time.

        Raises
        ------
        Refused
            The last attempt failed.
        BudgetReached
            The next attempt could pass a cap.
        Stopped
            The run is being stopped.
        """
        began = time.monotonic()
        for number in range(1, self.limits.attempts + 1):
            try:
                return await self._attempt(call, prompt, completion, tried)
            except Refused as refused:
                wait = self._wait(refused, number, began)
                if wait is None:
                    raise
            if wait:
                await asyncio.sleep(wait)
        raise AssertionError("unreachable: attempts is at least 1")

    async def _attempt(
        self, call: Callable[[], Awaitable[T]], prompt: int, completion: int, tried: Tries
    ) -> T:
        """One attempt, with its worst case reserved as long as it lasts."""
        if self.stopping:
            raise Stopped
        if not self.spending.reserve(prompt, completion, self.price):
            raise BudgetReached
        sent = False
        try:
            await self.gate.enter(prompt + completion)
            try:
                if self.stopping:
                    raise Stopped
                sent, asked = True, time.monotonic()
                answer = await call()
                self.gate.succeeded(time.monotonic() - asked)
            except Refused as refused:
                self.gate.failed(refused)
                if refused.problem.spent:
                    self.book(tried, prompt, completion, known=False)
                tried.append(refused.reason)
                raise
            finally:
                self.gate.leave()
        finally:
            self.spending.release(prompt, completion, self.price, sent=sent)
        tried.append("ok")
        return answer

    def _wait(self, refused: Refused, number: int, began: float) -> float | None:
        """Seconds until the next attempt (the gate waits as the host asks); None if there is none.

        Raises
        ------
        Refused
            The breaker has been open for the wall time: the target is given up.
        """
        asked, wall = refused.retry_after, self.limits.attempt_wall_s
        wait = 0.0 if asked is not None else random.uniform(0.1, 2 ** (number - 1))
        over = time.monotonic() - began + max(wait, asked or 0.0) > wall
        silent = self.gate.open_for
        if silent > wall:
            raise Refused(
                f"the host has not answered for {silent:.0f} s; last: {refused.reason}",
                PROBLEMS["tls"],
            ) from None
        last = refused.problem.fate != "retry" or number == self.limits.attempts
        return None if last or over else wait

    def book(self, tried: Tries, prompt: int, completion: int, *, known: bool) -> None:
        """Book the tokens of one attempt: against the run's caps, and in ``tried``."""
        self.spending.add(prompt, completion, self.price, known=known)
        tried.unknown_usage += not known
        tried.prompt += prompt
        tried.completion += completion


def gate_of(settings: Settings, limits: Limits) -> Gate:
    """The gate of a target.

    An endpoint's begins at the level that the campaign names, or finds its own; an engine of this
    process has as many workers as it takes requests, so its gate is always open.
    """
    if not isinstance(settings, EndpointTarget):
        return Gate(4096, 4096, breaker_after=limits.breaker_after)
    level = settings.concurrency
    return Gate(
        level or CEILING,
        level or START,
        breaker_after=limits.breaker_after,
        per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )


def pace_of(settings: Settings, limits: Limits, spending: Spending) -> Pace:
    """How a target is asked within the caps of a run."""
    return Pace(limits, spending, gate_of(settings, limits), settings.price)
