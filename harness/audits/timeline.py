"""The audits' page: for each audit and target a time line of identity shares, the alarms, the prompt's length, the cost; each point opens its run's report."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from harness import charts
from harness.audits.history import History
from harness.audits.watching import ArmSeen, Event, Seen, instant
from harness.console import percent, plain
from harness.report.page import asset, page_templates, policy
from harness.report.story import name_of, short_arm
from harness.stats import wilson
from harness.tables import write_bytes

#: Audits that a time line shows at most, the last ones.
SHOWN: Final = 400
SERIES: Final = 4


class Line(NamedTuple):
    """One target of one audit."""

    audit: str
    target: str
    arm: str
    svg: str
    names: list[str]
    rows: list[dict[str, Any]]


def render(history: History, results: Path, link: str = "{run}/report.html") -> str:
    """The page as text; ``link`` is where a run's report lies, from the page."""
    by_audit: dict[str, list[dict[str, Any]]] = {}
    for row in history.rows():
        by_audit.setdefault(row["audit"], []).append(row)
    raised = history.alarms()
    lines = [
        line
        for name, rows in by_audit.items()
        for line in _lines(name, rows, raised, results, link)
    ]
    style = asset("page.css")
    return (
        page_templates(Path(__file__).parent)
        .get_template("timeline.html.j2")
        .render(
            lines=lines,
            alarms=list(reversed(raised)),
            states=[_state(name, rows) for name, rows in by_audit.items()],
            style=style,
            policy=policy(style, None),
        )
    )


def write_timeline(history: History, results: Path, to: Path) -> Path:
    """Write the page into a folder, as `index.html`."""
    beside = to.resolve() == results.resolve()
    page = render(
        history,
        results,
        "{run}/report.html" if beside else f"{results.resolve()}/{{run}}/report.html",
    )
    write_bytes(page.encode("utf-8", "replace"), to / "index.html")
    return to / "index.html"


def _state(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    last = rows[-1]
    return {
        "audit": name,
        "last": last["due"],
        "status": last["status"],
        "reason": last["reason"],
        "audits": len(rows),
        "requests": sum(r["requests"] for r in rows),
        "tokens": sum(r["tokens"] for r in rows),
        "money": sum(r["money"] for r in rows),
    }


def _lines(
    name: str, rows: list[dict[str, Any]], raised: list[Event], results: Path, link: str
) -> list[Line]:
    rows = rows[-SHOWN:]
    seen = [
        msgspec.json.decode(row["observed"], type=dict[str, Seen]) if row["observed"] else {}
        for row in rows
    ]
    places = sorted(
        {(target, arm) for one in seen for target, found in one.items() for arm in found.arms}
    )
    return [
        _line(name, target, arm, rows, [one.get(target) for one in seen], raised, results, link)
        for target, arm in places
    ]


def _line(
    name: str,
    target: str,
    arm: str,
    rows: list[dict[str, Any]],
    seen: list[Seen | None],
    raised: list[Event],
    results: Path,
    link: str,
) -> Line:
    times = [instant(row["due"]) for row in rows]
    found = [None if one is None else one.arms.get(arm) for one in seen]
    counts: Counter[str] = Counter()
    for one in found:
        counts.update({} if one is None else one.names)
    presented = [one.presented for one in seen if one and one.presented]
    names = list(
        dict.fromkeys([*presented[-1:], *(identity for identity, _ in counts.most_common(SERIES))])
    )[:SERIES]
    series = {
        plain(name_of("name", identity)): [_point(one, identity) for one in found]
        for identity in names
    }
    mine = [event for event in raised if event.audit == name and event.target in (None, target)]
    at = [instant(event.due) for event in mine]
    lengths = [
        float(statistics.median(one.prompt_tokens.values())) if one and one.prompt_tokens else None
        for one in found
    ]
    label = f"{name}, {target} under {arm}: share of replies by name over time, and the prompts' median length; the same numbers stand in the table below"
    links = [
        link.format(run=row["run"]) if (results / row["run"] / "report.html").is_file() else None
        for row in rows
    ]
    table = []
    for row, one, moment, tokens, opens in zip(
        reversed(rows),
        reversed(found),
        reversed(times),
        reversed(lengths),
        reversed(links),
        strict=True,
    ):
        shares = [
            percent(p.rate, p.low, p.high) if (p := _point(one, identity)) else "NA"
            for identity in names
        ]
        table.append(
            {
                "due": f"{moment:%Y-%m-%d %H:%M}",
                "status": row["status"],
                "reason": row["reason"],
                "link": opens,
                "run": row["run"],
                "samples": one.samples if one else 0,
                "shares": shares,
                "tokens": "NA" if tokens is None else f"{tokens:g}",
                "cost": f"{row['money']:.2f}" if row["money"] else f"{row['tokens']:,} tokens",
                "alarms": [event.headline for event in mine if event.due == row["due"]],
            }
        )
    return Line(
        name,
        target,
        short_arm(arm),
        charts.timeline(times, links, series, lengths, at, label) if series else "",
        list(series),
        table,
    )


def _point(one: ArmSeen | None, identity: str) -> charts.Point | None:
    if one is None or not one.samples:
        return None
    hits = one.names.get(identity, 0)
    return charts.Point(0, 0, hits / one.samples, *wilson(hits, one.samples))
