"""How a host is asked: the level, the breaker, the caps, and the table of problems."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.campaign import Budget, Limits, Price
from harness.errors import StoreError
from harness.targets import (
    Booked,
    BudgetReached,
    ErrorRate,
    Gate,
    Ledger,
    Pace,
    Refused,
    Spending,
    Stopped,
)
from harness.targets.pace import Tries
from harness.targets.problems import PROBLEMS, problem_of
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


@pytest.mark.parametrize("wait", [1e9, float("inf"), 301])
def test_a_host_that_asks_for_ever_is_waited_for_five_minutes_and_then_tried_by_one(wait):
    clock, told = Clock(), []
    gate = Gate(8, 8, breaker_after=5, clock=clock)
    gate.tell = told.append
    gate.failed(overload(429, after=wait))
    gate.failed(overload(429, after=wait))
    assert gate.waits_until == 400
    assert "300 s are waited at most" in gate.said()
    assert len(told) == 1 and told[0].startswith("waiting 300 s: the host asks to wait")

    async def go():
        clock.now = 401
        await gate.enter(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gate.enter(1), 0.1)

    asyncio.run(go())
    assert len(told) == 2 and "the wait is over" in told[1]
    gate.succeeded(0.1)
    assert gate.opened_at is None and gate.closed_for == 0


def test_everyone_who_waits_at_a_gate_is_let_go_when_patience_ends():
    clock = Clock()
    gate = Gate(8, 8, breaker_after=5, wait_at_most=300, patience=600, clock=clock)

    async def tried():
        await gate.enter(1)
        gate.failed(overload(429, after=1e9))
        gate.leave()

    async def go():
        for at in (100, 401, 701):  # the third at the 601st second
            clock.now = at
            if at < 700:
                await tried()
        for _ in range(3):
            with pytest.raises(Refused, match="has let nobody in for 601 s") as caught:
                await gate.enter(1)
            assert caught.value.problem.fate == "stop"
        gate.succeeded(0.1)  # one that was in flight is answered after all
        clock.now += 300
        await gate.enter(1)

    asyncio.run(go())


def test_caps_hold_with_requests_in_flight_and_near_them_those_are_waited_for():
    spending, told = Spending(Budget(requests=3, tokens=100)), []
    spending.tell = told.append

    async def go():
        await spending.room(10, 30, None)
        await spending.room(10, 30, None)
        third = asyncio.create_task(spending.room(10, 30, None))
        await asyncio.sleep(0)
        assert not third.done()
        assert told == [
            "near a cap (tokens: 0 of 100 are used, and the next request may need 40): "
            "waiting for 2 in flight"
        ]
        spending.release(10, 30, None, sent=True)
        spending.add(10, 5, None, known=True)  # less than its worst case
        await third
        fourth = asyncio.create_task(spending.room(10, 30, None))
        spending.release(10, 30, None, sent=True)
        spending.add(10, 30, None, known=False)
        await asyncio.sleep(0)
        assert not fourth.done()
        spending.release(10, 30, None, sent=True)
        spending.add(10, 5, None, known=True)
        with pytest.raises(BudgetReached, match="requests: 3 of 3 are used"):
            await fourth
        assert len(told) == 1

    asyncio.run(go())


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ({"tokens": 19}, "tokens: 0 of 19 are used, and the next request may need 20"),
        ({"money": 1e-6}, "money: 0 of 1e-06 are used, and the next request may need 2e-05"),
    ],
)
def test_a_cap_that_the_first_request_could_pass_says_so(caps, said):
    with pytest.raises(BudgetReached, match=said):
        asyncio.run(Spending(Budget(**caps)).room(10, 10, Price(prompt=1, completion=1)))


def test_whoever_waits_near_a_cap_is_let_go_when_the_run_stops():
    spending = Spending(Budget(requests=1))

    async def go():
        await spending.room(1, 1, None)
        waiting = asyncio.create_task(spending.room(1, 1, None, lambda: True))
        with pytest.raises(Stopped):
            await waiting

    asyncio.run(go())


def pace(budget=None, ledger=None):
    limits = Limits(attempts=1)
    gate = Gate(8, 8, breaker_after=5)
    return Pace(limits, Spending(budget or Budget()), gate, None, "t", ledger)


@pytest.mark.parametrize(
    ("said", "booked"),
    [
        ((9, 5), (0, 9, 5)),
        ((None, 5), (1, 80, 5)),
        ((81, 5), (1, 80, 5)),
        ((9, 10**9), (1, 9, 20)),
        ((None, None), (1, 80, 20)),
    ],
)
def test_what_a_host_bills_beyond_the_worst_case_is_unknown_and_counts_at_it(said, booked):
    async def go():
        asked, tried = pace(), Tries()
        await asked.fetch(lambda: asyncio.sleep(0), 80, 20, tried)
        asked.book(tried, *said)
        return asked, tried.booked

    asked, cost = asyncio.run(go())
    assert cost == (1, *booked)
    assert asked.spending.tokens == booked[1] + booked[2]
    assert asked.added[0] == max(0, (said[0] or 0) - 80)  # what the next one is reserved more
    assert asked.added[1] <= 32_768


def test_a_host_that_adds_a_prompt_of_its_own_is_reserved_for_from_then_on():
    async def go():
        asked = pace(Budget(tokens=6_000))
        for _ in range(3):
            tried = Tries()
            await asked.fetch(lambda: asyncio.sleep(0), 80, 20, tried)
            asked.book(tried, 2_080, 20)
        assert (asked.spending.unknown_usage, asked.spending.tokens) == (1, 100 + 2 * 2_100)
        with pytest.raises(BudgetReached, match="may need 2,100"):
            await asked.fetch(lambda: asyncio.sleep(0), 80, 20, tried)

    asyncio.run(go())


def test_what_was_sent_stands_in_the_ledger_before_it_is_sent(tmp_path):
    """A sitting that is killed at any moment leaves its requests at their worst case."""
    path = tmp_path / "spending.jsonl"

    async def go(ledger):
        asked, tried = pace(ledger=ledger), Tries()

        async def call():
            assert Ledger(path, {}).before["t"] == (1, 1, 80, 20)
            assert Ledger(path, {}).lost == 1

        await asked.fetch(call, 80, 20, tried)
        asked.book(tried, 9, 5)

        async def refused():
            raise Refused("HTTP", problem_of(500))

        with pytest.raises(Refused):
            await asked.fetch(refused, 80, 20, tried)
        with pytest.raises(Refused):
            await asked.aside(refused, lambda answer: (None, None))

    with Ledger(path, {}) as ledger:
        asyncio.run(go(ledger))
    again = Ledger(path, {"t": Booked(2, 1, 9, 3), "other": Booked(1, 0, 1, 1)})
    assert again.before == {"t": (3, 1, 9, 5), "other": (1, 0, 1, 1)} and again.lost == 0
    with again, path.open("ab") as torn:
        torn.write(b'["sent",1,"t",8')
    assert Ledger(path, {}).before == again.before


def test_what_a_small_request_beside_the_samples_used_is_booked_too(tmp_path):
    """Known, unknown, and lost after the host may have worked for it; a refusal costs nothing."""

    async def lost():
        raise Refused("reset", PROBLEMS["reset"])

    async def refused():
        raise Refused("HTTP 400", problem_of(400))

    async def go(ledger):
        asked = pace(ledger=ledger)
        await asked.aside(lambda: asyncio.sleep(0), lambda answer: (9, 5))
        assert (asked.spending.tokens, asked.spending.unknown_usage) == (14, 0)
        await asked.aside(lambda: asyncio.sleep(0), lambda answer: (None, None))
        assert (asked.spending.tokens, asked.spending.unknown_usage) == (14 + 80, 1)
        for call in (lost, refused):
            with pytest.raises(Refused):
                await asked.aside(call, lambda answer: (1, 1))
        assert (asked.spending.tokens, asked.spending.unknown_usage) == (14 + 160, 2)
        assert asked.spending.requests == 4

    with Ledger(tmp_path / "spending.jsonl", {}) as ledger:
        asyncio.run(go(ledger))
    assert Ledger(tmp_path / "spending.jsonl", {}).before["t"] == (4, 2, 9 + 128, 5 + 32)


def test_a_ledger_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(StoreError, match="what is spent cannot be kept"):
        Ledger(tmp_path, {})
    nowhere = Ledger(tmp_path / "nowhere" / "spending.jsonl", {})
    with pytest.raises(StoreError, match="what is spent cannot be kept"):
        nowhere.__enter__()


def test_the_error_rate_speaks_once_there_are_ten_and_forgets():
    rate = ErrorRate(0.5, last=20)
    assert not any(rate.passed(True) for _ in range(9))
    assert rate.passed(True)
    for _ in range(20):
        rate.passed(False)
    assert not rate.passed(True)


def test_the_names_of_errors_are_openais():
    import openai

    from harness.targets.problems import STATUSES

    for problem in (*PROBLEMS.values(), *STATUSES.values(), problem_of(500), problem_of(418)):
        assert issubclass(getattr(openai, problem.name), openai.OpenAIError)
