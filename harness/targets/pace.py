"""Patience and pace: how many requests fly at once, are tried again, and when it is given up."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from harness.campaign import Limits, Price, RemoteTarget, Settings
from harness.targets.ledger import Ledger
from harness.targets.problems import PROBLEMS, Refused
from harness.targets.spending import Booked, Spending, Stopped

T = TypeVar("T")
#: Tokens of a prompt and of a completion, as far as a host says them.
Used = tuple[int | None, int | None]
#: The host has too much to do: fewer requests at once.
OVERLOADED: Final = frozenset((429, 503, 529))
WAIT_AT_MOST: Final = 60.0
#: Waits that are told, each with its end, where nobody watches a live view.
TOLD_FROM_S: Final = 5.0
#: Tokens that a host may add to a request (a prompt of its own, reasoning beyond `max_tokens`) and
#: that later requests are reserved for; what it claims beyond is not believed.
ADDED_AT_MOST: Final = 32_768
#: Requests in flight to begin with, and at most, where the campaign leaves it to truename.
START, CEILING = 8, 512
#: How long the requests that are begun with would take one after another, were they small.
BEGUN_WITHIN_S: Final = 4.0


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

    Additive increase, multiplicative decrease (Chiu and Jain 1989): it begins with ``start``, or
    fewer where the host's first answer took long (`begin`), doubles until the first sign of
    trouble, then grows by one a round while answers come and take less than twice the shortest
    seen, and halves, once a round at most, on overload. A host's Retry-After, its rate-limit
    headers and caps by the minute close it for a while, a host for ``wait_at_most`` seconds at
    once; where it asks for more, one request then tries it. After ``breaker_after`` failures in a
    row the breaker opens: nothing is sent for 1, 2, 4 ... 60 s, then one request tries the host
    (half-open); a success closes it. A host that has let nobody in for ``patience`` seconds is
    given up.
    """

    def __init__(
        self,
        ceiling: int,
        start: int,
        *,
        breaker_after: int,
        wait_at_most: float = 300.0,
        patience: float = 600.0,
        per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ceiling, self.level = ceiling, float(min(start, ceiling))
        self._start = start
        self.flying = 0
        self.waits_until = 0.0
        self.why = ""
        self.opened_at: float | None = None
        self.breaker_after, self.wait_at_most, self.patience = breaker_after, wait_at_most, patience
        self.closed_since: float | None = None
        #: Called with each long wait, and with its end.
        self.tell: Callable[[str], None] = lambda said: None
        self._telling = False
        self.clock = clock
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
        """Wait until one more request may fly.

        Raises
        ------
        Refused
            For longer than patience lasts the host has let nobody in: its target stops.
        """
        while True:
            wait = max(self.waits_until, self._next) - self.clock()
            if wait > 0 or self.opened_at is not None:
                self.check()
            if wait > 0:
                await asyncio.sleep(min(wait, 0.5))
            elif self.flying < (1 if self.opened_at is not None else int(self.level)):
                break
            else:
                room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(room)
                await room
        if self._telling:
            self._telling = False
            self.tell("the wait is over, the host is asked again")
        self.flying += 1
        if self._interval or self._token_interval:
            self._next = max(self._next, self.clock()) + max(
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

    def check(self) -> None:
        """Raises `Refused` where the host has let nobody in for longer than patience lasts."""
        if self.closed_for > self.patience:
            raise Refused(
                f"the host has let nobody in for {self.closed_for:.0f} s; last: {self.why}",
                PROBLEMS["silent"],
            )

    def begin(self, seconds: float) -> None:
        """Begin at the level that fits a host which took so long for a first small answer.

        So many requests as would take `BEGUN_WITHIN_S` one after another: a fast host gets all that
        it would have begun with, a slow one begins with one. How long small answers took says
        nothing of how long samples take, so the shortest is sought anew. A level that the campaign
        names stays.
        """
        if self._start < self.ceiling:
            self.level = max(1.0, min(self._start, BEGUN_WITHIN_S / max(seconds, 1e-3)))
        self._shortest = float("inf")

    def succeeded(self, seconds: float) -> None:
        self._bad, self.closed_since = 0, None
        if self.opened_at is not None:
            self.opened_at, self._opened = None, 0
        if seconds < self._shortest:
            self._shortest = seconds
        if self.level < self.ceiling and seconds < 2 * self._shortest + 0.05:
            self.level = min(self.ceiling, self.level + (1 if self._doubling else 1 / self.level))

    def failed(self, refused: Refused) -> None:
        """Note a failed attempt: halve, wait, or open the breaker."""
        now = self.clock()
        if refused.status in OVERLOADED:
            self._doubling = False
            if now - self._halved_at > min(self._shortest, 5.0):
                self.level, self._halved_at = max(1.0, self.level / 2), now
        if refused.retry_after:
            self.hold(refused.retry_after, f"the host asks to wait ({refused.reason[:60]})")
        if refused.problem.fate != "retry":
            self.closed_since = None
            return
        if refused.status == 429:
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
        """Send nothing for a while; after a wait that was cut, one request tries the host."""
        now = self.clock()
        if self.closed_since is None:
            self.closed_since = now
        if seconds > self.wait_at_most:
            why = f"{why}; it wants {seconds:.3g} s, {self.wait_at_most:g} s are waited at most"
            seconds = self.wait_at_most
            self.opened_at = now if self.opened_at is None else self.opened_at
        until = now + seconds
        if until <= self.waits_until:
            return
        self.waits_until, self.why = until, why
        if seconds >= TOLD_FROM_S and not self._telling:
            self._telling = True
            self.tell(f"waiting {seconds:.0f} s: {why}")

    def said(self) -> str:
        """What it waits for, or nothing."""
        left = self.waits_until - self.clock()
        if left > 0:
            return f"next try in {left:.0f} s; {self.why}"
        return "breaker half-open: one request tries the host" if self.opened_at is not None else ""

    @property
    def closed_for(self) -> float:
        """Seconds since the host first closed the gate, and has answered no request since."""
        return 0.0 if self.closed_since is None else self.clock() - self.closed_since


class Tries(list[str]):
    """What became of each attempt, and what they cost; ``number`` is the last one's in the ledger.

    ``reserved`` is its worst case: the tokens of its prompt and of its completion. ``came`` is what
    the last refused attempt brought that brought anything.
    """

    came = b""

    unknown_usage = prompt = completion = number = 0
    reserved = (0, 0)

    @property
    def booked(self) -> Booked:
        return Booked(len(self), self.unknown_usage, self.prompt, self.completion)


class Pace:
    """How one target is asked: its gate, its price, the run's caps, patience for each request."""

    def __init__(
        self,
        limits: Limits,
        spending: Spending,
        gate: Gate,
        price: Price | None = None,
        target: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        self.limits, self.spending, self.gate, self.price = limits, spending, gate, price
        self.target, self.ledger = target, ledger
        self.stopping = False
        #: Tokens that the host was seen to add to a prompt and to a completion.
        self.added = (0, 0)

    def stop(self) -> None:
        """Nobody who waits is let in any more."""
        self.stopping = True
        self.gate.wake()
        self.spending.wake()

    async def fetch(
        self, call: Callable[[], Awaitable[T]], prompt: int, completion: int, tried: Tries
    ) -> T:
        """Call until it succeeds, fails for good, or patience ends.

        What became of each attempt is appended to ``tried``. Waits 1, 2, 4 ... seconds with full
        jitter, or as long as the host asks for, never past the wall time.

        Raises
        ------
        Refused
            The last attempt failed, or the host has let nobody in for the wall time.
        BudgetReached
            The next attempt could pass a cap, and nothing is in flight that might leave room.
        StoreError
            What is sent cannot be written down first.
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
        worst = prompt + self.added[0], completion + self.added[1]
        await self.spending.room(*worst, self.price, lambda: self.stopping)
        sent = False
        try:
            await self.gate.enter(sum(worst))
            try:
                if self.stopping:
                    raise Stopped
                tried.number = self._write_down(*worst)
                sent, asked, tried.reserved = True, self.gate.clock(), worst
                answer = await call()
                self.gate.succeeded(self.gate.clock() - asked)
                self.settle(tried.number)
            except Refused as refused:
                self.gate.failed(refused)
                if refused.problem.spent:
                    self.book(tried, None, None)
                else:
                    self.settle(tried.number)
                tried.append(refused.reason)
                tried.came = refused.body or tried.came
                raise
            finally:
                self.gate.leave()
        finally:
            self.spending.release(*worst, self.price, sent=sent)
        tried.append("ok")
        return answer

    def _wait(self, refused: Refused, number: int, began: float) -> float | None:
        """Seconds until the next attempt (the gate waits as the host asks); None if there is none.

        Raises
        ------
        Refused
            The host has let nobody in for the wall time: the target is given up.
        """
        asked = refused.retry_after
        if asked is not None:
            asked = min(asked, self.limits.wait_at_most_s)
        wait = 0.0 if asked is not None else random.uniform(0.1, 2 ** (number - 1))
        waited = time.monotonic() - began + max(wait, asked or 0.0)
        self.gate.check()
        last = refused.problem.fate != "retry" or number == self.limits.attempts
        return None if last or waited > self.limits.attempt_wall_s else wait

    def book(self, tried: Tries, prompt: int | None, completion: int | None) -> None:
        """Book the tokens of one attempt: against the run's caps, in ``tried``, in the ledger.

        What the host does not say, or says beyond what was reserved, is unknown and counts at what
        was reserved. Of what it said, later requests are reserved more.
        """
        said, worst = (prompt, completion), tried.reserved
        known = [at is not None and at <= most for at, most in zip(said, worst, strict=True)]
        used, made = (
            most if at is None else min(at, most) for at, most in zip(said, worst, strict=True)
        )
        self._learn(said, worst)
        unknown = not all(known)
        self.spending.add(used, made, self.price, known=not unknown)
        tried.unknown_usage += unknown
        tried.prompt += used
        tried.completion += made
        self.settle(tried.number, int(unknown), used, made)

    async def aside(
        self,
        call: Callable[[], Awaitable[T]],
        usage: Callable[[T], Used],
        prompt: int = 64,
        completion: int = 16,
    ) -> T:
        """A small request beside the samples: once, past the gate, counted and booked like all.

        ``usage`` reads of its answer what it used. Raises as `fetch`.
        """
        tried = Tries()
        tried.reserved = prompt + self.added[0], completion + self.added[1]
        try:
            async with self.reserved(*tried.reserved) as tried.number:
                answer = await call()
        except Refused as refused:
            if refused.problem.spent:
                self.book(tried, None, None)
            raise
        self.book(tried, *usage(answer))
        return answer

    @contextlib.asynccontextmanager
    async def reserved(self, prompt: int, completion: int) -> AsyncIterator[int]:
        """A request outside the gate: its worst case reserved, its number in the ledger.

        It is settled at nothing, until it is booked. Raises as `fetch`.
        """
        await self.spending.room(prompt, completion, self.price, lambda: self.stopping)
        sent = False
        try:
            number = self._write_down(prompt, completion)
            sent = True
            try:
                yield number
            except Refused:
                self.settle(number)
                raise
            self.settle(number)
        finally:
            self.spending.release(prompt, completion, self.price, sent=sent)

    def _write_down(self, prompt: int, completion: int) -> int:
        """The number that a request has in the ledger, before it is sent."""
        return 0 if self.ledger is None else self.ledger.sent(self.target, prompt, completion)

    def settle(self, number: int, unknown: int = 0, prompt: int = 0, completion: int = 0) -> None:
        """What a request used in the end, into the ledger."""
        if self.ledger is not None:
            self.ledger.used(number, unknown, prompt, completion)

    def _learn(self, said: tuple[int | None, int | None], worst: tuple[int, int]) -> None:
        """Reserve more for later requests, where the host used more than was reserved."""
        more = [max(0, (at or 0) - most) for at, most in zip(said, worst, strict=True)]
        if any(more):
            prompt, completion = (
                min(had + new, ADDED_AT_MOST) for had, new in zip(self.added, more, strict=True)
            )
            self.added = prompt, completion


def gate_of(settings: Settings, limits: Limits) -> Gate:
    """The gate of a target.

    An endpoint's begins at the level that the campaign names, or finds its own; an engine of this
    process has as many workers as it takes requests, so its gate is always open.
    """
    gate = functools.partial(
        Gate,
        breaker_after=limits.breaker_after,
        wait_at_most=limits.wait_at_most_s,
        patience=limits.attempt_wall_s,
    )
    if not isinstance(settings, RemoteTarget):
        return gate(4096, 4096)
    level = settings.concurrency
    return gate(
        level or CEILING,
        level or START,
        per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )


def pace_of(
    settings: Settings, limits: Limits, spending: Spending, ledger: Ledger | None = None
) -> Pace:
    """How a target is asked within the caps of a run; what it sends is written into a ledger."""
    gate = gate_of(settings, limits)
    return Pace(limits, spending, gate, settings.price, settings.name, ledger)
