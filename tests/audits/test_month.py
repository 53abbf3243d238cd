"""A month of audits in compressed time, with kills."""

from __future__ import annotations

import random
import re
import signal

import pytest

from harness.audits import run_audit
from harness.audits.history import History
from harness.journal import open_engine
from tests.audits.shop import DAY, EXPECTED, START, WATCH, Lab, Receiver, Shop, prepared, told
from tests.browser import axe, chromium
from tests.commands import Moment, truename, typed, until

#: Days on which something happens, and quiet ones beside them.
SOME_DAYS = (1, 2, 6, 10, 11, 12, 18, 19, 20, 21, 22, 30)


@pytest.mark.parametrize(
    "days", [SOME_DAYS, pytest.param(range(1, 31), marks=pytest.mark.slow)], ids=["some", "every"]
)
def test_a_month_raises_just_the_alarms_that_it_should_and_every_view_tells_the_same(
    tmp_path, serve, database, days
):
    lab = Lab() if database.startswith("sqlite") else None
    shop, hook = Shop(serve, lab), Receiver(serve)
    hooked = f"[{{kind: webhook, url: '{hook.host.url}'}}]"
    loaded = prepared(tmp_path, shop, notify=hooked, alarm=WATCH)
    results = tmp_path / "results"
    for day in days:
        shop.day = day
        now = START + (day - 1) * DAY
        outcome = run_audit(loaded, results, database, now=now)
        assert outcome.state == ("silent" if 19 <= day <= 21 else "done"), (day, outcome)
        assert run_audit(loaded, results, database, now=now + DAY / 2).state == "nothing due"
    history = History(open_engine(database))
    assert told(history) == EXPECTED
    assert [(e["kind"], e["due"][8:10], e["witness"]) for e in hook.posted] == EXPECTED
    change, prompts, down, *_ = history.alarms("watch")
    assert any("name nex: " in c for c in change.changes)
    assert f"{25 if lab else 22:+d} tokens" in prompts.changes[0]
    assert down.target == "shop" and "HTTP 503" in down.changes[0]
    assert not any(alarm.is_open for alarm in history.states("watch"))
    status = truename("audit", "status", "--results", results, "--store", database)
    assert (
        status.exit_code == 0
        and "watch: shop has changed since 2026-03-11" in status.output
        and re.search(r"shop absent: nex (2[5-9]|30) of 30", status.output)
    )
    page = truename("audit", "page", "--results", results, "--store", database)
    assert page.exit_code == 0
    text = (results / "index.html").read_text("utf-8")
    assert (
        text.count('class="box alarm over"') == len(EXPECTED)
        and "watch-20260311T060000Z/report.html" in text
    )
    with chromium() as watched:
        tab = watched((results / "index.html").as_uri())
        assert tab.trouble == [] and tab.requests == [(results / "index.html").as_uri()]
        assert tab.locator(".chart svg").count() == 1
        assert tab.locator(".alarm").count() == len(EXPECTED)
        assert axe(tab) == []
        assert tab.locator(".alarm a[href$='watch-20260311T060000Z/report.html']").count() == 2
        tab.locator("svg a[href$='watch-20260311T060000Z/report.html']").first.click()
        assert "truename report" in tab.inner_text("header")
    metrics = truename("audit", "metrics", "--results", results, "--store", database).output
    assert (
        'truename_alarms{audit="watch",kind="change"} 2.0' in metrics
        and 'truename_audit_rate{arm="absent",audit="watch",identity="nex",target="shop"}'
        in metrics
    )
    assert (results / "watch-20260311T060000Z/tally.csv").is_file()
    forgotten = truename(
        "audit", "forget", "--older-than", "0", "--results", results, "--store", database
    )
    resting = {"watch-20260311T060000Z", "watch-20260319T060000Z", "watch-20260322T060000Z"}
    assert f"of {len(days) - len(resting)} audits" in forgotten.output
    assert all(name in forgotten.output for name in resting)
    assert (results / "watch-20260311T060000Z/report.html").is_file()
    words = ("audit", "forget", "--older-than", "0", "--with-evidence")
    forgotten = truename(*words, "--results", results, "--store", database)
    assert f"of {len(days)} audits" in forgotten.output
    assert (results / "watch-20260311T060000Z/tally.csv").is_file() and not (
        results / "watch-20260311T060000Z/samples.csv"
    ).exists()
    assert told(history) == EXPECTED and len(history.rows("watch")) == len(days)
    history.engine.dispose()


def test_killed_at_eighteen_moments_the_month_is_the_same(tmp_path, serve, database):
    """Before some statement of the database, or while the host holds an answer."""
    shop, hook = Shop(serve), Receiver(serve)
    hooked = f"[{{kind: webhook, url: '{hook.host.url}'}}]"
    prepared(tmp_path, shop, notify=hooked, alarm=WATCH)
    draw, killed = random.Random(3), 0
    for day in (1, 2, 10, 11, 12, 19, 20, 22, 30):
        shop.day = day
        at = (START + (day - 1) * DAY).isoformat()
        words = ["audit", "run", "watch.yaml", "--at", at, "--results", "results"]
        words += ["--store", database]
        # a host that is down may be asked but once; a day that is gone on with has 23 statements or
        # more, though all its samples be committed at once
        requests, statements = (1, 15) if shop.down else (18, 20)
        shop.hold(draw.randrange(requests))
        with typed(*words, folder=tmp_path) as running:
            until(lambda: shop.holds or not running.running)
            killed += running.running
        shop.let_go()
        with typed(*words, folder=tmp_path, at=Moment(draw.randint(1, statements))) as running:
            killed += running.ended() == -signal.SIGKILL
        done = truename(*words, folder=tmp_path)
        assert done.exit_code in (0, 3), done.stderr
    history = History(open_engine(database))
    assert killed == 18
    assert told(history) == EXPECTED
    assert [row["status"] for row in history.rows("watch")].count("running") == 0
    posted = [e["event"] for e in hook.posted]
    assert sorted(set(posted)) == sorted(e.event for e in history.alarms("watch"))
    history.engine.dispose()


def test_the_months_budget_is_warned_of_and_told_once_and_no_outage(tmp_path, serve):
    loaded = prepared(tmp_path, Shop(serve), budget="{month: {requests: 30}}")
    states = [run_audit(loaded, tmp_path / "results", None, now=START + n * DAY) for n in range(3)]
    assert [s.state for s in states] == ["done", "done", "silent"]
    assert (
        states[1].reason.startswith("the budget is reached")
        and states[2].reason == "the month's budget is used up"
    )
    assert [(e.kind, e.severity) for s in states for e in s.raised] == [
        ("budget", "info"),
        ("budget", "critical"),
    ]
    assert run_audit(loaded, tmp_path / "results", None, now=START + 31 * DAY).state == "done"
