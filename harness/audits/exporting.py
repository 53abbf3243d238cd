"""The history of audits, and their alarms, as tables for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pandas as pd

from harness.audits.history import History
from harness.audits.seen import Seen

#: One row an audit, target, arm and name that was given (or presented).
HISTORY: Final = (
    *("audit", "due", "run", "status", "reason", "target", "arm", "identity", "presented"),
    *("hits", "samples", "refuses", "replies", "asked", "failed", "models", "fingerprints"),
    *("requests", "tokens", "money", "budget_used"),
)
#: One row an alarm.
EVENTS: Final = (
    *("event", "audit", "target", "witness", "kind", "severity", "due", "since", "run"),
    *("headline", "changes", "p_value", "next", "raised", "acked", "closed", "closed_by"),
)
_WHOLE: Final = (
    *("hits", "samples", "refuses", "replies", "asked", "failed"),
    *("requests", "tokens"),
)


def history_frame(history: History, audit: str | None = None) -> pd.DataFrame:
    """What was seen: columns `HISTORY`; money in the currency of the prices."""
    rows = [one for row in history.rows(audit) for one in _rows(row)]
    frame = pd.DataFrame(rows, columns=list(HISTORY))
    return frame.astype(dict.fromkeys(_WHOLE, "Int64") | {"budget_used": "Float64"})


def events_frame(history: History, audit: str | None = None) -> pd.DataFrame:
    """The alarms as they stand: columns `EVENTS`."""
    rows = [
        msgspec.to_builtins(alarm.event)
        | {"headline": alarm.event.headline, "changes": "\n".join(alarm.event.changes)}
        | {"raised": alarm.raised, "acked": alarm.acked}
        | {"closed": alarm.closed, "closed_by": alarm.closed_by}
        for alarm in history.states(audit)
    ]
    shown = [{name: row.get(name) for name in EVENTS} for row in rows]
    frame = pd.DataFrame(shown, columns=list(EVENTS))
    return frame.astype({"p_value": "Float64"})


def _rows(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shared: dict[str, Any] = {str(name): row[name] for name in HISTORY if name in row}
    seen = msgspec.json.decode(row["observed"], type=dict[str, Seen]) if row["observed"] else {}
    if not seen:
        yield shared
    for target, found in sorted(seen.items()):
        facts = {
            "models": ", ".join(found.facts.get("model", [])),
            "fingerprints": ", ".join(found.facts.get("fingerprint", [])),
        }
        of = shared | facts | {"target": target, "presented": found.presented}
        if not found.arms:
            yield of
        for label, arm in sorted(found.arms.items()):
            counted = {
                name: getattr(arm, name)
                for name in ("samples", "refuses", "replies", "asked", "failed")
            }
            names = {**({found.presented: 0} if found.presented else {}), **arm.names}
            if not names:
                yield of | counted | {"arm": label}
            for identity, hits in sorted(names.items()):
                yield of | counted | {"arm": label, "identity": identity, "hits": hits}
