"""What an audit saw, and what a history of audits adds up to.

A pure function from observations to events, so that it can be played again.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from harness import stats
from harness.audits import drift
from harness.audits.config import Audit
from harness.audits.drift import Change, Counts
from harness.campaign import load_probe
from harness.counting import Scored
from harness.scoring import Verdict

#: Replies are longer than 2^k characters or not, for these k.
LENGTHS: Final = range(3, 15)
#: A baseline's names from this share on are watched one by one; the others together.
MAIN: Final = 0.1
#: Hypotheses that a target's level is shared among, at least: which names are watched is read off
#: the baseline.
FAMILY: Final = 20
#: What is known of a target beside its replies, and the columns that say it.
FACTS: Final = {
    "model": "model",
    "template": "template_sha256",
    "fingerprint": "fingerprint",
    "provider": "provider",
}
#: Values of one fact that are written down.
MOST_VALUES: Final = 20
#: Prompts that have to be shifted by as many tokens, at least, of at least so many.
SHIFTED, PROMPTS = 0.9, 3
_SUBJECTS: Final = {"another": "replies that give another name", "refuses": "refusals"}
_LONGER: Final = "longer:"

Kind = Literal["change", "silence", "recovered"]


class ArmSeen(msgspec.Struct):
    """Counts of one arm."""

    #: Of replies to probes that ask for the name.
    samples: int = 0
    names: dict[str, int] = {}
    refuses: int = 0
    #: Of all replies, and of those longer than each 2^k characters.
    replies: int = 0
    longer: dict[str, int] = {}
    prompt_tokens: dict[str, int] = {}


class Seen(msgspec.Struct):
    """What one audit saw of one target."""

    arms: dict[str, ArmSeen] = {}
    facts: dict[str, list[str]] = {}
    failed: int = 0
    presented: str | None = None


class Entry(NamedTuple):
    """One audit of the history: ``seen`` by target is empty where it was silent."""

    due: str
    run: str
    reason: str | None
    seen: dict[str, Seen]


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
        return f"{subject} has changed since {self.since}"


class Observer:
    """Gathers what an audit sees while its samples are scored."""

    def __init__(self, presented: dict[str, str | None]) -> None:
        self.seen = {target: Seen(presented=identity) for target, identity in presented.items()}
        self._measures: dict[str, str] = {}

    def __call__(self, scored: Scored) -> None:
        row = scored.row
        seen = self.seen[row["target"]]
        if row["status"] == "failed":
            seen.failed += 1
        for fact, column in FACTS.items():
            if value := row[column]:
                values = seen.facts.setdefault(fact, [])
                if value not in values and len(values) < MOST_VALUES:
                    values.append(value)
        arm = seen.arms.setdefault(row["arm"], ArmSeen())
        rendered = row["rendered_tokens"]
        tokens = row["prompt_tokens"] if rendered is None else rendered
        if tokens is not None:
            arm.prompt_tokens[f"{row['probe']}/{row['language']}/{row['question']}"] = int(tokens)
        if scored.verdict is not None:
            self._count(arm, scored, scored.verdict)

    def _count(self, arm: ArmSeen, scored: Scored, verdict: Verdict) -> None:
        """Count a reply that was scored."""
        row = scored.row
        arm.replies += 1
        for k in LENGTHS:
            if len(row["text"] or "") > 2**k:
                arm.longer[str(k)] = arm.longer.get(str(k), 0) + 1
        measure = self._measures.setdefault(row["probe"], load_probe(row["probe"]).measures)
        if measure == "name":
            arm.samples += 1
            arm.refuses += verdict.stance == "refuses"
            for name in verdict.names:
                arm.names[name] = arm.names.get(name, 0) + 1

    def silent(self) -> bool:
        """Whether no reply of any target could be scored."""
        return not any(arm.replies for seen in self.seen.values() for arm in seen.arms.values())


class _Compared(NamedTuple):
    """Counts of the baseline and of the audits after it, and the evidence of a change."""

    change: Change
    base: Counts
    later: list[Counts]

    def said(self) -> str:
        """The change in words."""
        since = _sum(self.later[self.change.since :])
        return f"{_share(self.base)} before, {_share(since)} since"


class _Regime:
    """One target since the last change: what it is compared with, and the audits after that."""

    def __init__(self, baseline: list[tuple[str, Seen]], later: list[tuple[str, Seen]]) -> None:
        self.baseline, self.later = [seen for _, seen in baseline], later
        arms = {arm for seen in self.baseline for arm in seen.arms}
        self.names = {arm: self._main(arm) for arm in arms}

    def _main(self, arm: str) -> list[str]:
        """The names that are watched one by one."""
        counts: Counter[str] = Counter()
        samples = 0
        for seen in self.baseline:
            found = seen.arms.get(arm, ArmSeen())
            counts.update(found.names)
            samples += found.samples
        presented = {seen.presented for seen in self.baseline if seen.presented}
        frequent = {name for name, n in counts.items() if n >= MAIN * max(1, samples)}
        return sorted(presented | frequent)

    def counts(self, seen: Iterable[Seen], arm: str, what: str) -> Counts:
        hits = samples = 0
        for one in seen:
            found = one.arms.get(arm, ArmSeen())
            samples += found.replies if what.startswith(_LONGER) else found.samples
            hits += self._hits(found, arm, what)
        return Counts(hits, samples)

    def _hits(self, found: ArmSeen, arm: str, what: str) -> int:
        if what.startswith(_LONGER):
            return found.longer.get(what.removeprefix(_LONGER), 0)
        if what == "refuses":
            return found.refuses
        if what == "another":
            others = sum(n for name, n in found.names.items() if name not in self.names[arm])
            return min(found.samples, others)
        return found.names.get(what, 0)

    def _compared(self, arm: str, what: str) -> _Compared:
        base = self.counts(self.baseline, arm, what)
        later = [self.counts([seen], arm, what) for _, seen in self.later]
        return _Compared(drift.change(base, later), base, later)

    def changes(self) -> dict[tuple[str, str], tuple[Change, str]]:
        """The evidence of a change, and the change in words, for each arm and what is watched."""
        found: dict[tuple[str, str], tuple[Change, str]] = {}
        for arm, names in sorted(self.names.items()):
            for what in [*names, "another", "refuses"]:
                compared = self._compared(arm, what)
                subject = _SUBJECTS.get(what, f"replies that give the name {what}")
                found[arm, what] = compared.change, f"under {arm}, {subject}: {compared.said()}"
            lengths = {k: self._compared(arm, f"{_LONGER}{k}") for k in LENGTHS}
            k, best = max(lengths.items(), key=lambda length: length[1].change.log_e)
            change = drift.mixed([compared.change for compared in lengths.values()])
            words = f"under {arm}, replies longer than {2**k} characters: {best.said()}"
            found[arm, "length"] = change, words
        return found

    def facts(self, on: Sequence[str]) -> tuple[list[str], list[str]]:
        """What the last observation says, beside replies, that the baseline does not.

        What alarms, and what is only told: of model, template, ... and prompt tokens.
        """
        now = self.later[-1][1]
        told = [(fact, self._fresh(fact, now)) for fact in FACTS]
        told += [("prompt_tokens", self._shifted(arm, found)) for arm, found in now.arms.items()]
        loud = [words for fact, words in told if words and fact in on]
        return loud, [words for fact, words in told if words and fact not in on]

    def _fresh(self, fact: str, now: Seen) -> str | None:
        before = {value for seen in self.baseline for value in seen.facts.get(fact, [])}
        fresh = [value for value in now.facts.get(fact, []) if value not in before]
        if not before or not fresh:
            return None
        return f"{fact}: {', '.join(sorted(before)[:3])} before, {', '.join(fresh[:3])} now"

    def _shifted(self, arm: str, now: ArmSeen) -> str | None:
        """Whether most prompts of an arm are longer, or shorter, by the same number of tokens."""
        before: dict[str, int] = {}
        for seen in self.baseline:
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
        self.regimes: dict[str, _Regime] = {}
        self.claims: dict[str, list[Counts]] = {}
        #: Targets that were found not to keep the claim.
        self.broken: set[str] = set()
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
            if any(arm.replies for arm in seen.arms.values()):
                yield from self._of_target(entry, target, seen)

    def _of_target(self, entry: Entry, target: str, seen: Seen) -> Iterator[Event]:
        if self.audit.baseline == "claim" and seen.presented and target not in self.broken:
            self.claims.setdefault(target, []).append(_claimed(seen))
            if event := _claim(self.audit, target, entry, self.claims[target]):
                self.broken.add(target)
                yield event
        if target not in self.regimes:
            known = self.baseline.get(target)
            if known is None:
                self.regimes[target] = _Regime([(entry.due, seen)], [])
                return
            self.regimes[target] = _Regime([("", known)], [])
        regime = self.regimes[target]
        regime.later.append((entry.due, seen))
        if event := _change(self.audit, target, entry, regime):
            at = next(i for i, (due, _) in enumerate(regime.later) if due >= event.since)
            self.regimes[target] = _Regime(regime.later[at:], [])
            yield event


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


def _change(audit: Audit, target: str, entry: Entry, regime: _Regime) -> Event | None:
    found = regime.changes() if "rates" in audit.alarm.watch else {}
    # what is not watched counts as a hypothesis too
    others = [Change(0.0, 0)] * max(0, FAMILY - len(found))
    p = drift.adjusted([*(change for change, _ in found.values()), *others])
    drifted = sorted(
        (value, change.since, words)
        for value, (change, words) in zip(p, found.values(), strict=False)
        if value < audit.alarm.alpha
    )
    loud, quiet = regime.facts(audit.alarm.watch)
    if not drifted and not loud:
        return None
    return _event(
        audit,
        entry,
        "change",
        target,
        target=target,
        since=regime.later[drifted[0][1]][0] if drifted else None,
        changes=[*(words for _, _, words in drifted), *loud, *quiet],
        p_value=drifted[0][0] if drifted else None,
    )


def _claimed(seen: Seen) -> Counts:
    """Replies that give the presented name, in the arms that put no other name in."""
    arms = [arm for label, arm in seen.arms.items() if not label.startswith(("given:", "decoy:"))]
    hits = sum(arm.names.get(str(seen.presented), 0) for arm in arms)
    return Counts(hits, sum(arm.samples for arm in arms))


def _claim(audit: Audit, target: str, entry: Entry, counts: list[Counts]) -> Event | None:
    """Whether the presented name is given less often than the claim says.

    A sequence over all audits.
    """
    whole, presented = _sum(counts), entry.seen[target].presented
    log_e = stats.evidence_beyond(whole.hits, whole.samples, audit.alarm.claimed_rate, "below")
    p = drift.adjusted([Change(log_e, 0)])[0]
    if p >= audit.alarm.alpha:
        return None
    said = (
        f"it is presented as {presented}, and gives that name in {_share(whole)}, "
        f"less than {100 * audit.alarm.claimed_rate:g} %"
    )
    name = f"{target}/claim"
    return _event(audit, entry, "change", name, target=target, changes=[said], p_value=p)


def _sum(counts: Iterable[Counts]) -> Counts:
    hits = samples = 0
    for c in counts:
        hits, samples = hits + c.hits, samples + c.samples
    return Counts(hits, samples)


def _share(counts: Counts) -> str:
    said = f"{counts.hits} of {counts.samples}"
    return f"{said} ({100 * counts.hits / counts.samples:.1f} %)" if counts.samples else said


def instant(text: str) -> datetime.datetime:
    """The time that a stored instant says."""
    return datetime.datetime.fromisoformat(text)


def stored(value: Any) -> str:
    return msgspec.json.encode(value).decode()
