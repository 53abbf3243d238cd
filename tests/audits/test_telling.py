"""Who is told what, and when: once, nothing of the past, and nothing that is not wanted."""

from __future__ import annotations

import datetime
import threading

import pytest

from harness.audits import alarms
from harness.audits.events import Event
from harness.audits.history import History
from harness.audits.instants import utcnow
from tests.audits.shop import Receiver, audit
from tests.commands import PATIENCE_S, until

HOUR = datetime.timedelta(hours=1)


def event(day, kind="change", target="shop", severity="critical", closes=()):
    due = f"2026-03-{day:02}T06:00:00Z"
    return Event(
        *(f"watch/{due}/{target}/{kind}", "watch", kind, target, due, due, "watch-x"),
        witness="rates",
        severity=severity,
        closes=list(closes),
    )


def hooked(*hosts, alarm=None, **more):
    """An audit that tells webhooks."""
    channels = [{"kind": "webhook", "url": host.url} | more for host in hosts]
    return audit(notify=channels, alarm=alarm or {})


def days(receiver):
    return [int(body["due"][8:10]) for body in receiver.posted]


def test_called_again_while_a_webhook_takes_its_time_it_tells_once(serve, history):
    go, posted = threading.Event(), []

    def slow(path, body, number):
        posted.append(body)
        go.wait(PATIENCE_S)
        return (200, {}, b"{}")

    wanted = hooked(serve(slow))
    alarms.meet(wanted, history)
    history.raise_(event(1))
    first = threading.Thread(target=alarms.tell, args=(wanted, history, str))
    first.start()
    until(lambda: posted)
    again = History(history.engine)
    again.holder = history.holder  # a process that is alive
    assert alarms.tell(wanted, again, str) == []
    go.set()
    first.join(PATIENCE_S)
    assert alarms.tell(wanted, again, str) == [] and len(posted) == 1


def test_a_webhook_that_never_answers_keeps_nobody_waiting(serve, history, monkeypatch):
    monkeypatch.setattr(alarms, "LIMIT_S", 3.0)
    never = threading.Event()

    def held(path, body, number):
        never.wait(PATIENCE_S)
        return (200, {}, b"{}")

    dead, alive = serve(held), Receiver(serve)
    wanted = hooked(dead, alive.host)
    alarms.meet(wanted, history)
    for day in (1, 2, 3):
        history.raise_(event(day))
    problems = alarms.tell(wanted, history, str)
    never.set()
    assert days(alive) == [1, 2, 3] and len(dead.seen) == 1
    assert problems and all("nothing within 3 s" in problem for problem in problems)


def test_a_channel_that_is_added_or_gets_a_secret_is_told_nothing_old(serve, history, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    one, other = Receiver(serve), Receiver(serve)
    wanted = hooked(one.host)
    alarms.meet(wanted, history)
    history.raise_(event(1))
    alarms.tell(wanted, history, str)
    both = hooked(one.host, other.host, secret_env="HOOK_SECRET")
    alarms.tell(both, history, str)
    assert (days(one), days(other)) == ([1], [])
    history.raise_(event(2))
    alarms.tell(both, history, str)
    assert (days(one), days(other)) == ([1, 2], [2])


def test_alarms_go_where_their_route_leads_and_nowhere_else_later(serve, history):
    all_, grave, others = Receiver(serve), Receiver(serve), Receiver(serve)
    routes = ({}, {"severity": ["critical"]}, {"targets": ["other"]})
    hosts = (all_.host, grave.host, others.host)
    channels = [
        {"kind": "webhook", "url": host.url, "alarms": route}
        for host, route in zip(hosts, routes, strict=True)
    ]
    wanted = audit(notify=channels)
    alarms.meet(wanted, history)
    history.raise_(event(1))
    history.raise_(event(2, severity="warning"))
    history.raise_(event(3, target="other", severity="warning"))
    alarms.tell(wanted, history, str)
    assert (days(all_), days(grave), days(others)) == ([1, 2, 3], [1], [3])
    alarms.tell(hooked(*hosts), history, str)  # the routes are gone: nothing old is told
    assert (days(all_), days(grave), days(others)) == ([1, 2, 3], [1], [3])


@pytest.mark.parametrize("over", [True, False])
def test_what_is_open_when_a_silence_ends_is_told_then_and_what_is_over_is_not(
    serve, history, over
):
    hook, now = Receiver(serve), utcnow()
    wanted = hooked(hook.host)
    alarms.meet(wanted, history)
    history.silence("watch", "shop", now + HOUR)
    history.raise_(event(1))
    history.raise_(event(2, target="other"))
    alarms.tell(wanted, history, str, now)
    assert days(hook) == [2]
    if over:
        history.raise_(event(3, "returned", closes=[event(1).event]))
        alarms.tell(wanted, history, str, now)
    alarms.tell(wanted, history, str, now + 2 * HOUR)
    assert days(hook) == ([2] if over else [2, 1])


def test_nobody_is_told_while_a_maintenance_window_lasts(serve, history):
    hook = Receiver(serve)
    window = {"cron": "0 2 * * 0", "hours": 2}
    wanted = audit(notify=[{"kind": "webhook", "url": hook.host.url}], maintenance=[window])
    alarms.meet(wanted, history)
    history.raise_(event(1))
    sunday = datetime.datetime(2026, 3, 1, 3, tzinfo=datetime.UTC)
    alarms.tell(wanted, history, str, sunday)
    assert days(hook) == []
    alarms.tell(wanted, history, str, sunday + 2 * HOUR)
    assert days(hook) == [1]


def test_what_is_open_is_told_again_until_somebody_knows(serve, history):
    hook, now = Receiver(serve), utcnow()
    wanted = hooked(hook.host, alarm={"remind_h": 24})
    alarms.meet(wanted, history)
    history.raise_(event(1))
    for hours in (0, 1, 25, 26, 50):
        alarms.tell(wanted, history, str, now + hours * HOUR)
    assert [body.get("reminder") for body in hook.posted] == [None, 1, 2]
    history.acknowledge("watch", [event(1).event])
    alarms.tell(wanted, history, str, now + 100 * HOUR)
    assert len(hook.posted) == 3


def test_an_alarm_is_told_in_the_order_in_which_it_was_raised_whatever_the_clock_said(
    serve, history
):
    hook = Receiver(serve)
    wanted = hooked(hook.host)
    alarms.meet(wanted, history)
    for day in (20, 3, 11):
        history.raise_(event(day))
    alarms.tell(wanted, history, str)
    assert days(hook) == [20, 3, 11]
