"""What audits found, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from harness.audits.events import SEVERITIES
from harness.audits.history import History
from harness.audits.instants import instant, utcnow
from harness.audits.seen import ArmSeen, Seen


def registry(history: History) -> CollectorRegistry:
    """Gauges of the last audit of each name, of alarms and of the month's budget."""
    made = CollectorRegistry()

    def gauge(name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, ["audit", *labels], registry=made)

    state = gauge("truename_audit_silent", "1 if nothing of the last audit could be scored.")
    ended = gauge("truename_audit_last_timestamp_seconds", "When the last audit was due.")
    used = gauge("truename_audit_budget_used_ratio", "Share of this month's budget that is used.")
    tokens = gauge("truename_audit_tokens", "Tokens of all audits.")
    money = gauge("truename_audit_money", "Money of all audits, in the currency of the prices.")
    now, last = utcnow(), dict[str, dict[str, Any]]()
    for row in history.rows():
        tokens.labels(row["audit"]).inc(row["tokens"])
        money.labels(row["audit"]).inc(row["money"])
        if row["status"] != "running":
            last[row["audit"]] = row
    for name, row in last.items():
        due = instant(row["due"])
        state.labels(name).set(row["status"] == "silent")
        ended.labels(name).set(due.timestamp())
        this_month = (due.year, due.month) == (now.year, now.month)
        if row["budget_used"] is not None:
            used.labels(name).set(row["budget_used"] if this_month else 0.0)
    _of_targets(history, list(last), gauge, now.timestamp())
    _of_arms(last, gauge)
    _of_alarms(history, list(last), gauge)
    return made


Made = Callable[..., Gauge]


def _of_targets(history: History, audits: list[str], gauge: Made, now: float) -> None:
    """When each target was scored last; one that is asked no more is left out."""
    success = gauge(
        "truename_audit_target_last_success_timestamp_seconds",
        "When the last audit was due that could score the target.",
        "target",
    )
    ago = gauge(
        "truename_audit_target_seconds_since_success",
        "Seconds since the last audit was due that could score the target.",
        "target",
    )
    for name in audits:
        entries = [entry for entry in history.entries(name) if entry.seen]
        for target in entries[-1].seen if entries else ():
            scored = [e.due for e in entries if target in e.seen and e.seen[target].scored]
            if scored:
                at = instant(scored[-1]).timestamp()
                success.labels(name, target).set(at)
                ago.labels(name, target).set(max(0.0, now - at))


def _of_arms(last: dict[str, dict[str, Any]], gauge: Made) -> None:
    """What the last audit of each name saw."""
    rate = gauge(
        "truename_audit_rate",
        "Share of scored replies that give a name, in the last audit.",
        *("target", "arm", "identity"),
    )
    scored = gauge(
        "truename_audit_scored_samples",
        "Scored replies to questions for the name, in the last audit.",
        *("target", "arm"),
    )
    failed = gauge(
        "truename_audit_failed_ratio",
        "Share of the samples that failed, in the last audit.",
        *("target", "arm"),
    )
    for name, row in last.items():
        for target, arm, presented, found in _arms(row["observed"]):
            scored.labels(name, target, arm).set(found.samples)
            if found.asked:
                failed.labels(name, target, arm).set(found.failed / found.asked)
            if found.samples:
                for identity in {*found.names, *([presented] if presented else [])}:
                    share = found.names.get(identity, 0) / found.samples
                    rate.labels(name, target, arm, identity).set(share)


def _of_alarms(history: History, audits: list[str], gauge: Made) -> None:
    """Alarms raised so far, and those that are open (0 where none is)."""
    raised = gauge("truename_alarms", "Alarms raised so far.", "kind")
    open_now = gauge("truename_alarms_open", "Alarms that are open.", "severity", "acked")
    for name in audits:
        for severity in SEVERITIES:
            for acked in ("no", "yes"):
                open_now.labels(name, severity, acked).set(0)
    for alarm in history.states():
        event = alarm.event
        raised.labels(event.audit, event.kind).inc()
        if alarm.is_open:
            open_now.labels(event.audit, event.severity, "yes" if alarm.acked else "no").inc()


def _arms(observed: str | None) -> Iterator[tuple[str, str, str | None, ArmSeen]]:
    """Target, arm, presented identity and counts of what an audit saw."""
    if observed:
        for target, seen in msgspec.json.decode(observed, type=dict[str, Seen]).items():
            for arm, found in seen.arms.items():
                yield target, arm, seen.presented, found


def exposition(history: History) -> bytes:
    """The metrics in Prometheus' text format."""
    return generate_latest(registry(history))
