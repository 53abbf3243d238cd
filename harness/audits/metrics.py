"""What audits found, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from harness.audits.history import History
from harness.audits.seen import ArmSeen, Seen
from harness.audits.watching import instant


def registry(history: History) -> CollectorRegistry:
    """Gauges of the last audit of each name, and counts of alarms."""
    made = CollectorRegistry()

    def gauge(name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, ["audit", *labels], registry=made)

    last = gauge(
        "truename_audit_last_success_timestamp_seconds",
        "When the last audit that could be scored was due.",
    )
    state = gauge("truename_audit_silent", "1 if the last audit could not be scored.")
    rate = gauge(
        "truename_audit_rate",
        "Share of scored replies that give a name, in the last audit.",
        "target",
        "arm",
        "identity",
    )
    scored = gauge(
        "truename_audit_scored_samples",
        "Scored replies to questions for the name, in the last audit.",
        "target",
        "arm",
    )
    tokens = gauge("truename_audit_tokens", "Tokens of all audits.")
    money = gauge("truename_audit_money", "Money of all audits, in the currency of the prices.")
    alarms = gauge("truename_alarms", "Alarms raised so far.", "kind")
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
