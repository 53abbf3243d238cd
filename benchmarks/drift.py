"""False alarms and delays of an audit's drift test, by simulation.

Years without any change, looked at every hour: how many are ever alarmed, at alpha = 0.01. Then changes: a swapped model, and traffic of which a fifth is
swapped. Each audit asks 15 questions 3 times; questions differ in their rates. The baseline is the first audit, or four times as large.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import special

from harness.audits.drift import Counts, change, greatest, log_weight, marginal, places

YEARS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
HOURS = int(sys.argv[2]) if len(sys.argv) > 2 else 8_760
QUESTIONS, REPEATS, ALPHA = 15, 3, 0.01
rng = np.random.default_rng(20261124)
enough = -np.log(ALPHA)


def questions(rate: float, icc: float = 0.3) -> np.ndarray:
    return (
        np.full(QUESTIONS, rate)
        if rate in (0, 1)
        else rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, QUESTIONS)
    )


def audits(rates: np.ndarray, number: int) -> np.ndarray:
    """Hits of some audits, all questions together."""
    return rng.binomial(REPEATS, rates, (number, QUESTIONS)).sum(1)


size = QUESTIONS * REPEATS
most = size * (HOURS + 1) + 1
halves = special.gammaln(np.arange(most + 1) + 0.5)
logs = special.xlogy(np.arange(most + 1), np.arange(most + 1))


def table_marginal(h: np.ndarray, n: int) -> np.ndarray:
    """`marginal` by a table."""
    return halves[h] + halves[n - h] - special.gammaln(n + 1) - special.betaln(0.5, 0.5)


def table_greatest(h: np.ndarray, n: int) -> np.ndarray:
    """`greatest` by a table."""
    return logs[h] + logs[n - h] - logs[n]


assert np.allclose(table_marginal(np.arange(46), 45), marginal(np.arange(46), 45))
assert np.allclose(table_greatest(np.arange(46), 45), greatest(np.arange(46), 45))
print(f"{YEARS:,} years of {HOURS:,} looks without a change, alpha {ALPHA}:")
for rate in (0.02, 0.95):
    alarmed = 0
    for start in range(0, YEARS, 1000):
        many = min(1000, YEARS - start)
        each = np.array([questions(rate) for _ in range(many)])
        base = rng.binomial(REPEATS, each).sum(1)
        hits = np.zeros((HOURS + 1, many), dtype=np.int32)
        rung = np.zeros(many, dtype=bool)
        for look in range(1, HOURS + 1):
            hits[look] = hits[look - 1] + rng.binomial(REPEATS, each).sum(1)
            h = hits[look]
            terms = [
                log_weight(at)
                + table_marginal(base + hits[at], size * (1 + at))
                + table_marginal(h - hits[at], size * (look - at))
                for at in places(look)
            ]
            rung |= (
                np.logaddexp.reduce(terms, axis=0) - table_greatest(base + h, size * (look + 1))
                >= enough
            )
        alarmed += int(rung.sum())
    print(f"  mean rate {rate:>4}: {alarmed} alarmed, {100 * alarmed / YEARS:.3f} %", flush=True)

print("\nchanges after 20 quiet audits: audits until the alarm")
print(
    f"{'before':>8}{'after':>8}{'baseline':>10}{'in 1':>8}{'in 2':>8}{'in 5':>8}{'median':>8}{'99 %':>6}"
)
for before, after in ((0.95, 0.0), (0.0, 0.95), (0.95, 0.05), (0.95, "a fifth"), (0.0, 0.2)):
    for large in (1, 4):
        delays = []
        for _ in range(1000):
            old = questions(before)
            new = 0.8 * old if after == "a fifth" else questions(after)
            base = Counts(int(audits(old, large).sum()), size * large)
            later = [Counts(int(h), size) for h in audits(old, 20)]
            delay = 0
            while delay < 200:
                delay += 1
                later.append(Counts(int(audits(new, 1)[0]), size))
                if change(base, later).log_e >= enough:
                    break
            delays.append(delay)
        found = np.array(delays)
        print(
            f"{before:>8}{after:>8}{size * large:>10}"
            + "".join(f"{(found <= n).mean():>8.1%}" for n in (1, 2, 5))
            + f"{np.median(found):>8.0f}{np.percentile(found, 99):>6.0f}"
        )
print("a fifth: of the traffic is swapped for a model that never gives the name")
