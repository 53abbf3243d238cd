"""What the page shows of single samples, gathered while they stream by.

A bounded, even draw; the best recitals; a prompt for each arm; and why samples failed.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from typing import Any, Final, NamedTuple

from harness.counting import Scored, denies

#: Transcripts that the page holds at most; counts are always of all samples.
TRANSCRIPTS: Final = 3000
#: Different failures that are counted; what fails in yet another way is left out.
FAILURES: Final = 1000


class Kept(NamedTuple):
    """A sample for the page, and its place in a draw that the seed of no one decides.

    That place is the hash of its key.
    """

    order: int
    number: int
    scored: Scored


class Keeper:
    """Is shown every sample, and keeps what the page has room for."""

    def __init__(self, groups: int) -> None:
        self.each = max(1, TRANSCRIPTS // max(1, groups))
        self.drawn: dict[tuple[str, str, str], list[Kept]] = {}
        self.recitals: dict[tuple[str, str, str], tuple[float, int, Scored]] = {}
        self.prompts: dict[tuple[str, str], dict[str, Any]] = {}
        self.failures: Counter[tuple[str, str, str, str]] = Counter()
        self.seen = 0
        self._numbers = itertools.count()

    def __call__(self, scored: Scored) -> None:
        self.seen += 1
        number = next(self._numbers)
        self.prompts.setdefault((scored.row["target"], scored.row["arm"]), scored.row)
        self._note_failure(scored.row)
        self._draw(scored, number)
        self._note_recital(scored, number)

    def _note_failure(self, row: dict[str, Any]) -> None:
        failure = row["target"], row["arm"], row["status"], row["error"]
        if row["error"] and (len(self.failures) < FAILURES or failure in self.failures):
            self.failures[failure] += 1

    def _draw(self, scored: Scored, number: int) -> None:
        """Keep the samples of each group whose keys have the smallest hashes."""
        row = scored.row
        key = f"{row['trial']}/{row['sample']}".encode()
        order = int.from_bytes(hashlib.blake2b(key, digest_size=6).digest(), "big")
        kept = self.drawn.setdefault((row["target"], row["arm"], row["probe"]), [])
        if len(kept) < self.each:
            heapq.heappush(kept, Kept(-order, number, scored))
        elif -order > kept[0].order:
            heapq.heapreplace(kept, Kept(-order, number, scored))

    def _note_recital(self, scored: Scored, number: int) -> None:
        """Keep the recital that has the largest share of its reference."""
        found = scored.overlap
        if found and found.identity and found.runs and not denies(scored.verdict, found):
            place = scored.row["target"], scored.row["arm"], found.identity
            if place not in self.recitals or found.reference_share > self.recitals[place][0]:
                self.recitals[place] = found.reference_share, number, scored
