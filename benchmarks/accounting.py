"""Hidden prompts by the tokens that a host bills: detections and false alarms over simulated hosts.

A host has a template (marks of an exchange and of a system turn, over the range of published ones), a tokenizer, a hidden prompt of 0 to 400 tokens that stands
always or only without a system message, and an honest or dishonest count. With the claimed tokenizer the comparison is exact; without it, by differences.
"""

from __future__ import annotations

import random
import sys

from harness.exposure.evidence import QUESTIONS, SYSTEMS, Account, Counted, account

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
rng = random.Random(20261124)


def counts(hidden: int, always: bool, exact: bool, how: str) -> list[Counted]:
    turn, system_turn, slope, bos = (
        rng.randint(4, 14),
        rng.randint(0, 8),
        rng.choice((1, 1, 1, 2)),
        rng.choice((-1, 0, 0, 1)),
    )
    found = []
    for repeat in range(2):
        for words in QUESTIONS:
            for system in SYSTEMS:
                sent = (
                    turn + slope * words + (0 if system is None else system_turn + slope * system)
                )
                true = sent + bos + (hidden if always or system is None else 0)
                cached = 0
                if how == "characters / 4":
                    said = (5 * (words + (system or 0)) + 3 * hidden) // 4 + 3
                elif how == "constant":
                    said = 100
                elif how == "zero":
                    said = 0
                elif how == "missing":
                    said = None
                elif how == "noise":
                    said = true + rng.randint(-5, 5)
                elif how == "half price":
                    said = true // 2
                elif how == "cached apart":
                    cached = true // 2 if repeat else 0
                    said = true - cached
                elif how == "cached, not told":
                    said = true - (true // 2 if repeat else 0)
                else:
                    said = true
                found.append(Counted(words, system, said, sent if exact else None, cached))
    return found


def share(found: list[Account], finding: str) -> str:
    return f"{100 * sum(a.finding == finding for a in found) / len(found):6.1f}"


print(f"{HOSTS} hosts a line, percent")
for exact in (True, False):
    print(
        f"\n{'with the claimed tokenizer' if exact else 'without it'}\n{'hidden':>10} {'stands':>10} {'hidden':>8} {'clean':>8} {'nonsense':>9} {'inside its interval':>21}"
    )
    for hidden in (0, 3, 6, 11, 22, 50, 100, 400):
        for always in (False, True) if hidden else (False,):
            found = [account(counts(hidden, always, exact, "honest")) for _ in range(HOSTS)]
            inside = sum(
                a.low is not None and a.low <= hidden <= a.high
                for a in found
                if a.finding == "hidden"
            )
            of = sum(a.finding == "hidden" for a in found)
            print(
                f"{hidden:>10} {'always' if always else 'unasked' if hidden else '':>10} {share(found, 'hidden'):>8} {share(found, 'clean'):>8} {share(found, 'nonsense'):>9} {f'{100 * inside / of:.1f}' if of else '':>21}"
            )
print(
    f"\ndishonest counts of clean hosts\n{'count':>18} {'accused':>9} {'clean':>8} {'nonsense':>9} {'not known or other':>20}   (with the tokenizer; then without)"
)
for how in (
    "characters / 4",
    "constant",
    "zero",
    "missing",
    "noise",
    "half price",
    "cached apart",
    "cached, not told",
):
    for exact in (True, False):
        found = [account(counts(0, False, exact, how)) for _ in range(HOSTS)]
        rest = 100 * sum(a.finding in ("not known", "other tokenizer") for a in found) / len(found)
        print(
            f"{how:>18} {share(found, 'hidden'):>9} {share(found, 'clean'):>8} {share(found, 'nonsense'):>9} {rest:>20.1f}"
        )
