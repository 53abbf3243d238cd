"""Has a rate changed since the baseline? A test that may be looked at after every audit.

The null: each question has a rate of its own, and the odds of it stay within a band that was given
beforehand (as wide as a factor ``odds``; 1 is a rate that does not move at all). The alternative:
since some audit the questions' rates lie higher, or lower, than that.

Only replies to the same question are compared, so it does not matter which questions an audit could
score. Of one question with ``m`` replies before and ``n`` since, and ``H`` hits in all, the hits
since are hypergeometric under a rate that stays, whatever the rate is; the sum over questions
is compared with the sum of those (the exact conditional test of stratified 2 x 2 tables: Gart 1970,
Biometrika 57(3), doi:10.1093/biomet/57.3.471). For a band the hypergeometric is weighted by
``odds^hits`` (Fisher's noncentral one: Cornfield 1956, Proc. Third Berkeley Symposium 4, pp.
135-148). That is the worst case: if every rate before has odds of at least c and every rate since
of at most ``odds`` c, the hits since are stochastically no more than under these two, for sums of
independent trials keep their order of likelihood ratios (Shaked and Shanthikumar 2007, Stochastic
Orders, theorem 1.C.9). So rates may wander in the band as they like.

The last 1, 2, 4, 8 ... audits are set against all before them. Windows of ``2^i`` audits are looked
at every ``2^(i-1)`` audits (the shortest two after each), so that waiting for more evidence costs
little: the j-th look at windows of that length spends ``1 / ((i+1) (i+2) j (j+1))`` of the level;
all these shares sum to one. So the chance of ever a p-value of alpha or less is at most alpha,
however long one looks.

What it rests on: replies to a question are independent given its rate, and whether a reply is
missing does not depend on what it would have said (which questions are missing may be anything).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.stats import noncentral

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
#: Standard errors that a sum of hits lies off at least, before the exact test is made.
SCREEN: Final = 2.5
#: Probabilities of one question's hits below this share of the greatest are left out; `SURE` is
#: added for them.
RARE: Final = 1e-40
SURE: Final = 1e-30
#: Who asks since when has a p-value of less than this.
WORTH: Final = 0.5


class Counts(NamedTuple):
    """Hits among samples of some questions, in the same order."""

    hits: Ints
    samples: Ints


class Change(NamedTuple):
    """The evidence of a change."""

    #: Over all windows and all looks so far; it may be looked at any time.
    p_value: float
    #: The audit since when it is likeliest: its place among the later ones.
    since: int


NONE: Final = Change(1.0, 0)


class Series:
    """Hits among samples of each question, audit by audit; the first one is the baseline."""

    def __init__(self) -> None:
        self._columns: dict[str, int] = {}
        nothing = np.zeros(0, dtype=np.int64)
        self._totals = [Counts(nothing, nothing)]

    def add(self, audit: Mapping[str, tuple[int, int]]) -> None:
        """The hits and samples of an audit by question."""
        columns = [self._columns.setdefault(question, len(self._columns)) for question in audit]
        total = self.until(len(self._totals) - 1)
        for place, (hits, samples) in zip(columns, audit.values(), strict=True):
            total.hits[place] += hits
            total.samples[place] += samples
        self._totals.append(total)

    def until(self, audits: int) -> Counts:
        """The totals of the first audits, the baseline among them."""
        hits, samples = self._totals[audits]
        fresh = np.zeros(len(self._columns) - len(hits), dtype=np.int64)
        return Counts(np.concatenate((hits, fresh)), np.concatenate((samples, fresh)))

    @property
    def later(self) -> int:
        """Audits after the baseline."""
        return len(self._totals) - 2

    def beside(
        self, audit: Mapping[str, tuple[int, int]], odds: float = 1.0, one_sided: bool = False
    ) -> float:
        """The p-value of one more audit against all before, looked at once."""
        known = self.until(len(self._totals) - 1)
        asked = [audit.get(question, (0, 0)) for question in self._columns]
        now = np.array(asked, dtype=np.int64).reshape(-1, 2)
        return p_value(known, Counts(now[:, 0], now[:, 1]), odds, one_sided)

    def change(self, odds: float = 1.0, now: Series | None = None) -> Change:
        """The evidence, after the last audit, that rates left the band of the baseline.

        ``now`` has other counts of the same audits, and only more hits of it than of this one
        before are a change: with what lies over twice a threshold there, and over the threshold
        here, nothing that less than doubles is one.
        """
        looks = self.later
        if looks < 1:
            return NONE
        late = now or self
        whole, found = late.until(looks + 1), NONE
        here = whole if now is None else self.until(looks + 1)
        if not whole.hits.any() or np.array_equal(here.hits, here.samples):
            return NONE  # none since, or all before: nothing can have changed
        for window, cost in windows(looks):
            begun = looks - window
            before, until = self.until(begun + 1), late.until(begun + 1)
            since = Counts(whole.hits - until.hits, whole.samples - until.samples)
            p = p_value(before, since, odds, one_sided=now is not None) * cost
            if p < found.p_value:
                found = Change(p, begun)
        if found.p_value < WORTH:  # to say since when takes longer than the test
            found = found._replace(since=self._likeliest(late))
        return found

    def _likeliest(self, late: Series) -> int:
        """The audit since when a change is likeliest: where both sides lie farthest apart."""
        looks, whole = self.later, late.until(self.later + 1)
        sides = [(self.until(place + 1), late.until(place + 1)) for place in range(looks)]
        before = Counts(
            np.array([one.hits for one, _ in sides]), np.array([one.samples for one, _ in sides])
        )
        since = Counts(
            whole.hits - np.array([one.hits for _, one in sides]),
            whole.samples - np.array([one.samples for _, one in sides]),
        )
        far = _distance(before, since)
        return int(np.argmax(np.abs(far) if late is self else far))


def windows(looks: int) -> Iterator[tuple[int, int]]:
    """The windows that are looked at after so many audits, and one over what each may spend."""
    for i in range(looks.bit_length()):
        step = 2 ** max(0, i - 1)
        if looks % step == 0:
            j = looks // step - (i > 0)
            yield 2**i, (i + 1) * (i + 2) * j * (j + 1)


def _distance(before: Counts, since: Counts) -> Floats:
    """How far the hits since lie off, in variances of their sum (last axis: the questions).

    Squared; below zero where there are fewer than before.
    """
    m, n = before.samples, since.samples
    total, hits = m + n, before.hits + since.hits
    counted = (m > 0) & (n > 0)
    share = np.divide(n, total, out=np.zeros(m.shape), where=counted)
    off = (np.where(counted, since.hits, 0) - share * hits).sum(-1)
    rest = share * (1 - share) * hits * (total - hits)
    variance = (rest / np.maximum(1, total - 1)).sum(-1)
    far = np.divide(np.abs(off) * off, variance, out=np.zeros(np.shape(off)), where=variance > 0)
    return np.asarray(far, dtype=np.float64)


def p_value(before: Counts, since: Counts, odds: float = 1.0, one_sided: bool = False) -> float:
    """Whether the questions' rates since differ from those before by more than a factor of odds.

    Twice the smaller tail, 1 at most; or the chance of as many hits since, or more. Questions that
    one side lacks say nothing.
    """
    if np.abs(_distance(before, since)) <= SCREEN * SCREEN:  # the exact test could say nothing
        return 1.0
    m, n = before.samples, since.samples
    seen, hits = since.hits, before.hits + since.hits
    told = (m > 0) & (n > 0) & (hits > 0) & (hits < m + n)  # the others have one outcome only
    m, n, seen, hits = m[told], n[told], seen[told], hits[told]
    above = bool(seen.sum() > (n * hits / (m + n)).sum())
    if one_sided:
        return _tail(m, n, hits, int(seen.sum()), odds, True) if above else 1.0
    return min(1.0, 2 * _tail(m, n, hits, int(seen.sum()), odds if above else 1 / odds, above))


def _tail(m: Ints, n: Ints, hits: Ints, seen: int, odds: float, above: bool) -> float:
    """The chance of as many hits since, or more (``above``), or as few, or fewer."""
    spread, least = np.ones(1), 0
    for one_m, one_n, one_hits in zip(m.tolist(), n.tolist(), hits.tolist(), strict=True):
        low, part = _hypergeometric(one_m, one_n, one_hits, odds)
        spread, least = np.convolve(spread, part), least + low
    place = seen - least
    tail = spread[max(0, place) :] if above else spread[: max(0, place + 1)]
    return float(tail.sum()) + SURE


def _hypergeometric(m: int, n: int, hits: int, odds: float) -> tuple[int, Floats]:
    """The fewest hits that matter among the ``n`` since, and the chances from there on."""
    chances = noncentral(n, m, hits, odds)
    kept = np.flatnonzero(chances >= RARE)
    chances = chances[kept[0] : kept[-1] + 1]
    return max(0, hits - m) + int(kept[0]), chances / chances.sum()


def odds_between(low: float, high: float) -> float:
    """How wide a band of rates is, as a factor of their odds."""
    return high / (1 - high) * (1 - low) / low
