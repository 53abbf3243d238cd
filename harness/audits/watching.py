"""What a history of audits adds up to.

A pure function from observations to events, so that it can be played again.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from harness.audits.claim import Claim
from harness.audits.config import Audit
from harness.audits.drift import odds_between
from harness.audits.seen import Entry, Seen
from harness.audits.states import Audited, Found, State, share

#: A switch back and forth is told as what it is from this return to a known state on.
RETURNS: Final = 2
#: Audits in a row in one of several states after which it is taken to stay there, and how many
#: times longer than ever before that is.
STAYS: Final = 30
LONGER: Final = 2

Kind = Literal["change", "states", "settled", "silence", "recovered"]


class Event(msgspec.Struct):
    """Something to tell; ``since`` is the audit at which it is likeliest to have begun."""

    event: str
    audit: str
    kind: Kind
    target: str | None
    due: str
    since: str
    run: str
    changes: list[str] = []
    p_value: float | None = None

    @property
    def headline(self) -> str:
        subject = f"{self.audit}: {self.target}" if self.target else self.audit
        if self.kind == "silence":
            return f"{subject} could not be audited at {self.due}"
        if self.kind == "recovered":
            return f"{subject} can be audited again since {self.due}"
        if self.kind == "states":
            return f"{subject} goes back and forth between states since {self.since}"
        if self.kind == "settled":
            return f"{subject} stays in one of its states since {self.since}"
        return f"{subject} has changed since {self.since}"


def judge(
    audit: Audit, history: Sequence[Entry], baseline: dict[str, Seen] | None = None
) -> list[Event]:
    """The events of a history, in order; the same history gives the same events.

    ``baseline`` is what a named run saw.
    """
    judged = _Judge(audit, baseline or {})
    return [event for entry in history for event in judged.of(entry)]


class _Judge:
    """Goes through the history of an audit."""

    def __init__(self, audit: Audit, baseline: dict[str, Seen]) -> None:
        self.audit, self.baseline = audit, baseline
        self.targets: dict[str, _Target] = {}
        self.claims: dict[str, Claim] = {}
        self.silent = False

    def of(self, entry: Entry) -> Iterator[Event]:
        """The events of the next audit."""
        was_silent, self.silent = self.silent, not entry.seen
        if self.silent != was_silent and "silence" in self.audit.alarm.watch:
            if self.silent:
                reason = entry.reason or "no reply could be scored"
                yield _event(self.audit, entry, "silence", "silence", changes=[reason])
            else:
                yield _event(self.audit, entry, "recovered", "recovered")
        for target, seen in sorted(entry.seen.items()):
            if seen.scored:
                yield from self._of_target(entry, target, seen)

    def _of_target(self, entry: Entry, target: str, seen: Seen) -> Iterator[Event]:
        if self.audit.baseline == "claim" and seen.presented:
            yield from self._of_claim(entry, target, seen)
        if target not in self.targets:
            known = self.baseline.get(target)
            first = ("", known) if known is not None else (entry.due, seen)
            self.targets[target] = _Target(self.audit, target, State([first]))
            if known is None:
                return
        yield from self.targets[target].of(entry, seen)

    def _of_claim(self, entry: Entry, target: str, seen: Seen) -> Iterator[Event]:
        """Whether the presented name is given less often than the claim says; told once."""
        claim = self.claims.setdefault(target, Claim(self.audit.alarm.claimed_rate))
        claim.add(seen)
        if not claim.broken and claim.p_value < _level(self.audit):
            claim.broken = True
            said = (
                f"it is presented as {seen.presented}, and gives that name in "
                f"{share(claim.hits, claim.samples)}, less than {100 * claim.rate:g} %"
            )
            name, p = f"{target}/claim", claim.p_value
            yield _event(
                self.audit, entry, "change", name, target=target, changes=[said], p_value=p
            )


class _Target:
    """What one target was so far: the states that it showed, and the one that it is in."""

    def __init__(self, audit: Audit, name: str, first: State) -> None:
        self.audit, self.name = audit, name
        self.alpha, self.watch = _level(audit), audit.alarm.watch
        self.odds = odds_between(*audit.alarm.wander) if audit.alarm.wander else 1.0
        self.states, self.at = [first], 0
        #: How often it went back to a known state, and since when it went anywhere.
        self.returns, self.left = 0, ""
        #: Audits in a row in one state, the last stay last.
        self.stays = [len(first.audits)]

    def of(self, entry: Entry, seen: Seen) -> Iterator[Event]:
        """The events of one more audit."""
        place = self._likeliest(seen)
        state = self.states[place]
        state.add((entry.due, seen))
        drifted = state.drifted(self.alpha, self.odds) if "rates" in self.watch else []
        loud, quiet = state.facts(seen, self.watch)
        if drifted or loud:
            words = [*(found.said for found in drifted), *loud, *quiet]
            yield from self._moves(entry, place, drifted, words)
        else:
            self._stays_in(place, 1)
            if self._alternates and self.stays[-1] > max(STAYS, LONGER * max(self.stays[1:-1])):
                yield self._settles(entry)

    @property
    def _alternates(self) -> bool:
        """Whether it is known to go back and forth, so that this is told no more."""
        return self.returns >= RETURNS

    def _moves(
        self, entry: Entry, place: int, drifted: list[Found], words: list[str]
    ) -> Iterator[Event]:
        """What is told of a change: a new state, the return to a known one, or neither."""
        state = self.states[place]
        at = drifted[0].since if drifted else len(state.later) - 1
        piece, self.states[place] = state.later[at:], state.without(at)
        since, p = (piece[0][0], drifted[0].p_value) if drifted else (entry.due, None)
        self.left = self.left or piece[0][0]
        self.stays[-1] = max(0, self.stays[-1] - len(piece) + 1)
        others = (
            i for i, other in enumerate(self.states) if i != place and self._fits(other, piece)
        )
        known = next(others, None)
        if known is None:
            self.states.append(State(piece))
        else:
            self.returns += 1
            words = [*words, f"it is again {_when(self.states[known])}"]
            for one in piece:
                self.states[known].add(one)
        self._stays_in(len(self.states) - 1 if known is None else known, len(piece))
        if known is None or self.returns < RETURNS:
            yield self._event(entry, "change", since, words, p)
        elif self.returns == RETURNS:
            yield self._event(entry, "states", self.left, self._shares())

    def _event(
        self, entry: Entry, kind: Kind, since: str, changes: list[str], p: float | None = None
    ) -> Event:
        return _event(
            *(self.audit, entry, kind, self.name),
            target=self.name,
            since=since,
            changes=changes,
            p_value=p,
        )

    def _stays_in(self, place: int, audits: int) -> None:
        """Note which state the last audits showed."""
        if place != self.at:
            self.at = place
            self.stays.append(0)
        self.stays[-1] += audits

    def _likeliest(self, seen: Seen) -> int:
        """The state that an audit is compared with: this one, or of several the most alike."""
        if not self._alternates:
            return self.at
        alike = [
            (state.likeness([("", seen)], self.odds), place == self.at, place)
            for place, state in enumerate(self.states)
            if not state.facts(seen, self.watch)[0]
        ]
        return max(alike, default=(0.0, True, self.at))[2]

    def _fits(self, state: State, piece: list[Audited]) -> bool:
        """Whether some audits look like a state."""
        if any(state.facts(seen, self.watch)[0] for _, seen in piece):
            return False
        return "rates" not in self.watch or state.likeness(piece, self.odds) >= self.alpha

    def _shares(self) -> list[str]:
        """What it goes between, and how often it is in each."""
        whole = sum(len(state.audits) for state in self.states)
        said = [
            f"{_when(state)}: {share(len(state.audits), whole)} of the audits; {state.shares()}"
            for state in self.states
        ]
        return [
            *said,
            "from now on a switch among these is not told, and what is none of them is a change",
        ]

    def _settles(self, entry: Entry) -> Event:
        """It stays longer in one state than ever before: a switch is a change again."""
        state, stay = self.states[self.at], self.stays[-1]
        since = state.later[-stay][0] if stay <= len(state.later) else entry.due
        said = [f"{stay} audits in a row: {state.shares()}", "a switch is a change again"]
        self.states, self.at, self.stays, self.returns, self.left = [state], 0, [stay], 0, ""
        return self._event(entry, "settled", since, said)


def _when(state: State) -> str:
    """A state by the times at which it was seen."""
    if not state.audits:
        return "as in the baseline"
    return f"as it was first at {state.audits[0][0]}, last at {state.audits[-1][0]}"


def _level(audit: Audit) -> float:
    """The level of each test: where a claim is tested too, both share alpha."""
    return audit.alarm.alpha / 2 if audit.baseline == "claim" else audit.alarm.alpha


def _event(
    audit: Audit,
    entry: Entry,
    kind: Kind,
    name: str,
    *,
    target: str | None = None,
    since: str | None = None,
    changes: Sequence[str] = (),
    p_value: float | None = None,
) -> Event:
    """An event of an audit; its ``name`` is the last part of what it is known by."""
    return Event(
        event=f"{audit.audit}/{entry.due}/{name}",
        audit=audit.audit,
        kind=kind,
        target=target,
        due=entry.due,
        since=entry.due if since is None else since,
        run=entry.run,
        changes=list(changes),
        p_value=p_value,
    )


def instant(text: str) -> datetime.datetime:
    """The time that a stored instant says."""
    return datetime.datetime.fromisoformat(text)
