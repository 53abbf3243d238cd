"""Hidden prompts by the tokens that a host bills: detections and false alarms over simulated hosts.

A host has a template (marks of an exchange and of a system turn, over the range of published
ones), a tokenizer, a hidden prompt of 0 to 400 tokens that stands always or only without a system
message, and an honest or dishonest count. With the claimed tokenizer the comparison is exact;
without it, by differences.
"""

from __future__ import annotations

import itertools
import random
import sys

from harness.exposure import Account, Counted, account, probes

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
rng = random.Random(20261124)


DISHONEST = (
    "characters / 4",
    "constant",
    "zero",
    "missing",
    "noise",
    "a little noise",
    "up to 2",
    "up to 8",
    "up to 16",
    "up to 64",
    "half price",
    "cached apart",
    "cached, not told",
)


def told(how: str, true: int, words: int, hidden: int, again: bool) -> tuple[int | None, int]:
    """The count that a host tells, and how many tokens it says were cached."""
    cached = true // 2 if again else 0
    match how:
        case "characters / 4":
            return (5 * words + 3 * hidden) // 4 + 3, 0
        case "constant":
            return 100, 0
        case "zero":
            return 0, 0
        case "missing":
            return None, 0
        case "noise":
            return true + rng.randint(-5, 5), 0
        case "a little noise":
            return true + rng.randint(0, 3), 0
        case "up to 2" | "up to 8" | "up to 16" | "up to 64":
            step = int(how.split()[-1])
            return -(-true // step) * step, 0
        case "half price":
            return true // 2, 0
        case "cached apart":
            return true - cached, cached
        case "cached, not told":
            return true - cached, 0
    return true, 0


def counts(hidden: int, always: bool, exact: bool, how: str) -> list[Counted]:
    turn, system_turn = rng.randint(4, 14), rng.randint(0, 8)
    slope, bos = rng.choice((1, 1, 1, 2)), rng.choice((-1, 0, 0, 1))
    found, asked = [], probes(rng.getrandbits(32))
    for repeat, words, system in itertools.product(range(2), *asked):
        sent = turn + slope * words + (0 if system is None else system_turn + slope * system)
        true = sent + bos + (hidden if always or system is None else 0)
        said, cached = told(how, true, words + (system or 0), hidden, repeat > 0)
        found.append(Counted(words, system, said, sent if exact else None, cached))
    return found


def shares(found: list[Account], first: int) -> str:
    """Percent of the hosts that are found to hide something, to be clean, to count nonsense."""
    hidden, clean, nonsense = (
        f"{100 * sum(a.finding == finding for a in found) / len(found):6.1f}"
        for finding in ("hidden", "clean", "nonsense")
    )
    return f"{hidden:>{first}} {clean:>8} {nonsense:>9}"


def hidden_prompts(exact: bool) -> None:
    """How many are found, by length, and how often the interval holds the true length."""
    print(f"\n{'with the claimed tokenizer' if exact else 'without it'}")
    print(f"{'hidden':>10} {'stands':>10} {'hidden':>8} {'clean':>8} {'nonsense':>9}", end="")
    print(f" {'inside its interval':>21}")
    for hidden in (0, 3, 6, 11, 22, 50, 100, 400):
        for always in (False, True) if hidden else (False,):
            found = [account(counts(hidden, always, exact, "honest")) for _ in range(HOSTS)]
            sure = [a for a in found if a.finding == "hidden"]
            inside = sum(a.low is not None and a.low <= hidden <= a.high for a in sure)
            stands = ("always" if always else "unasked") if hidden else ""
            held = f"{100 * inside / len(sure):.1f}" if sure else ""
            print(f"{hidden:>10} {stands:>10} {shares(found, 8)} {held:>21}")


def rounded() -> None:
    """How many hidden prompts are found behind counts that are rounded, or differ a little."""
    print(f"\nhidden prompts behind such counts\n{'count':>18} {'hidden':>7} {'found':>8}", end="")
    print(f" {'clean':>8} {'nonsense':>9}   (with the tokenizer; then without)")
    for how in ("a little noise", "up to 2", "up to 8", "up to 16", "up to 64"):
        for hidden, exact in itertools.product((22, 100, 400), (True, False)):
            found = [account(counts(hidden, False, exact, how)) for _ in range(HOSTS)]
            print(f"{how:>18} {hidden:>7} {shares(found, 8)}")


def dishonest_counts() -> None:
    """Whether clean hosts are accused that count in ways of their own."""
    print(f"\ndishonest counts of clean hosts\n{'count':>18} {'accused':>9} {'clean':>8}", end="")
    print(f" {'nonsense':>9} {'not known or other':>20}   (with the tokenizer; then without)")
    for how in DISHONEST:
        for exact in (True, False):
            found = [account(counts(0, False, exact, how)) for _ in range(HOSTS)]
            rest = sum(a.finding in ("not known", "other tokenizer") for a in found)
            print(f"{how:>18} {shares(found, 9)} {100 * rest / len(found):>20.1f}")


print(f"{HOSTS} hosts a line, percent")
for exact in (True, False):
    hidden_prompts(exact)
dishonest_counts()
rounded()
