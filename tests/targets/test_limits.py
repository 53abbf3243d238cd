"""How a host is asked: the level, the breaker, the caps, and the table of problems."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.campaign import Budget
from harness.targets import ErrorRate, Gate, Refused, Spending
from harness.targets.problems import problem_of
from tests.commands import PATIENCE_S


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def overload(status=429, after=None):
    return Refused("HTTP", problem_of(status), status=status, retry_after=after)


def test_the_level_grows_until_overload_halves_it_once_a_round():
    clock = Clock()
    gate = Gate(512, 8, breaker_after=5, clock=clock)
    for _ in range(100):
        gate.succeeded(0.1)
    assert gate.level == 108  # begun by doubling each round
    gate.failed(overload())
    gate.failed(overload())
    assert gate.level == 54
    clock.now += 1
    gate.failed(overload(529))
    assert gate.level == 27
    for _ in range(27):
        gate.succeeded(0.1)
    assert 27.9 < gate.level < 28.1  # then by one a round
    for _ in range(100):
        gate.succeeded(0.5)
    assert gate.level < 28.1  # not while answers take longer and longer


def test_a_host_that_asks_to_wait_is_left_alone_and_the_view_says_so():
    clock = Clock()
    gate = Gate(8, 8, breaker_after=5, clock=clock)
    gate.failed(overload(429, after=30))
    assert gate.waits_until == 130
    assert "the host asks to wait" in gate.said() and "30 s" in gate.said()
    clock.now = 131
    assert gate.said() == ""


def test_the_breaker_opens_half_opens_and_closes():
    clock = Clock()
    gate = Gate(8, 8, breaker_after=3, clock=clock)
    for _ in range(3):
        gate.failed(overload(500))
    assert "breaker open" in gate.said() and gate.waits_until == 101
    clock.now = 101.5
    assert "half-open" in gate.said()
    gate.failed(overload(500))
    assert gate.waits_until == 103.5  # twice as long
    clock.now = 104
    gate.succeeded(0.1)
    assert gate.said() == "" and gate.opened_at is None


def test_while_the_breaker_is_open_one_request_at_a_time_tries_the_host():
    async def go():
        gate = Gate(8, 8, breaker_after=1)
        gate.failed(overload(500))
        gate.waits_until = 0.0
        await gate.enter(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gate.enter(1), 0.1)
        gate.succeeded(0.1)
        gate.leave()
        await asyncio.wait_for(gate.enter(1), PATIENCE_S)
        await asyncio.wait_for(gate.enter(1), PATIENCE_S)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("caps", "tokens", "requests"),
    [({"per_minute": 1200}, 1, 9), ({"tokens_per_minute": 60_000}, 100, 5)],
)
def test_requests_and_tokens_by_the_minute_are_spread(caps, tokens, requests):
    async def go():
        gate = Gate(8, 8, breaker_after=5, **caps)
        began = time.monotonic()
        for _ in range(requests):
            await gate.enter(tokens)
            gate.leave()
        return time.monotonic() - began

    assert asyncio.run(go()) >= 0.4


def test_caps_hold_with_requests_in_flight():
    spending = Spending(Budget(requests=2, tokens=100, money=1e-9))
    assert spending.reserve(10, 10, None)
    assert spending.reserve(10, 10, None)
    assert not spending.reserve(10, 10, None)
    spending.release(10, 10, None, sent=True)
    assert not spending.reserve(10, 10, None)
    spending.release(10, 10, None, sent=False)
    assert spending.reserve(10, 10, None)
    assert not Spending(Budget(tokens=19)).reserve(10, 10, None)


def test_the_error_rate_speaks_once_there_are_ten_and_forgets():
    rate = ErrorRate(0.5, last=20)
    assert not any(rate.passed(True) for _ in range(9))
    assert rate.passed(True)
    for _ in range(20):
        rate.passed(False)
    assert not rate.passed(True)


def test_the_names_of_errors_are_openais():
    import openai

    from harness.targets.problems import PROBLEMS, STATUSES

    for problem in (*PROBLEMS.values(), *STATUSES.values(), problem_of(500), problem_of(418)):
        assert issubclass(getattr(openai, problem.name), openai.OpenAIError)
