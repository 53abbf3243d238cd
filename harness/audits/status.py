"""What each audit saw last, and the alarms: on a terminal, and for other programs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.audits.history import History
from harness.audits.raised import Alarm
from harness.audits.seen import Entry
from harness.console import plain

#: Alarms that are listed, the newest last.
ALARMS = 10


def show_status(console: Console, history: History) -> None:
    """Print a row an audit, and the last alarms."""
    last = {row["audit"]: row for row in history.rows()}
    raised = history.states()
    table = Table("audit", "last due (UTC)", "state", "names given", "open alarms", box=None)
    for name, row in last.items():
        entries = reversed(history.entries(name))
        entry = next((found for found in entries if found.due == row["due"]), None)
        alarms = str(sum(one.event.audit == name and one.is_open for one in raised))
        shares = Text(plain("\n".join(_shares(entry)))) if entry else Text("")
        table.add_row(Text(name), row["due"], Text(plain(_state(row))), shares, alarms)
    console.print(table if last else "no audit was run yet")
    shown = [one for one in raised if one.is_open] or raised[-ALARMS:]
    if shown:
        console.print("open alarms:" if shown[0].is_open else "no alarm is open; the last were:")
    for one in shown:
        said = f"{one.event.severity}, {state_of(one)}: {one.event.headline}"
        console.print(Text(plain(f"{said}\n  {one.event.event}")))


def state_of(alarm: Alarm) -> str:
    """What became of an alarm, in a word."""
    if not alarm.event.opens:
        return "note"
    if alarm.closed is not None:
        return f"over since {alarm.closed}"
    return f"acknowledged at {alarm.acked}" if alarm.acked else "open"


def status_data(history: History) -> dict[str, Any]:
    """The same for other programs: each audit's last row with what was seen, and every alarm."""
    last = {row["audit"]: row for row in history.rows()}
    shown = ("audit", "due", "run", "status", "reason", "started", "ended", "budget_used")
    return {
        "audits": [
            {key: row[key] for key in (*shown, "requests", "tokens", "money")}
            | {"seen": json.loads(row["observed"]) if row["observed"] else None}
            for row in last.values()
        ],
        "alarms": [
            {"headline": one.event.headline, **msgspec.to_builtins(one.event)}
            | {"raised": one.raised, "acked": one.acked}
            | {"closed": one.closed, "closed_by": one.closed_by, "open": one.is_open}
            for one in history.states()
        ],
    }


def _state(row: dict[str, Any]) -> str:
    return f"{row['status']}: {row['reason']}" if row["reason"] else str(row["status"])


def _shares(entry: Entry) -> list[str]:
    """For each target and arm the name that is given most."""
    lines = []
    for target, seen in entry.seen.items():
        for arm, found in seen.arms.items():
            names = found.names if found.samples else {}
            best = max(names, key=lambda name: names[name], default=None)
            hits = f"{best} {names[best]}" if best else "none"
            lines.append(f"{target} {arm}: {hits} of {found.samples}")
    return lines
