"""One state of a target as one witness shows it: what it is compared with, and whether it still is.

A witness counts hits among samples of each question (`seen.py`): replies with a name, refusals,
long replies, slow ones. What its part of the level is shared among is said here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from harness.audits.drift import NONE, Change, Series
from harness.audits.seen import LENGTHS, SLOWER, TICK_S, ArmSeen, Asked, Seen

Counted = Literal["rates", "refusals", "lengths", "latency"]
#: How witnesses that are tests share a target's alpha; what is not watched leaves its share.
SHARES: Final[dict[Counted, float]] = {
    "rates": 0.5,
    "refusals": 0.2,
    "lengths": 0.2,
    "latency": 0.1,
}
#: A baseline's names from this share on are watched one by one; the others together.
MAIN: Final = 0.1
#: Of the rates' level: the presented name's part, that of all other names together, and among how
#: many main names the rest is shared, at least: which these are is read off the baseline.
PRESENTED, ANOTHER, FAMILY = 0.4, 0.3, 10
#: What the arms of the beginning share; those that come later share the rest, each less.
AT_FIRST: Final = 0.5
_ANOTHER: Final = "another"

#: The time at which an audit was due, and what it saw.
Audited = tuple[str, Seen]


class Found(NamedTuple):
    """Evidence that something changed: adjusted over all that is watched, and in words."""

    p_value: float
    since: int
    said: str


class State:
    """A target between two changes: its baseline, and the audits since that looked like it."""

    def __init__(
        self, witness: Counted, baseline: Sequence[Audited], later: Sequence[Audited] = ()
    ) -> None:
        self.witness = witness
        self.baseline, self.later = list(baseline), list[Audited]()
        seen = [one for _, one in self.baseline]
        arms = sorted({arm for one in seen for arm in one.arms})
        self.watched = {
            arm: _Watched(witness, seen, arm, AT_FIRST / max(1, len(arms))) for arm in arms
        }
        self._at_first = len(arms)
        for audited in later:
            self.add(audited)

    @property
    def audits(self) -> list[Audited]:
        """All of its audits that were made."""
        return [*(one for one in self.baseline if one[0]), *self.later]

    def add(self, audited: Audited) -> None:
        """One more audit that is taken to look like this; an arm that is new begins with it."""
        self.later.append(audited)
        for arm, watched in self.watched.items():
            watched.add([audited[1].arms.get(arm, ArmSeen())])
        for arm in sorted(audited[1].arms):
            if arm not in self.watched:
                number = len(self.watched) - self._at_first + 1
                weight = (1 - AT_FIRST) / (number * (number + 1))
                late = len(self.later)
                self.watched[arm] = _Watched(self.witness, [audited[1]], arm, weight, late)

    def without(self, since: int) -> State:
        """This state as it was before the later audits from some place on."""
        return State(self.witness, self.baseline, self.later[:since])

    def drifted(self, alpha: float, odds: float) -> list[Found]:
        """What changed, the surest first; ``alpha`` is the target's, over all witnesses."""
        changes = [found for watched in self.watched.values() for found in watched.changes(odds)]
        share = SHARES[self.witness]
        made = (found._replace(p_value=min(1.0, found.p_value / share)) for found in changes)
        return sorted(found for found in made if found.p_value < alpha)

    def likeness(self, piece: Sequence[Audited], odds: float) -> float:
        """The p-value of some audits against all that this state showed, over all witnesses."""
        found = [
            p
            for arm, watched in self.watched.items()
            for p in watched.beside([one.arms.get(arm, ArmSeen()) for _, one in piece], odds)
        ]
        return min(1.0, min(found, default=1.0) / SHARES[self.witness])

    def shares(self, most: int = 4) -> str:
        """What this state looks like."""
        said = [words for watched in self.watched.values() for words in watched.shares()]
        return "; ".join(said[:most]) or "nothing that could be counted"


class _Watched:
    """What is watched of one arm, each as a series by question, and its part of the level."""

    def __init__(
        self, witness: Counted, baseline: Sequence[Seen], arm: str, weight: float, late: int = 0
    ) -> None:
        self.witness, self.arm, self.weight, self.late = witness, arm, weight, late
        arms = [seen.arms.get(arm, ArmSeen()) for seen in baseline]
        #: Audits of before they were counted by question are compared as a whole.
        self.pooled = any(one.replies and not one.questions for one in arms)
        self.presented = {seen.presented for seen in baseline if seen.presented}
        self.names = _main(arms, self.presented) if witness == "rates" else []
        self.weights = dict(self._weights())
        self.series = {what: Series() for what in self.weights}
        self.add(arms)

    def _weights(self) -> Iterator[tuple[str, float]]:
        """What is counted, and each one's part of this arm's level."""
        if self.witness == "refusals":
            yield "refuses", 1.0
        elif self.witness == "lengths":
            yield from ((str(k), 1 / len(LENGTHS[::2])) for k in LENGTHS[::2])
        elif self.witness == "latency":
            yield from ((str(k), 1 / (len(SLOWER) - 1)) for k in SLOWER)
        else:
            own = PRESENTED if self.presented else 0.0
            rest = 1 - own - ANOTHER
            for name in self.names:
                if name in self.presented:
                    yield name, own / len(self.presented)
                else:
                    yield name, rest / max(FAMILY, len(self.names))
            yield _ANOTHER, ANOTHER

    def add(self, audits: Sequence[ArmSeen]) -> None:
        """An audit, or some that count as one."""
        asked = [one for seen in audits for one in self._by_question(seen)]
        for what, series in self.series.items():
            series.add(self._counts(asked, what))

    def _by_question(self, seen: ArmSeen) -> list[tuple[str, Asked]]:
        return [("", seen.whole())] if self.pooled else list(seen.questions.items())

    def _counts(self, asked: Sequence[tuple[str, Asked]], what: str) -> dict[str, tuple[int, int]]:
        counts: dict[str, tuple[int, int]] = {}
        for question, one in asked:
            samples = self._samples(one)
            if samples:
                hits, before = counts.get(question, (0, 0))
                counts[question] = hits + self._hits(one, what), before + samples
        return counts

    def _samples(self, one: Asked) -> int:
        if self.witness == "lengths":
            return one.replies
        return one.timed if self.witness == "latency" else one.samples

    def _hits(self, one: Asked, what: str) -> int:
        if self.witness == "lengths":
            return one.longer.get(what, 0)
        if self.witness == "latency":
            return one.slower.get(what, 0)
        if self.witness == "refusals":
            return one.refuses
        if what == _ANOTHER:
            others = sum(n for name, n in one.names.items() if name not in self.names)
            return min(one.samples, others)
        return one.names.get(what, 0)

    def _pairs(self, odds: float) -> Iterator[tuple[str, Series, Series | None, float]]:
        """What is counted, with its series, that of the audits since, and the band's width."""
        for what, series in self.series.items():
            if self.witness != "latency":
                yield what, series, None, odds
            elif (twice := self.series.get(str(int(what) + 1))) is not None:
                yield what, series, twice, 1.0

    def changes(self, odds: float) -> Iterator[Found]:
        """The evidence of a change in each thing that is watched."""
        for what, series, late, band in self._pairs(odds):
            change = series.change(band, late)
            if change is not NONE:
                p = change.p_value / (self.weights[what] * self.weight)
                yield Found(p, change.since + self.late, self._said(what, series, late, change))

    def beside(self, audits: Sequence[ArmSeen], odds: float) -> Iterator[float]:
        """The p-value of some audits against all before, for each thing that is watched."""
        asked = [one for seen in audits for one in self._by_question(seen)]
        for what, series, late, band in self._pairs(odds):
            now = what if late is None else str(int(what) + 1)
            p = series.beside(self._counts(asked, now), band, one_sided=late is not None)
            yield p / (self.weights[what] * self.weight)

    def _said(self, what: str, series: Series, late: Series | None, change: Change) -> str:
        shares = _said(series, late or series, change.since)
        now = None if late is None else str(int(what) + 1)
        return f"under {self.arm}, {self._subject(what, now)}: {shares}"

    def _subject(self, what: str, now: str | None = None) -> str:
        """What is counted, in words."""
        if self.witness == "lengths":
            return f"replies longer than {2 ** int(what)} characters"
        if self.witness == "latency":
            then = f"replies that take longer than {TICK_S * 2 ** int(what):g} s before"
            return f"{then}, and {TICK_S * 2 ** int(now):g} s since" if now else then
        if self.witness == "refusals":
            return "refusals"
        named = f"replies that give the name {what}"
        return "replies that give another name" if what == _ANOTHER else named

    def shares(self) -> Iterator[str]:
        """All that was counted so far, in words; of lengths and times the nearest to the middle."""
        counted = []
        for what, series in self.series.items():
            whole = series.until(series.later + 1)
            counted.append((what, int(whole.hits.sum()), int(whole.samples.sum())))
        if self.witness in ("lengths", "latency"):
            counted = sorted(counted, key=lambda one: abs(2 * one[1] - one[2]))[:1]
        for what, hits, samples in counted:
            if what in self.names:
                yield f"under {self.arm} {what} {share(hits, samples)}"
            elif what != _ANOTHER:
                yield f"under {self.arm} {self._subject(what)} {share(hits, samples)}"


def _main(arms: Sequence[ArmSeen], presented: set[str]) -> list[str]:
    """The names that are watched one by one."""
    counts: Counter[str] = Counter()
    for found in arms:
        counts.update(found.names)
    samples = sum(found.samples for found in arms)
    return sorted(presented | {name for name, n in counts.items() if n >= MAIN * max(1, samples)})


def _said(series: Series, late: Series, since: int) -> str:
    """A change in words, of the questions that both sides have."""
    before, until = series.until(since + 1), late.until(since + 1)
    whole = late.until(late.later + 1)
    hits, samples = whole.hits - until.hits, whole.samples - until.samples
    both = (before.samples > 0) & (samples > 0)
    then = share(int(before.hits[both].sum()), int(before.samples[both].sum()))
    return f"{then} before, {share(int(hits[both].sum()), int(samples[both].sum()))} since"


def share(hits: int, samples: int) -> str:
    """A count and its share in words."""
    said = f"{hits} of {samples}"
    return f"{said} ({100 * hits / samples:.1f} %)" if samples else said
