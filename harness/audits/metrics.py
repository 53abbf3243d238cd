"""What audits found, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from harness.audits.history import History
from harness.audits.watching import ArmSeen, Seen, instant


def registry(history: History) -> CollectorRegistry:
    """Gauges of the last audit of each name, and counts of alarms."""
    made = CollectorRegistry()
    last = Gauge(
        "truename_audit_last_success_timestamp_seconds",
        "When the last audit that could be scored was due.",
        ["audit"],
        registry=made,
    )
    state = Gauge(
        "truename_audit_silent",
        "1 if the last audit could not be scored.",
        ["audit"],
        registry=made,
    )
    rate = Gauge(
        "truename_audit_rate",
        "Share of scored replies that give a name, in the last audit.",
        ["audit", "target", "arm", "identity"],
        registry=made,
    )
    scored = Gauge(
        "truename_audit_scored_samples",
        "Scored replies to questions for the name, in the last audit.",
        ["audit", "target", "arm"],
        registry=made,
    )
    tokens = Gauge("truename_audit_tokens", "Tokens of all audits.", ["audit"], registry=made)
    money = Gauge(
        "truename_audit_money",
        "Money of all audits, in the currency of the prices.",
        ["audit"],
        registry=made,
    )
    alarms = Gauge("truename_alarms", "Alarms raised so far.", ["audit", "kind"], registry=made)
    for row in history.rows():
        tokens.labels(row["audit"]).inc(row["tokens"])
        money.labels(row["audit"]).inc(row["money"])
        if row["status"] == "running":
            continue
        state.labels(row["audit"]).set(row["status"] == "silent")
        if row["observed"]:
            last.labels(row["audit"]).set(instant(row["due"]).timestamp())
        for target, arm, presented, found in _arms(row["observed"]):
            scored.labels(row["audit"], target, arm).set(found.samples)
            if found.samples:
                for identity in {*found.names, *([presented] if presented else [])}:
                    share = found.names.get(identity, 0) / found.samples
                    rate.labels(row["audit"], target, arm, identity).set(share)
    for event in history.alarms():
        alarms.labels(event.audit, event.kind).inc()
    return made


def _arms(observed: str | None) -> Iterator[tuple[str, str, str | None, ArmSeen]]:
    """Target, arm, presented identity and counts of what an audit saw."""
    if observed:
        for target, seen in msgspec.json.decode(observed, type=dict[str, Seen]).items():
            for arm, found in seen.arms.items():
                yield target, arm, seen.presented, found


def exposition(history: History) -> bytes:
    """The metrics in Prometheus' text format."""
    return generate_latest(registry(history))
