"""Exact overlap a second, after normalisation, as ratios to peers in the same run.

The longest run, and runs of 8 words or more: 20,000 replies of 120 words against 50 references of
300 words; one reply in ten holds a stretch of a reference. Every peer is given the same split
words. Checked against brute force on a sample in the same run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from harness.scoring.overlap import MIN_RUN, Null, Reference, References

REPLIES = 20_000
rng = random.Random(1)
vocabulary = [f"w{n}" for n in range(8000)]
weights = [1 / (n + 10) for n in range(8000)]
references = [rng.choices(vocabulary, weights, k=300) for _ in range(50)]
replies = []
for number in range(REPLIES):
    reply = rng.choices(vocabulary, weights, k=120)
    if number % 10 == 0:
        source, start = rng.choice(references), rng.randrange(250)
        reply[30:30] = source[start : start + rng.randrange(5, 40)]
    replies.append(reply[:120])
texts = [" ".join(r) for r in replies]


def rate(work: Callable[[], object], of: int, runs: int = 3) -> float:
    """Best of some runs, replies a second."""
    best = 0.0
    for _ in range(runs):
        began = time.perf_counter()
        work()
        best = max(best, of / (time.perf_counter() - began))
    return best


def brute_force(reply: Sequence[str], reference: Sequence[str]) -> int:
    best, before = 0, [0] * (len(reference) + 1)
    for word in reply:
        now = [0] + [before[at] + 1 if other == word else 0 for at, other in enumerate(reference)]
        best, before = max(best, *now), now
    return best


index = References(
    [Reference("x", str(n), " ".join(r)) for n, r in enumerate(references)], Null.of([])
)


def ours() -> None:
    for start in range(0, REPLIES, 1000):
        index.figures(replies[start : start + 1000])


def plain_python(reply: list[str]) -> list[bool]:
    """At which words a run of a reference begins, by a set of the runs."""
    return [tuple(reply[at : at + MIN_RUN]) in grams for at in range(len(reply) - MIN_RUN + 1)]


def difflib_longest(reply: list[str]) -> int:
    """The longest run in any reference, by difflib."""
    matchers = (SequenceMatcher(None, reply, reference, False) for reference in references)
    return max(matcher.find_longest_match().size for matcher in matchers)


grams = {tuple(r[at : at + MIN_RUN]) for r in references for at in range(len(r) - MIN_RUN + 1)}
found = [longest for longest, _ in index.figures(replies[:60])]
assert found == [max(brute_force(reply, r) for r in references) for reply in replies[:60]], (
    "the longest runs are not exact"
)
fast = rate(ours, REPLIES)
split = rate(lambda: [t.split() for t in texts], REPLIES)
sets = rate(lambda: [plain_python(reply) for reply in replies], REPLIES)
slow = rate(lambda: [difflib_longest(reply) for reply in replies[:20]], 20, 1)
print(f"longest run and places of runs of {MIN_RUN} and more, exact: {fast:,.0f} replies/s")
print(f"  only splitting the texts into words {split:,.0f}/s: ratio {fast / split:.2f}")
print(
    f"  a set of {MIN_RUN}-grams in plain Python (runs of {MIN_RUN} only) {sets:,.0f}/s: "
    f"ratio {fast / sets:.2f}"
)
print(f"  difflib {slow:,.1f}/s: ratio {fast / slow:,.0f}")
whole = rate(lambda: list(index.stream(texts)), REPLIES, 1)
print(
    f"everything (normalising, places in the text, near runs, chance): {whole:,.0f} replies/s, "
    f"ratio to splitting {whole / split:.2f}"
)
