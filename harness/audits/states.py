"""One state of a target: what it is compared with, and whether it still is what it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from harness.audits import drift
from harness.audits.drift import Change, Series
from harness.audits.seen import FACTS, LENGTHS, ArmSeen, Asked, Seen
from harness.stats import holm

#: A baseline's names from this share on are watched one by one; the others together.
MAIN: Final = 0.1
#: Hypotheses that a target's level is shared among, at least: which names are watched is read off
#: the baseline.
FAMILY: Final = 20
#: Prompts that have to be shifted by as many tokens, at least, of at least so many.
SHIFTED, PROMPTS = 0.9, 3
_SUBJECTS: Final = {"another": "replies that give another name", "refuses": "refusals"}
_LONGER: Final = "longer:"

#: The time at which an audit was due, and what it saw.
Audited = tuple[str, Seen]


class Found(NamedTuple):
    """Evidence that something changed: adjusted over all that is watched, and in words."""

    p_value: float
    since: int
    said: str


class State:
    """A target between two changes: its baseline, and the audits since that looked like it."""

    def __init__(self, baseline: Sequence[Audited], later: Sequence[Audited] = ()) -> None:
        self.baseline, self.later = list(baseline), list[Audited]()
        seen = [one for _, one in self.baseline]
        arms = sorted({arm for one in seen for arm in one.arms})
        self.watched = {arm: _Watched(seen, arm) for arm in arms}
        for audited in later:
            self.add(audited)

    @property
    def audits(self) -> list[Audited]:
        """All of its audits that were made."""
        return [*(one for one in self.baseline if one[0]), *self.later]

    def add(self, audited: Audited) -> None:
        """One more audit that is taken to look like this."""
        self.later.append(audited)
        for arm, watched in self.watched.items():
            watched.add([audited[1].arms.get(arm, ArmSeen())])

    def without(self, since: int) -> State:
        """This state as it was before the later audits from some place on."""
        return State(self.baseline, self.later[:since])

    def drifted(self, alpha: float, odds: float) -> list[Found]:
        """The rates that changed, the surest first."""
        changes = [found for watched in self.watched.values() for found in watched.changes(odds)]
        p = _adjusted([found.p_value for found in changes])
        made = [found._replace(p_value=q) for found, q in zip(changes, p, strict=True)]
        return sorted(found for found in made if found.p_value < alpha)

    def likeness(self, piece: Sequence[Audited], odds: float) -> float:
        """The p-value of some audits' rates against all that this state showed, over the family."""
        found = [
            p
            for arm, watched in self.watched.items()
            for p in watched.beside([one.arms.get(arm, ArmSeen()) for _, one in piece], odds)
        ]
        return min(_adjusted(found), default=1.0)

    def facts(self, now: Seen, on: Sequence[str]) -> tuple[list[str], list[str]]:
        """What an observation says, beside replies, that the baseline does not.

        What alarms, and what is only told: of model, template, ... and prompt tokens.
        """
        told = [(fact, self._fresh(fact, now)) for fact in FACTS]
        told += [("prompt_tokens", self._shifted(arm, found)) for arm, found in now.arms.items()]
        loud = [words for fact, words in told if words and fact in on]
        return loud, [words for fact, words in told if words and fact not in on]

    def _fresh(self, fact: str, now: Seen) -> str | None:
        before = {value for _, seen in self.baseline for value in seen.facts.get(fact, [])}
        fresh = [value for value in now.facts.get(fact, []) if value not in before]
        if not before or not fresh:
            return None
        return f"{fact}: {', '.join(sorted(before)[:3])} before, {', '.join(fresh[:3])} now"

    def _shifted(self, arm: str, now: ArmSeen) -> str | None:
        """Whether most prompts of an arm are longer, or shorter, by the same number of tokens."""
        before: dict[str, int] = {}
        for _, seen in self.baseline:
            before |= seen.arms.get(arm, ArmSeen()).prompt_tokens
        shifts = Counter(
            tokens - before[asked] for asked, tokens in now.prompt_tokens.items() if asked in before
        )
        if shifts.total() < PROMPTS:
            return None
        shift, questions = shifts.most_common(1)[0]
        if not shift or questions < SHIFTED * shifts.total():
            return None
        return (
            f"under {arm}, prompts have {shift:+d} tokens: "
            "text stands before the question that did not before, or no longer does"
        )

    def shares(self, most: int = 4) -> str:
        """What this state looks like: its names' shares, and what is known beside replies."""
        seen = [one for _, one in (*self.baseline, *self.later)]
        said = []
        for arm, watched in self.watched.items():
            arms = [one.arms[arm] for one in seen if arm in one.arms]
            samples = sum(one.samples for one in arms)
            for name in watched.names:
                hits = sum(one.names.get(name, 0) for one in arms)
                said.append(f"under {arm} {name} {share(hits, samples)}")
        facts = {
            fact: sorted({v for one in seen for v in one.facts.get(fact, [])}) for fact in FACTS
        }
        said = [*said[:most], *(f"{fact} {', '.join(v[:3])}" for fact, v in facts.items() if v)]
        return "; ".join(said) or "no replies to questions for the name"


class _Watched:
    """What is watched of one arm, each as a series by question."""

    def __init__(self, baseline: Sequence[Seen], arm: str) -> None:
        self.arm = arm
        arms = [seen.arms.get(arm, ArmSeen()) for seen in baseline]
        #: Audits of before they were counted by question are compared as a whole.
        self.pooled = any(one.replies and not one.questions for one in arms)
        presented = {seen.presented for seen in baseline if seen.presented}
        self.names = _main(arms, presented)
        lengths = [f"{_LONGER}{k}" for k in LENGTHS]
        kinds = [*self.names, "another", "refuses", *lengths]
        self.series = {what: Series() for what in kinds}
        self.add(arms)

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
            samples = one.replies if what.startswith(_LONGER) else one.samples
            if samples:
                hits, before = counts.get(question, (0, 0))
                counts[question] = hits + self._hits(one, what), before + samples
        return counts

    def _hits(self, one: Asked, what: str) -> int:
        if what.startswith(_LONGER):
            return one.longer.get(what.removeprefix(_LONGER), 0)
        if what == "refuses":
            return one.refuses
        if what == "another":
            others = sum(n for name, n in one.names.items() if name not in self.names)
            return min(one.samples, others)
        return one.names.get(what, 0)

    def changes(self, odds: float) -> Iterator[Found]:
        """The evidence of a change in each thing that is watched; lengths count as one."""
        for what in (*self.names, "another", "refuses"):
            subject = _SUBJECTS.get(what, f"replies that give the name {what}")
            yield self._found(self.series[what].change(odds), what, subject)
        lengths = {k: self.series[f"{_LONGER}{k}"].change(odds) for k in LENGTHS}
        best = min(lengths, key=lambda k: lengths[k].p_value)
        subject = f"replies longer than {2**best} characters"
        yield self._found(drift.over(lengths.values()), f"{_LONGER}{best}", subject)

    def _found(self, change: Change, what: str, subject: str) -> Found:
        told = change.p_value < 1  # words take longer than the test
        shares = _said(self.series[what], change.since) if told else "no change"
        said = f"under {self.arm}, {subject}: {shares}"
        return Found(change.p_value, change.since, said)

    def beside(self, audits: Sequence[ArmSeen], odds: float) -> Iterator[float]:
        """The p-value of some audits against all before, for each thing that is watched."""
        asked = [one for seen in audits for one in self._by_question(seen)]
        p = {
            what: series.beside(self._counts(asked, what), odds)
            for what, series in self.series.items()
        }
        lengths = [p.pop(f"{_LONGER}{k}") for k in LENGTHS]
        yield from (*p.values(), min(1.0, min(lengths) * len(lengths)))


def _main(arms: Sequence[ArmSeen], presented: set[str]) -> list[str]:
    """The names that are watched one by one."""
    counts: Counter[str] = Counter()
    for found in arms:
        counts.update(found.names)
    samples = sum(found.samples for found in arms)
    return sorted(presented | {name for name, n in counts.items() if n >= MAIN * max(1, samples)})


def _adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted over all that is watched; what is not watched counts too."""
    others = [1.0] * max(0, FAMILY - len(p_values))
    return holm([*p_values, *others])[: len(p_values)]


def _said(series: Series, since: int) -> str:
    """A change in words, of the questions that both sides have."""
    base, before, whole = series.until(1), series.until(since + 1), series.until(series.later + 1)
    hits, samples = whole.hits - before.hits, whole.samples - before.samples
    both = (base.samples > 0) & (samples > 0)
    then = share(int(base.hits[both].sum()), int(base.samples[both].sum()))
    return f"{then} before, {share(int(hits[both].sum()), int(samples[both].sum()))} since"


def share(hits: int, samples: int) -> str:
    """A count and its share in words."""
    said = f"{hits} of {samples}"
    return f"{said} ({100 * hits / samples:.1f} %)" if samples else said
