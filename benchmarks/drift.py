"""False alarms and delays of an audit's drift test, by simulation.

Years without any change, looked at every hour: how many are ever alarmed, at alpha = 0.01. Then
changes: a swapped model, and traffic of which a fifth is swapped. Each audit asks 15 questions 3
times; questions differ in their rates. The baseline is the first audit, or four times as large.
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
    if rate in (0, 1):
        return np.full(QUESTIONS, rate)
    return rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, QUESTIONS)


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


def alarmed(rate: float, years: int) -> int:
    """In how many years without a change an alarm rang."""
    each = np.array([questions(rate) for _ in range(years)])
    base = rng.binomial(REPEATS, each).sum(1)
    hits = np.zeros((HOURS + 1, years), dtype=np.int32)
    rung = np.zeros(years, dtype=bool)
    for look in range(1, HOURS + 1):
        hits[look] = hits[look - 1] + rng.binomial(REPEATS, each).sum(1)
        h = hits[look]
        terms = [
            log_weight(at)
            + table_marginal(base + hits[at], size * (1 + at))
            + table_marginal(h - hits[at], size * (look - at))
            for at in places(look)
        ]
        quiet = table_greatest(base + h, size * (look + 1))
        rung |= np.logaddexp.reduce(terms, axis=0) - quiet >= enough
    return int(rung.sum())


def delay_of(before: float, after: float | str, large: int) -> int:
    """Audits from a change until the alarm, 200 at most."""
    old = questions(before)
    new = 0.8 * old if isinstance(after, str) else questions(after)
    base = Counts(int(audits(old, large).sum()), size * large)
    later = [Counts(int(h), size) for h in audits(old, 20)]
    for delay in range(1, 201):
        later.append(Counts(int(audits(new, 1)[0]), size))
        if change(base, later).log_e >= enough:
            return delay
    return 200


print(f"{YEARS:,} years of {HOURS:,} looks without a change, alpha {ALPHA}:")
for rate in (0.02, 0.95):
    rang = sum(alarmed(rate, min(1000, YEARS - start)) for start in range(0, YEARS, 1000))
    print(f"  mean rate {rate:>4}: {rang} alarmed, {100 * rang / YEARS:.3f} %", flush=True)

print("\nchanges after 20 quiet audits: audits until the alarm")
print(f"{'before':>8}{'after':>8}{'baseline':>10}{'in 1':>8}{'in 2':>8}{'in 5':>8}", end="")
print(f"{'median':>8}{'99 %':>6}")
for before, after in ((0.95, 0.0), (0.0, 0.95), (0.95, 0.05), (0.95, "a fifth"), (0.0, 0.2)):
    for large in (1, 4):
        found = np.array([delay_of(before, after, large) for _ in range(1000)])
        print(
            f"{before:>8}{after:>8}{size * large:>10}"
            + "".join(f"{(found <= n).mean():>8.1%}" for n in (1, 2, 5))
            + f"{np.median(found):>8.0f}{np.percentile(found, 99):>6.0f}"
        )
print("a fifth: of the traffic is swapped for a model that never gives the name")
