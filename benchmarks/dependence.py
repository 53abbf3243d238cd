"""Repeats that are not independent: size and power of comparisons and of early stops.

Before: replies are permuted within questions, and arms stop whenever the evidence says so. After:
whole sides are permuted where `harness.repeats` finds dependence, or nothing where all questions
change together, and arms are decided only after some rounds, while these pass. Hosts: honest;
honest and of few words (many replies the same); caches that give a question's first reply again to
half, or to all, later requests; routers between two backends (90 and 30 % in comparisons, rates
about the threshold in stops) that change every round, at random each round, every 100 requests,
by connection (each has a backend of its own, and requests take the next connection), or that keep
a question with one backend for ever, and do or do not say which.

`python benchmarks/dependence.py [RUNS] [comparisons | stops]`; a decision is wrong where the rate
of the host as a whole is not on the side that is said; `here`: where that of the very questions,
in the rounds looked at, is not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harness.counting.counted import ByQuestion
from harness.counting.difference import Permuted, difference
from harness.repeats import FEWEST_ROUNDS, order_of
from harness.sampling.stopping import ALPHA_DEPENDENT
from harness.stats import evidence_beyond, permutation_within

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
QUESTIONS, REPEATS, ROUNDS, THRESHOLD, ALPHA = 45, 10, 40, 0.05, 0.01
#: Questions and rates of the host that stops are tried with.
ASKED = ((45, 0.0), (45, 0.04), (45, 0.06), (45, 0.3), (15, 0.03), (15, 0.08))
rng = np.random.default_rng(20261127)


class Host(NamedTuple):
    """A way to answer: how often a first reply comes again, and how backends are changed."""

    name: str
    cached: float = 0.0
    router: str = ""
    wordings: int = 10**9
    named: bool = False


HOSTS = (
    Host("honest"),
    Host("honest, 3 wordings", wordings=3),
    Host("cache, half", cached=0.5),
    Host("cache, one reply a question", cached=1.0),
    Host("router, every round", router="alternates"),
    Host("router, random by round", router="random"),
    Host("router, every 100 requests", router="clock"),
    Host("router, 8 connections", router="8 connections"),
    Host("router, 9 connections", router="9 connections"),
    Host("router, keeps a question", router="keeps"),
    Host("the same, and says so", router="keeps", named=True),
)


class Said(NamedTuple):
    """Texts, hits and what is told of backends, by question and round, when all that came, and the
    rates behind it.
    """

    texts: np.ndarray
    hits: np.ndarray
    told: np.ndarray
    times: np.ndarray
    rates: np.ndarray

    def first(self, rounds: int) -> Said:
        return Said(*(one[:, :rounds] for one in self))


def said(host: Host, rates: np.ndarray, backends: tuple[float, float], rounds: int) -> Said:
    """Replies of one side; ``rates`` are the questions' own, where there is no router."""
    shape = len(rates), rounds
    times = np.arange(len(rates) * rounds).reshape(rounds, len(rates)).T
    of = [rng.permutation(np.arange(n) % 2) for n in (8, 9)]
    which = {
        "clock": (times + int(rng.integers(0, 100))) // 100 % 2,
        "8 connections": of[0][times % 8],
        "9 connections": of[1][times % 9],
        "alternates": np.tile(np.arange(rounds) % 2, (len(rates), 1)),
        "random": np.tile(rng.integers(0, 2, rounds), (len(rates), 1)),
        "keeps": np.tile(rng.integers(0, 2, len(rates))[:, None], (1, rounds)),
    }
    rate = np.array(backends)[which[host.router]] if host.router else rates[:, None]
    told = which[host.router] if host.named else np.zeros(shape, dtype=int)
    hits = rng.random(shape) < rate
    texts = 2 * rng.integers(0, host.wordings, shape) + hits
    again = rng.random(shape) < host.cached
    again[:, 0] = False
    texts, hits = (np.where(again, one[:, :1], one) for one in (texts, hits))
    return Said(texts, hits, told, times, np.broadcast_to(rate, shape))


def side(one: Said) -> ByQuestion:
    hits = one.hits.sum(1).astype(np.intp)
    return ByQuestion(np.arange(len(hits)), hits, np.full(len(hits), one.hits.shape[1]))


def permuted(one: Said, alpha: float) -> Permuted:
    texts, hits, told, times = (some.tolist() for some in one[:4])
    order = order_of(texts, hits, times, told)
    if order.copies or order.least < alpha:
        return "nothing" if order.changes < alpha else "questions"
    return "replies"


def compared(host: Host, effect: float) -> Iterator[tuple[bool, bool, bool]]:
    """Whether repeats are counted once, and whether p < .05 before and after."""
    for _ in range(RUNS):
        rates = rng.beta(1, 1, QUESTIONS)
        other = np.clip(rates + effect, 0, 1)
        one = said(host, rates, (0.9, 0.3), REPEATS)
        two = said(host, other, (0.9, 0.3), REPEATS)
        found = min(
            permuted(one, 0.005), permuted(two, 0.005)
        )  # Holm; nothing < questions < replies
        (_, *first), (_, *second) = side(one), side(two)
        after = difference(side(one), side(two), found)
        assert after is not None
        dependent = found != "replies" or after.permuted != "replies"
        yield dependent, permutation_within(*first, *second) < 0.05, after.p_value < 0.05


def stopped(one: Said, careful: bool) -> tuple[str, int]:
    """The side that is decided for, if any, and the rounds that it took."""
    hits = np.cumsum(one.hits.sum(0))
    for looked in range(FEWEST_ROUNDS if careful else 1, ROUNDS + 1):
        if careful and permuted(one.first(looked), ALPHA_DEPENDENT) != "replies":
            return "", ROUNDS
        for decided in ("below", "above"):
            evidence = evidence_beyond(
                int(hits[looked - 1]), looked * len(one.hits), THRESHOLD, decided
            )
            if evidence >= math.log(1 / ALPHA):
                return decided, looked
    return "", ROUNDS


def stops(
    host: Host, rate: float, careful: bool, questions: int
) -> tuple[float, float, float, float]:
    """Shares decided, wrong of the host, and wrong of these questions, and mean samples."""
    decided, rounds, wrong, here = [], [], [], []
    for _ in range(RUNS):
        rates = rng.beta(rate * 2, (1 - rate) * 2, questions) if rate else np.zeros(questions)
        backends = (rate / 5, rate * 9 / 5)
        one = said(host, rates, backends, ROUNDS)
        found, took = stopped(one, careful)
        true = rate if host.router else float(rates.mean())
        decided.append(bool(found))
        wrong.append(bool(found) and (found == "below") != (true < THRESHOLD))
        asked = float(one.first(took).rates.mean())
        here.append(bool(found) and (found == "below") != (asked < THRESHOLD))
        rounds.append(took)
    shares = (float(np.mean(some)) for some in (decided, wrong, here))
    return *shares, float(np.mean(rounds)) * questions


def comparisons() -> None:
    print(f"{QUESTIONS} questions, {REPEATS} repeats; p < .05; once: repeats are counted once")
    print(
        f"{'comparison':<31}{'once':>7}{'size before':>13}{'after':>7}"
        f"{'power before':>14}{'after':>7}"
    )
    for host in HOSTS:
        same = np.mean(list(compared(host, 0.0)), axis=0)
        line = f"{host.name:<31}{same[0]:>7.1%}{same[1]:>13.1%}{same[2]:>7.1%}"
        if not host.router:
            moved = np.mean(list(compared(host, 0.15)), axis=0)
            line += f"{moved[1]:>14.1%}{moved[2]:>7.1%}"
        print(line, flush=True)


def stopping() -> None:
    print(f"stop below/above {THRESHOLD}, alpha {ALPHA}, up to {ROUNDS} rounds")
    print(
        f"{'stopping':<31}{'questions':>10}{'rate':>6}{'decided before':>16}{'wrong':>7}{'here':>7}"
        f"{'samples':>9}{'decided after':>15}{'wrong':>7}{'here':>7}{'samples':>9}"
    )
    for host in HOSTS:
        for questions, rate in ASKED:
            before, after = (stops(host, rate, careful, questions) for careful in (False, True))
            told = (
                f"{d:>{w}.1%}{e:>7.1%}{h:>7.1%}{n:>9.0f}"
                for (d, e, h, n), w in ((before, 16), (after, 15))
            )
            print(f"{host.name:<31}{questions:>10}{rate:>6}" + "".join(told), flush=True)


print(f"{RUNS} runs each")
for part in sys.argv[2:] or ("comparisons", "stops"):
    {"comparisons": comparisons, "stops": stopping}[part]()
