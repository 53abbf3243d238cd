"""The audits' page: what is open first, with its evidence, on a telephone and on a screen."""

from __future__ import annotations

import datetime

import pytest

from harness.audits.events import Event
from harness.audits.instants import utcnow
from harness.audits.links import anchor, evidence
from harness.audits.metrics import exposition
from harness.audits.seen import ArmSeen, Seen
from harness.audits.timeline import write_timeline
from tests.audits.shop import audit
from tests.browser import axe, chromium

HOUR = datetime.timedelta(hours=1)


def event(day, kind, witness, target="shop", severity="critical", closes=()):
    due = f"2026-03-{day:02}T06:00:00Z"
    return Event(
        *(f"watch/{due}/{target}/{witness}", "watch", kind, target, due, due, f"watch-{day}"),
        changes=["under absent, replies that give the name nex: 43 of 45 before, 12 of 45 since"],
        p_value=1e-6 if witness == "rates" else None,
        witness=witness,
        severity=severity,
        closes=list(closes),
        next="open the report and read some replies",
    )


def spent(**more):
    return {"reason": None, "requests": 30, "tokens": 900, "money": 0.0} | more


@pytest.fixture
def watched_month(history, tmp_path):
    """Alarms that are open, acknowledged, silenced and over."""
    for day in range(1, 11):
        arm = ArmSeen(45, {"nex": 43 if day < 6 else 12}, replies=45, asked=45)
        seen = {"shop": Seen({"absent": arm}, presented="nex")}
        if day < 9:
            seen["other"] = Seen({"empty": arm}, presented="nex")
        due = f"2026-03-{day:02}T06:00:00Z"
        assert history.claim("watch", due, f"watch-{day}")
        history.finish("watch", due, seen=seen, **spent(budget_used=day / 20))
        (tmp_path / f"watch-{day}").mkdir()
        (tmp_path / f"watch-{day}/report.html").write_text("the report")
    history.raise_(event(3, "change", "fingerprint", severity="warning"))
    over = event(3, "change", "fingerprint", severity="warning").event
    history.raise_(event(4, "returned", "fingerprint", severity="warning", closes=[over]))
    history.raise_(event(5, "degraded", "failures", "other", severity="warning"))
    history.raise_(event(6, "change", "rates"))
    history.raise_(event(6, "change", "model"))
    history.acknowledge("watch", [event(6, "change", "model").event])
    history.silence("watch", "other", utcnow() + HOUR)
    return history


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("width", [390, 1280])
def test_open_acknowledged_and_silenced_alarms_stand_first_at_both_widths(
    watched_month, tmp_path, width
):
    page = write_timeline(watched_month, tmp_path, tmp_path)
    with chromium() as watched:
        tab = watched(page.as_uri())
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.trouble == [] and tab.requests == [page.as_uri()]
        assert "3 open alarms, the gravest: watch: shop has changed since 2026-03-06" in (
            tab.inner_text("header")
        )
        states = tab.locator("section[aria-labelledby=alarms] .badge").all_inner_texts()
        assert states[::2] == ["critical", "critical", "warning"]
        assert states[1] == "open" and states[3].startswith("acknowledged at ")
        assert any("open, silenced until " in state for state in states)
        top = tab.locator("section[aria-labelledby=alarms]").bounding_box()["y"]
        assert top < tab.locator(".chart").first.bounding_box()["y"]
        opens = tab.locator("section[aria-labelledby=alarms] .alarm a").all()
        assert {link.get_attribute("href") for link in opens} == {
            "watch-5/report.html",
            "watch-6/report.html",
        }
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        if width > 1000:
            assert tab.locator(".chart svg").first.bounding_box()["width"] > 0.85 * width
        assert axe(tab) == []


def test_links_are_absolute_where_the_audit_has_a_public_address(tmp_path):
    change = event(6, "change", "rates")
    assert evidence(audit(), tmp_path)(change) == str(tmp_path / "watch-6/report.html")
    public = evidence(audit(public_url="https://audits.example.org/watch/"), tmp_path)
    assert public(change) == "https://audits.example.org/watch/runs/watch-6/report.html"
    gap = Event("watch/x/gaps", "watch", "gap", None, "x", "x", "watch-6")
    assert public(gap) == f"https://audits.example.org/watch/#{anchor('watch/x/gaps')}"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_metrics_are_of_the_last_audit_and_count_what_is_open(watched_month):
    told = exposition(watched_month).decode()
    assert 'truename_alarms_open{acked="no",audit="watch",severity="critical"} 1.0' in told
    assert 'truename_alarms_open{acked="yes",audit="watch",severity="critical"} 1.0' in told
    assert 'truename_alarms_open{acked="no",audit="watch",severity="info"} 0.0' in told
    rates = [line for line in told.splitlines() if line.startswith("truename_audit_rate{")]
    assert len(rates) == 1 and 'target="shop"' in rates[0]  # the other one was not in the last
    ago = [line for line in told.splitlines() if "seconds_since_success{" in line]
    assert len(ago) == 1 and float(ago[0].split()[-1]) > 0
    assert 'truename_audit_failed_ratio{arm="absent",audit="watch",target="shop"} 0.0' in told
