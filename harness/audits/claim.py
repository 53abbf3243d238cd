"""Whether a target gives the presented name as often as is claimed.

A sequence over all audits that may be looked at after each of them (`stats.evidence_beyond`), of
whole rounds: as many replies to each question as the one with the fewest has. So it does not matter
which questions an audit could score. Of a question's replies those with the name are taken first,
which can only make the evidence against the claim smaller.
"""

from __future__ import annotations

import math
from collections import Counter

from harness import stats
from harness.audits.seen import Seen


class Claim:
    """The replies of all audits in the arms that put no other name in."""

    def __init__(self, rate: float) -> None:
        #: The presented name is given at least this often, over the questions asked.
        self.rate = rate
        self.broken = False
        self._hits: Counter[str] = Counter()
        self._samples: Counter[str] = Counter()

    def add(self, seen: Seen) -> None:
        """One more audit; those of before they were counted by question say nothing."""
        for label, arm in seen.arms.items():
            if not label.startswith(("given:", "decoy:")):
                for question, asked in arm.questions.items():
                    if asked.samples:
                        key = f"{label}/{question}"
                        self._samples[key] += asked.samples
                        self._hits[key] += asked.names.get(str(seen.presented), 0)

    @property
    def _rounds(self) -> int:
        return min(self._samples.values(), default=0)

    @property
    def hits(self) -> int:
        """Replies with the name, in whole rounds."""
        return sum(min(hits, self._rounds) for hits in self._hits.values())

    @property
    def samples(self) -> int:
        """Replies in whole rounds."""
        return self._rounds * len(self._samples)

    @property
    def p_value(self) -> float:
        """The chance, at most, of ever as much evidence against a claim that holds."""
        log_e = stats.evidence_beyond(self.hits, self.samples, self.rate, "below")
        return min(1.0, math.exp(-min(log_e, 700.0)))
