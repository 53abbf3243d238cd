"""A fact about a target beside its replies: the model it returns, its template, prompts' lengths.

Values that are known are pooled as states: what was seen before is told once or twice, and then as
"two states since ..."; only what was never seen is a change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from harness.audits import events
from harness.audits.config import Audit
from harness.audits.events import Event, Kind
from harness.audits.pooling import Stays
from harness.audits.seen import ArmSeen, Entry, Seen
from harness.audits.states import share

#: Prompts that have to be shifted by as many tokens, at least, of at least so many.
SHIFTED, PROMPTS = 0.9, 3
#: Values that are named in a sentence.
NAMED: Final = 4


class Fact:
    """One fact of one target (of one arm of it): its values so far, and those of its state now."""

    def __init__(
        self, audit: Audit, target: str, fact: str, baseline: Sequence[str] = (), arm: str = ""
    ) -> None:
        self.audit, self.target, self.fact, self.arm = audit, target, fact, arm
        #: The values of each state, and which of them it is in; the first one is accepted.
        self.states = [frozenset(baseline)] if baseline else []
        self.at = 0
        #: How many audits showed each value, in all of how many.
        self.counts, self.audits = Counter[str](), 0
        self.returns, self.left = 0, ""
        self.stays = Stays()
        self.open: list[str] = []

    def of(self, entry: Entry, seen: Seen) -> Iterator[Event]:
        """The events of one more audit."""
        yield from self.said(entry, frozenset(seen.facts.get(self.fact, ())))

    def said(self, entry: Entry, values: frozenset[str]) -> Iterator[Event]:
        """The events of one more audit that showed some values."""
        if not values:
            return
        self.counts.update(values)
        self.audits += 1
        if not self.states:
            self.states = [values]
        now = self.states[self.at]
        self.stays.add(self.at if len(values) > 1 else min(values))
        if values <= now:
            if values < now and self.returns and self.stays.settled:
                yield self._settles(entry, values)
            return
        self.left = self.left or entry.due
        known = next((i for i, state in enumerate(self.states) if values <= state), None)
        if known is None and not values <= frozenset().union(*self.states):
            self.states.append(values | now if values & now else values)
            self.at = len(self.states) - 1
            yield self._event(entry, "change", [self._changed(now, values - now)])
            return
        self.returns += 1
        if known is None or self.returns > 1:
            yield self._alternates(entry)
            return
        self.at = known
        kind: Kind = "returned" if known == 0 else "change"
        yield self._event(entry, kind, [self._changed(now, values)])

    def accept(self) -> None:
        """What it shows now is what it should be."""
        if self.states:
            self.states, self.at = [self.states[self.at]], 0
        self.returns, self.left, self.open = 0, "", []

    def _alternates(self, entry: Entry) -> Event:
        """All values that are known are one state from now on."""
        self.states, self.at = [frozenset().union(*self.states)], 0
        self.returns += 1
        shown = [f"{value} in {share(self.counts[value], self.audits)}" for value in self.counts]
        said = (
            f"{self._called} has {len(self.states[0])} known values: "
            f"{'; '.join(shown[:NAMED])} of the audits; none of these is told any more"
        )
        return self._event(entry, "states", [said], self.left)

    def _settles(self, entry: Entry, values: frozenset[str]) -> Event:
        """It shows one value longer than ever before: another is a change again."""
        self.states, self.at, self.returns, self.left = [values], 0, 0, ""
        self.counts, self.audits = Counter(values), 1
        said = f"{self._called}: {_named(sorted(values))} in {self.stays.now} audits in a row"
        self.stays = Stays()
        return self._event(entry, "settled", [said, "another value is a change again"])

    @property
    def _called(self) -> str:
        return f"{self.fact} under {self.arm}" if self.arm else self.fact

    def _changed(self, before: frozenset[str], now: frozenset[str]) -> str:
        """A change in words."""
        return f"{self._called}: {_named(sorted(before))} before, {_named(sorted(now))} now"

    def _event(
        self, entry: Entry, kind: Kind, changes: list[str], since: str | None = None
    ) -> Event:
        made = events.make(
            *(self.audit, entry, kind, self.fact),
            target=self.target,
            part=self.arm,
            since=since,
            changes=changes,
            closes=self.open,
        )
        self.open = [made.event] if made.opens else []
        return made


class PromptTokens(Fact):
    """Whether most prompts of an arm are longer, or shorter, by the same number of tokens.

    Its values are by how many; each question is compared with the first time it was asked.
    """

    def __init__(
        self, audit: Audit, target: str, arm: str, baseline: dict[str, int] | None = None
    ) -> None:
        super().__init__(audit, target, "prompt_tokens", [_shift(0)] if baseline else [], arm)
        self.known = dict(baseline or {})

    def of(self, entry: Entry, seen: Seen) -> Iterator[Event]:
        found = seen.arms.get(self.arm, ArmSeen()).prompt_tokens
        if not self.known:
            self.known = dict(found)
        shifts = Counter(
            tokens - self.known[asked] for asked, tokens in found.items() if asked in self.known
        )
        if shifts.total() < PROMPTS:
            return
        shift, questions = shifts.most_common(1)[0]
        if questions < SHIFTED * shifts.total():
            return
        for asked, tokens in found.items():
            self.known.setdefault(asked, tokens - shift)
        yield from self.said(entry, frozenset([_shift(shift)]))

    def _changed(self, before: frozenset[str], now: frozenset[str]) -> str:
        if now == {_shift(0)}:
            return f"under {self.arm}, prompts have {_shift(0)} again, not {_named(sorted(before))}"
        return (
            f"under {self.arm}, prompts have {_named(sorted(now))}: text stands before the "
            "question that did not before, or no longer does"
        )


def _shift(tokens: int) -> str:
    return f"{tokens:+d} tokens" if tokens else "as many tokens as at first"


def _named(values: Sequence[str]) -> str:
    more = len(values) - NAMED
    return ", ".join(values[:NAMED]) + (f" and {more} more" if more > 0 else "")
