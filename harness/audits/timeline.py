"""The audits' page: a time line for each audit and target.

The state of each audit and what is open come first; then identity shares, the prompt's length and
the cost over time. Each alarm and each point opens its run's report.
"""

from __future__ import annotations

import datetime
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from harness import charts
from harness.audits.config import load_audit
from harness.audits.events import SEVERITIES, Event
from harness.audits.history import History
from harness.audits.instants import instant, utcnow
from harness.audits.links import anchor
from harness.audits.power import finds, seen_so_far, sentence
from harness.audits.raised import Alarm
from harness.audits.seen import ArmSeen, Seen
from harness.audits.status import state_of
from harness.console import percent, plain
from harness.errors import TruenameError
from harness.report.page import asset, page_templates, policy
from harness.report.rows import name_of, short_arm
from harness.stats import wilson
from harness.tables import write_bytes

#: Audits that a time line shows at most, the last ones.
SHOWN: Final = 400
SERIES: Final = 4
#: Alarms that are over and notes that it shows at most, the last ones.
PAST: Final = 100


class Line(NamedTuple):
    """One target of one audit."""

    audit: str
    target: str
    arm: str
    svg: str
    names: list[str]
    rows: list[dict[str, Any]]


class _Moment(NamedTuple):
    """One audit on a time line."""

    at: datetime.datetime
    row: dict[str, Any]
    #: What was seen of the arm.
    found: ArmSeen | None
    #: What the target is presented as.
    presented: str | None
    #: Where the run's report lies.
    link: str | None

    @property
    def tokens(self) -> float | None:
        """The prompts' median length."""
        lengths = self.found.prompt_tokens if self.found else {}
        return float(statistics.median(lengths.values())) if lengths else None


def render(history: History, results: Path, link: Callable[[str], str]) -> str:
    """The page as text; ``link`` is where the report of a run lies, from the page."""
    by_audit: dict[str, list[dict[str, Any]]] = {}
    for row in history.rows():
        by_audit.setdefault(row["audit"], []).append(row)
    alarms = history.states()
    raised = [alarm.event for alarm in alarms]
    lines = [
        line
        for name, rows in by_audit.items()
        for line in _lines(name, rows, raised, results, link)
    ]
    style = asset("page.css") + (Path(__file__).parent / "timeline.css").read_text("utf-8")
    template = page_templates(Path(__file__).parent).get_template("timeline.html.j2")
    now = utcnow()
    silenced = {name: history.silenced(name, now) for name in by_audit}
    shown = [_shown(alarm, silenced, results, link) for alarm in reversed(alarms)]
    return template.render(
        lines=lines,
        open=sorted(
            (one for one in shown if one["open"]),
            key=lambda one: (-SEVERITIES.index(one["severity"]), one["known"]),
        ),
        past=[one for one in shown if not one["open"]][:PAST],
        states=[
            _state(history, name, rows, alarms, silenced[name]) for name, rows in by_audit.items()
        ],
        style=style,
        policy=policy(style, None),
    )


def write_timeline(history: History, results: Path, to: Path) -> Path:
    """Write the page into a folder, as `index.html`."""
    beside = to.resolve() == results.resolve()
    folder = "" if beside else f"{results.resolve()}/"
    page = render(history, results, lambda run: f"{folder}{run}/report.html")
    write_bytes(page.encode("utf-8", "replace"), to / "index.html")
    return to / "index.html"


def _shown(
    alarm: Alarm,
    silenced: dict[str, list[tuple[str | None, str]]],
    results: Path,
    link: Callable[[str], str],
) -> dict[str, Any]:
    """An alarm as the page shows it."""
    event = alarm.event
    until = [end for of, end in silenced.get(event.audit, []) if of in (None, event.target)]
    state = state_of(alarm)
    if alarm.is_open and until:
        state = f"{state}, silenced until {max(until)}"
    there = bool(event.run) and (results / event.run / "report.html").is_file()
    return {
        "event": event,
        "anchor": anchor(event.event),
        "severity": event.severity,
        "state": state,
        "open": alarm.is_open,
        "known": alarm.acked is not None or bool(until),
        "link": link(event.run) if there else None,
    }


def _state(
    history: History,
    name: str,
    rows: list[dict[str, Any]],
    alarms: list[Alarm],
    silenced: list[tuple[str | None, str]],
) -> dict[str, Any]:
    """One audit as it is now."""
    last = rows[-1]
    mine = [alarm for alarm in alarms if alarm.event.audit == name and alarm.is_open]
    return {
        "audit": name,
        "open": len(mine),
        "unknown": sum(alarm.acked is None for alarm in mine),
        "silenced": ", ".join(f"{of or 'all'} until {end}" for of, end in silenced),
        "used": last["budget_used"],
        "drops": _drops(history, name),
        "last": last["due"],
        "status": last["status"],
        "reason": last["reason"],
        "audits": len(rows),
        "requests": sum(r["requests"] for r in rows),
        "tokens": sum(r["tokens"] for r in rows),
        "money": sum(r["money"] for r in rows),
    }


def _drops(history: History, name: str) -> list[str]:
    """How small a drop is found from now on, of each target and arm."""
    try:
        audit = load_audit(name).audit
    except TruenameError:  # the page may be made where the files are not
        return []
    entries = history.entries(name)
    last = next((entry.seen for entry in reversed(entries) if entry.seen), {})
    return [
        f"{target} {short_arm(arm)}: {sentence(finds(audit, *found))}"
        for target, seen in sorted(last.items())
        for arm in sorted(seen.arms)
        if (found := seen_so_far(entries, target, arm))
    ]


def _lines(
    name: str,
    rows: list[dict[str, Any]],
    raised: list[Event],
    results: Path,
    link: Callable[[str], str],
) -> list[Line]:
    rows = rows[-SHOWN:]
    seen = [
        msgspec.json.decode(row["observed"], type=dict[str, Seen]) if row["observed"] else {}
        for row in rows
    ]
    reports = [(results / row["run"] / "report.html").is_file() for row in rows]
    links = [link(row["run"]) if there else None for row, there in zip(rows, reports, strict=True)]
    places = {(target, arm) for one in seen for target, found in one.items() for arm in found.arms}
    lines = []
    for target, arm in sorted(places):
        moments = [
            _moment(row, one.get(target), arm, opens)
            for row, one, opens in zip(rows, seen, links, strict=True)
        ]
        mine = [event for event in raised if event.audit == name and event.target in (None, target)]
        lines.append(_line(name, target, arm, moments, mine))
    return lines


def _moment(row: dict[str, Any], seen: Seen | None, arm: str, link: str | None) -> _Moment:
    found = seen.arms.get(arm) if seen else None
    return _Moment(instant(row["due"]), row, found, seen.presented if seen else None, link)


def _line(name: str, target: str, arm: str, moments: list[_Moment], alarms: list[Event]) -> Line:
    names = _names(moments)
    series = {
        plain(name_of("name", identity)): [_point(moment.found, identity) for moment in moments]
        for identity in names
    }
    label = (
        f"{name}, {target} under {arm}: share of replies by name over time, and the prompts' "
        "median length; the same numbers stand in the table below"
    )
    svg = ""
    if series:
        svg = charts.timeline(
            [moment.at for moment in moments],
            [moment.link for moment in moments],
            series,
            [moment.tokens for moment in moments],
            [instant(event.due) for event in alarms],
            label,
        )
    table = [_row(moment, names, alarms) for moment in reversed(moments)]
    return Line(name, target, short_arm(arm), svg, list(series), table)


def _names(moments: list[_Moment]) -> list[str]:
    """The names that have a line: the presented one, and those that are given most."""
    counts: Counter[str] = Counter()
    for moment in moments:
        counts.update(moment.found.names if moment.found else {})
    presented = [moment.presented for moment in moments if moment.presented]
    frequent = [identity for identity, _ in counts.most_common(SERIES)]
    return list(dict.fromkeys([*presented[-1:], *frequent]))[:SERIES]


def _row(moment: _Moment, names: list[str], alarms: list[Event]) -> dict[str, Any]:
    """One audit in the table below a time line."""
    row, found, tokens = moment.row, moment.found, moment.tokens
    points = [_point(found, identity) for identity in names]
    return {
        "due": f"{moment.at:%Y-%m-%d %H:%M}",
        "status": row["status"],
        "reason": row["reason"],
        "link": moment.link,
        "run": row["run"],
        "samples": found.samples if found else 0,
        "shares": [percent(p.rate, p.low, p.high) if p else "NA" for p in points],
        "tokens": "NA" if tokens is None else f"{tokens:g}",
        "cost": f"{row['money']:.2f}" if row["money"] else f"{row['tokens']:,} tokens",
        "alarms": [event.headline for event in alarms if event.due == row["due"]],
    }


def _point(one: ArmSeen | None, identity: str) -> charts.Point | None:
    if one is None or not one.samples:
        return None
    hits = one.names.get(identity, 0)
    return charts.Point(0, 0, hits / one.samples, *wilson(hits, one.samples))
