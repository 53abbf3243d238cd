"""What a history of audits adds up to.

A pure function from observations to events, so that it can be played again. Each witness of each
target has a regime of its own: what one finds changes nothing for another. A regime begins where
the audit began to watch it (`Since`): what was before is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from harness.audits import events
from harness.audits.claim import Claim
from harness.audits.config import Audit
from harness.audits.drift import odds_between
from harness.audits.events import Event, Kind
from harness.audits.facts import Fact, PromptTokens
from harness.audits.keeping import Keeping, is_paused
from harness.audits.pooling import RETURNS, Stays
from harness.audits.reaching import Looked, Reach, arm_looked_at, looked_at
from harness.audits.seen import FACTS, Entry, Seen
from harness.audits.states import SHARES, Audited, Counted, Found, State, share

#: Numbers of audits (rows of the history) by what is watched, compared with or kept since then.
Since = Mapping[str, int]


class Accepted(NamedTuple):
    """What a target showed up to an audit is what it should be; None is every one."""

    after: int
    target: str | None
    witness: str | None


def judge(
    audit: Audit,
    history: Sequence[Entry],
    baseline: dict[str, Seen] | None = None,
    since: Since | None = None,
    accepted: Sequence[Accepted] = (),
) -> list[Event]:
    """The events of a history, in order; the same history gives the same events.

    ``baseline`` is what a named run saw.
    """
    judged = _Judge(audit, baseline or {}, since or {})
    left, found = list(accepted), list[Event]()
    for entry in history:
        while left and left[0].after < entry.number:
            judged.accept(left.pop(0))
        found += judged.of(entry)
    return found


def begun(audit: Audit) -> list[str]:
    """What an audit watches, compares with and keeps, by the words that `Since` has for it."""
    return [f"watch {witness}" for witness in audit.alarm.watch] + [
        baseline_of(audit),
        schedule_of(audit),
    ]


def baseline_of(audit: Audit) -> str:
    named = audit.baseline if isinstance(audit.baseline, str) else f"run {audit.baseline.run}"
    return f"baseline {named}"


def schedule_of(audit: Audit) -> str:
    return f"schedule {audit.schedule.cron} {audit.schedule.timezone}"[:200]


class _Judge:
    """Goes through the history of an audit."""

    def __init__(self, audit: Audit, baseline: dict[str, Seen], since: Since) -> None:
        self.audit, self.baseline, self.since = audit, baseline, since
        self.targets: dict[str, _Target] = {}
        self.keeping, self.whole = Keeping(audit), Reach(audit, None)
        self._compared = since.get(baseline_of(audit), 0)

    def of(self, entry: Entry) -> Iterator[Event]:
        """The events of the next audit."""
        scheduled = self.keeping.last is None or self.keeping.last.number >= self.since.get(
            schedule_of(self.audit), 0
        )
        yield from self.keeping.of(entry, scheduled)
        if is_paused(entry):
            return
        if not entry.seen:
            reason = entry.reason or "no reply could be scored"
            yield from self.whole.of(entry, Looked("silence", reason))
            return
        yield from self.whole.of(entry, Looked("good"))
        for name, seen in sorted(entry.seen.items()):
            if name not in self.targets:
                self.targets[name] = _Target(self.audit, name, self.baseline.get(name))
            watched = [
                witness
                for witness in self.audit.alarm.watch
                if entry.number >= max(self._compared, self.since.get(f"watch {witness}", 0))
            ]
            compared = entry.number >= self._compared
            yield from self.targets[name].of(entry, seen, watched, compared)

    def accept(self, wanted: Accepted) -> None:
        for name, target in self.targets.items():
            if wanted.target in (None, name):
                target.accept(wanted.witness)


class _Target:
    """One target, with a regime for each witness of it that is watched."""

    def __init__(self, audit: Audit, name: str, baseline: Seen | None) -> None:
        self.audit, self.name, self.baseline = audit, name, baseline
        self.reach = Reach(audit, name)
        self.arms: dict[str, Reach] = {}
        self.regimes: dict[tuple[str, str], Fact | Regime] = {}
        self.claim = Claim(audit.alarm.claimed_rate) if audit.baseline == "claim" else None

    def of(
        self, entry: Entry, seen: Seen, watched: Sequence[str], compared: bool
    ) -> Iterator[Event]:
        """The events of one more audit."""
        yield from self._reached(entry, seen)
        if not seen.scored:
            return
        if self.claim is not None and seen.presented and compared:
            yield from self._of_claim(self.claim, entry, seen)
        for witness in watched:
            for place in self._places(witness, seen):
                if place not in self.regimes:
                    self.regimes[place] = self._begin(*place)
                yield from self.regimes[place].of(entry, seen)

    def _reached(self, entry: Entry, seen: Seen) -> Iterator[Event]:
        least = self.audit.alarm.failed_share
        yield from self.reach.of(entry, looked_at(seen, least))
        if self.reach.bad:  # its arms say no more than it does
            return
        for label, arm in sorted(seen.arms.items()):
            reach = self.arms.setdefault(label, Reach(self.audit, self.name, label))
            yield from reach.of(entry, arm_looked_at(label, arm, least))

    def _places(self, witness: str, seen: Seen) -> list[tuple[str, str]]:
        """The regimes of a witness, by its name and the arm."""
        if witness == "prompt_tokens":
            return [(witness, arm) for arm, one in sorted(seen.arms.items()) if one.prompt_tokens]
        return [(witness, "")] if witness in SHARES or witness in FACTS else []

    def _begin(self, witness: str, arm: str) -> Fact | Regime:
        known = self.baseline
        for counted in SHARES:
            if witness == counted:
                return Regime(self.audit, self.name, counted, known)
        if witness == "prompt_tokens":
            lengths = known.arms[arm].prompt_tokens if known and arm in known.arms else None
            return PromptTokens(self.audit, self.name, arm, lengths)
        return Fact(self.audit, self.name, witness, known.facts.get(witness, []) if known else ())

    def _of_claim(self, claim: Claim, entry: Entry, seen: Seen) -> Iterator[Event]:
        """Whether the presented name is given less often than the claim says; told once."""
        claim.add(seen)
        if not claim.broken and claim.p_value < _level(self.audit):
            claim.broken = True
            said = (
                f"it is presented as {seen.presented}, and gives that name in "
                f"{share(claim.hits, claim.samples)}, less than {100 * claim.rate:g} %"
            )
            yield events.make(
                *(self.audit, entry, "change", "claim"),
                target=self.name,
                changes=[said],
                p_value=claim.p_value,
            )

    def accept(self, witness: str | None) -> None:
        for (named, _), regime in self.regimes.items():
            if witness in (None, named):
                regime.accept()


class Regime:
    """What one target was so far by one counted witness: its states, and the one that it is in."""

    def __init__(
        self, audit: Audit, target: str, witness: Counted, baseline: Seen | None = None
    ) -> None:
        self.audit, self.target, self.witness = audit, target, witness
        self.alpha = _level(audit)
        self.odds = odds_between(*audit.alarm.wander) if audit.alarm.wander else 1.0
        self.states = [State(witness, [("", baseline)])] if baseline else []
        self.at = 0
        #: How often it went back to a known state, and since when it went anywhere.
        self.returns, self.left = 0, ""
        self.stays = Stays()
        self.open: list[str] = []

    def of(self, entry: Entry, seen: Seen) -> Iterator[Event]:
        """The events of one more audit."""
        if not self.states:
            self.states = [State(self.witness, [(entry.due, seen)])]
            self.stays.add(0)
            return
        place = self._likeliest(seen)
        state = self.states[place]
        state.add((entry.due, seen))
        if drifted := state.drifted(self.alpha, self.odds):
            yield from self._moves(entry, place, drifted)
            return
        self.at = place
        self.stays.add(place)
        if self._alternates and self.stays.settled:
            yield self._settles(entry)

    def accept(self) -> None:
        """What it shows now is what it should be."""
        if self.states:
            self.states, self.at = [self.states[self.at]], 0
        self.returns, self.left, self.open = 0, "", []

    @property
    def _alternates(self) -> bool:
        """Whether it is known to go back and forth, so that this is told no more."""
        return self.returns >= RETURNS

    def _moves(self, entry: Entry, place: int, drifted: list[Found]) -> Iterator[Event]:
        """What is told of a change: a new state, the return to a known one, or neither."""
        state, at = self.states[place], drifted[0].since
        piece, self.states[place] = state.later[at:], state.without(at)
        since, words = piece[0][0], [found.said for found in drifted]
        self.left = self.left or since
        self.stays.shorten(len(piece) - 1)
        known = next(
            (
                i
                for i, other in enumerate(self.states)
                if i != place and other.likeness(piece, self.odds) >= self.alpha
            ),
            None,
        )
        if known is None:
            self.states.append(State(self.witness, piece))
        else:
            self.returns += 1
            words = [*words, f"it is again {_when(self.states[known])}"]
            for one in piece:
                self.states[known].add(one)
        self.at = len(self.states) - 1 if known is None else known
        self.stays.add(self.at, len(piece))
        if known is None or self.returns < RETURNS:
            kind: Kind = "returned" if known == 0 else "change"
            yield self._event(entry, kind, since, words, drifted[0].p_value)
        elif self.returns == RETURNS:
            yield self._event(entry, "states", self.left, self._shares())

    def _event(
        self, entry: Entry, kind: Kind, since: str, changes: list[str], p: float | None = None
    ) -> Event:
        made = events.make(
            *(self.audit, entry, kind, self.witness),
            target=self.target,
            since=since,
            changes=changes,
            p_value=p,
            closes=self.open,
        )
        self.open = [made.event] if made.opens else []
        return made

    def _likeliest(self, seen: Seen) -> int:
        """The state that an audit is compared with: this one, or of several the most alike."""
        if not self._alternates:
            return self.at
        alike = [
            (state.likeness([("", seen)], self.odds), place == self.at, place)
            for place, state in enumerate(self.states)
        ]
        return max(alike)[2]

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
        state, stay = self.states[self.at], self.stays.now
        since = state.later[-stay][0] if stay <= len(state.later) else entry.due
        said = [f"{stay} audits in a row: {state.shares()}", "a switch is a change again"]
        made = self._event(entry, "settled", since, said)
        self.accept()
        self.stays = Stays()
        self.stays.add(0, stay)
        return made


def _when(state: State) -> str:
    """A state by the times at which it was seen."""
    when: list[Audited] = state.audits
    if not when:
        return "as in the baseline"
    return f"as it was first at {when[0][0]}, last at {when[-1][0]}"


def _level(audit: Audit) -> float:
    """The level of each test: where a claim is tested too, both share alpha."""
    return audit.alarm.alpha / 2 if audit.baseline == "claim" else audit.alarm.alpha
