"""What an audit saw, and what a history of audits adds up to: a pure function from observations to events, so that it can be played again."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from harness import stats
from harness.audits import drift
from harness.audits.config import Audit
from harness.audits.drift import Change, Counts
from harness.campaign import load_probe
from harness.counting import Scored

#: Replies are longer than 2^k characters or not, for these k.
LENGTHS: Final = range(3, 15)
#: A baseline's names from this share on are watched one by one; the others together.
MAIN: Final = 0.1
#: Hypotheses that a target's level is shared among, at least: which names are watched is read off the baseline.
FAMILY: Final = 20
FACTS: Final = ("model", "template", "fingerprint", "provider")


class ArmSeen(msgspec.Struct):
    """Counts of one arm: of replies to probes that ask for the name, and of replies longer than each 2^k characters."""

    samples: int = 0
    names: dict[str, int] = {}
    refuses: int = 0
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
    """Something to tell. ``kind``: change, silence or recovered; ``since`` is the audit at which it is likeliest to have begun."""

    event: str
    audit: str
    kind: Literal["change", "silence", "recovered"]
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
        return (
            f"{subject} can be audited again since {self.due}"
            if self.kind == "recovered"
            else f"{subject} has changed since {self.since}"
        )


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
        for fact, value in (
            ("model", row["model"]),
            ("template", row["template_sha256"]),
            ("fingerprint", row["fingerprint"]),
            ("provider", row["provider"]),
        ):
            if (
                value
                and value not in seen.facts.setdefault(fact, [])
                and len(seen.facts[fact]) < 20
            ):
                seen.facts[fact].append(value)
        arm = seen.arms.setdefault(row["arm"], ArmSeen())
        tokens = (
            row["rendered_tokens"] if row["rendered_tokens"] is not None else row["prompt_tokens"]
        )
        if tokens is not None:
            arm.prompt_tokens[f"{row['probe']}/{row['language']}/{row['question']}"] = int(tokens)
        if scored.verdict is None:
            return
        arm.replies += 1
        for k in LENGTHS:
            if len(row["text"] or "") > 2**k:
                arm.longer[str(k)] = arm.longer.get(str(k), 0) + 1
        measure = self._measures.setdefault(row["probe"], load_probe(row["probe"]).measures)
        if measure == "name":
            arm.samples += 1
            arm.refuses += scored.verdict.stance == "refuses"
            for name in scored.verdict.names:
                arm.names[name] = arm.names.get(name, 0) + 1

    def silent(self) -> bool:
        """Whether no reply of any target could be scored."""
        return not any(arm.replies for seen in self.seen.values() for arm in seen.arms.values())


class _Regime:
    """One target since the last change: the observation it is compared with, and those after it."""

    def __init__(self, baseline: list[tuple[str, Seen]], later: list[tuple[str, Seen]]) -> None:
        self.baseline, self.later = [seen for _, seen in baseline], later
        self.names = {
            arm: self._main(arm) for arm in {arm for seen in self.baseline for arm in seen.arms}
        }

    def _main(self, arm: str) -> list[str]:
        counts: Counter[str] = Counter()
        samples = 0
        for seen in self.baseline:
            found = seen.arms.get(arm, ArmSeen())
            counts.update(found.names)
            samples += found.samples
        presented = {seen.presented for seen in self.baseline if seen.presented}
        return sorted(
            presented | {name for name, n in counts.items() if n >= MAIN * max(1, samples)}
        )

    def counts(self, seen: Iterable[Seen], arm: str, what: str) -> Counts:
        hits = samples = 0
        for one in seen:
            found = one.arms.get(arm, ArmSeen())
            if what.startswith("longer:"):
                samples += found.replies
                hits += found.longer.get(what.removeprefix("longer:"), 0)
                continue
            samples += found.samples
            if what == "refuses":
                hits += found.refuses
            elif what == "another":
                hits += min(
                    found.samples,
                    sum(n for name, n in found.names.items() if name not in self.names[arm]),
                )
            else:
                hits += found.names.get(what, 0)
        return Counts(hits, samples)

    def changes(self) -> dict[tuple[str, str], tuple[Change, str]]:
        """For each arm and what is watched in it: the evidence of a change, and the change in words."""
        found: dict[tuple[str, str], tuple[Change, str]] = {}
        for arm, names in sorted(self.names.items()):
            for what in [*names, "another", "refuses"]:
                base, later = (
                    self.counts(self.baseline, arm, what),
                    [self.counts([seen], arm, what) for _, seen in self.later],
                )
                change = drift.change(base, later)
                subject = {"another": "replies that give another name", "refuses": "refusals"}.get(
                    what, f"replies that give the name {what}"
                )
                found[arm, what] = (
                    change,
                    f"under {arm}, {subject}: {_share(base)} before, {_share(_sum(later[change.since :]))} since",
                )
            lengths = []
            for k in LENGTHS:
                base, later = (
                    self.counts(self.baseline, arm, f"longer:{k}"),
                    [self.counts([seen], arm, f"longer:{k}") for _, seen in self.later],
                )
                lengths.append((drift.change(base, later), base, later, k))
            best, base, later, k = max(lengths, key=lambda found: found[0].log_e)
            found[arm, "length"] = (
                drift.mixed([change for change, *_ in lengths]),
                f"under {arm}, replies longer than {2**k} characters: {_share(base)} before, {_share(_sum(later[best.since :]))} since",
            )
        return found

    def facts(self, on: Sequence[str]) -> tuple[list[str], list[str]]:
        """What the last observation says of model, template and prompt tokens that the baseline does not: what alarms, and what is only told."""
        now = self.later[-1][1]
        loud: list[str] = []
        quiet: list[str] = []
        for fact in FACTS:
            before = {value for seen in self.baseline for value in seen.facts.get(fact, [])}
            fresh = [value for value in now.facts.get(fact, []) if value not in before]
            if before and fresh:
                (loud if fact in on else quiet).append(
                    f"{fact}: {', '.join(sorted(before)[:3])} before, {', '.join(fresh[:3])} now"
                )
        for arm, found in now.arms.items():
            before_tokens = {
                asked: tokens
                for seen in self.baseline
                for asked, tokens in seen.arms.get(arm, ArmSeen()).prompt_tokens.items()
            }
            shifts = Counter(
                tokens - before_tokens[asked]
                for asked, tokens in found.prompt_tokens.items()
                if asked in before_tokens
            )
            if shifts.total() >= 3:
                shift, questions = shifts.most_common(1)[0]
                if shift and questions >= 0.9 * shifts.total():
                    (loud if "prompt_tokens" in on else quiet).append(
                        f"under {arm}, prompts have {shift:+d} tokens: text stands before the question that did not before, or no longer does"
                    )
        return loud, quiet


def judge(
    audit: Audit, history: Sequence[Entry], baseline: dict[str, Seen] | None = None
) -> list[Event]:
    """The events of a history, in order; the same history gives the same events. ``baseline`` is what a named run saw."""
    events: list[Event] = []
    regimes: dict[str, _Regime] = {}
    claims: dict[str, list[Counts]] = {}
    broken: set[str] = set()
    silent = False
    for entry in history:
        if not entry.seen:
            if not silent and "silence" in audit.alarm.watch:
                events.append(
                    Event(
                        f"{audit.audit}/{entry.due}/silence",
                        audit.audit,
                        "silence",
                        None,
                        entry.due,
                        entry.due,
                        entry.run,
                        [entry.reason or "no reply could be scored"],
                    )
                )
            silent = True
            continue
        if silent and "silence" in audit.alarm.watch:
            events.append(
                Event(
                    f"{audit.audit}/{entry.due}/recovered",
                    audit.audit,
                    "recovered",
                    None,
                    entry.due,
                    entry.due,
                    entry.run,
                )
            )
        silent = False
        for target, seen in sorted(entry.seen.items()):
            if not any(arm.replies for arm in seen.arms.values()):
                continue
            if audit.baseline == "claim" and seen.presented and target not in broken:
                claims.setdefault(target, []).append(_claimed(seen))
                if event := _claim(audit, target, entry, claims[target]):
                    events.append(event)
                    broken.add(target)
            if target not in regimes:
                start = (
                    [("", baseline[target])]
                    if baseline and target in baseline
                    else [(entry.due, seen)]
                )
                regimes[target] = _Regime(start, [])
                if start[0][0]:
                    continue
            regime = regimes[target]
            regime.later.append((entry.due, seen))
            if event := _change(audit, target, entry, regime):
                events.append(event)
                at = next(i for i, (due, _) in enumerate(regime.later) if due >= event.since)
                regimes[target] = _Regime(regime.later[at:], [])
    return events


def _change(audit: Audit, target: str, entry: Entry, regime: _Regime) -> Event | None:
    found = regime.changes() if "rates" in audit.alarm.watch else {}
    p = drift.adjusted(
        [*(change for change, _ in found.values()), *[Change(0.0, 0)] * max(0, FAMILY - len(found))]
    )
    drifted = sorted(
        (value, change.since, words)
        for value, (change, words) in zip(p, found.values(), strict=False)
        if value < audit.alarm.alpha
    )
    loud, quiet = regime.facts(audit.alarm.watch)
    if not drifted and not loud:
        return None
    since = entry.due if not drifted else regime.later[drifted[0][1]][0]
    said = [*(words for _, _, words in drifted), *loud, *quiet]
    return Event(
        f"{audit.audit}/{entry.due}/{target}",
        audit.audit,
        "change",
        target,
        entry.due,
        since,
        entry.run,
        said,
        drifted[0][0] if drifted else None,
    )


def _claimed(seen: Seen) -> Counts:
    """Replies that give the presented name, in the arms that put no other name in."""
    arms = [arm for label, arm in seen.arms.items() if not label.startswith(("given:", "decoy:"))]
    return Counts(
        sum(arm.names.get(str(seen.presented), 0) for arm in arms), sum(arm.samples for arm in arms)
    )


def _claim(audit: Audit, target: str, entry: Entry, counts: list[Counts]) -> Event | None:
    """Whether the presented name is given less often than the claim says: a sequence over all audits."""
    whole, presented = _sum(counts), entry.seen[target].presented
    log_e = stats.evidence_beyond(whole.hits, whole.samples, audit.alarm.claimed_rate, "below")
    p = drift.adjusted([Change(log_e, 0)])[0]
    if p >= audit.alarm.alpha:
        return None
    said = f"it is presented as {presented}, and gives that name in {_share(whole)}, less than {100 * audit.alarm.claimed_rate:g} %"
    return Event(
        f"{audit.audit}/{entry.due}/{target}/claim",
        audit.audit,
        "change",
        target,
        entry.due,
        entry.due,
        entry.run,
        [said],
        p,
    )


def _sum(counts: Iterable[Counts]) -> Counts:
    hits = samples = 0
    for c in counts:
        hits, samples = hits + c.hits, samples + c.samples
    return Counts(hits, samples)


def _share(counts: Counts) -> str:
    return f"{counts.hits} of {counts.samples}" + (
        f" ({100 * counts.hits / counts.samples:.1f} %)" if counts.samples else ""
    )


def instant(text: str) -> datetime.datetime:
    """The time that a stored instant says."""
    return datetime.datetime.fromisoformat(text)


def stored(value: Any) -> str:
    return msgspec.json.encode(value).decode()
