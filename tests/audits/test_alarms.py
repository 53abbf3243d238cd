"""Alarms reach real receivers: signed, tried again, once."""

from __future__ import annotations

import hashlib
import hmac
import socket
import sys

import msgspec
import pytest
from aiosmtpd.controller import Controller

from harness.audits import alarms
from harness.audits.events import Event
from harness.errors import AuditError
from tests.audits.shop import Receiver, audit
from tests.commands import PATIENCE_S

EVENT = Event(
    "watch/2026-03-06T06:00:00Z/shop",
    "watch",
    "change",
    "shop",
    "2026-03-06T06:00:00Z",
    "2026-03-05T06:00:00Z",
    "watch-x",
    ["under absent, ..."],
    1e-9,
)


def raised(wanted, history, event=EVENT):
    """An audit whose channels are known when something is raised."""
    alarms.meet(wanted, history)
    assert history.raise_(event)
    return wanted


def test_alarms_reach_real_receivers_signed_retried_and_once(serve, history, tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    hook, slack = Receiver(serve, failures=2), Receiver(serve)
    monkeypatch.setenv("SLACK_URL", slack.host.url)
    mails, told = [], str(tmp_path / "told")

    class Inbox:
        async def handle_DATA(self, server, session, envelope):
            mails.append((envelope.rcpt_tos, envelope.content.decode()))
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    smtp = Controller(Inbox(), hostname="127.0.0.1", port=port, ready_timeout=PATIENCE_S)
    smtp.start()
    try:
        channels = [
            {"kind": "webhook", "url": hook.host.url, "secret_env": "HOOK_SECRET"},
            {"kind": "slack", "url": "$SLACK_URL"},
            {
                "kind": "email",
                "to": ["a@example.org", "b@example.org"],
                "sender": "truename@example.org",
                "host": "127.0.0.1",
                "port": port,
            },
            {
                "kind": "command",
                "run": [
                    sys.executable,
                    "-c",
                    f"import sys; open({told!r}, 'a').write(sys.stdin.read() + chr(10))",
                ],
            },
        ]
        wanted = audit(notify=channels)
        alarms.meet(wanted, history)
        assert history.raise_(EVENT) and not history.raise_(EVENT)
        for _ in range(3):
            assert alarms.tell(wanted, history, lambda event: "results/watch-x/report.html") == []
    finally:
        smtp.stop()
    (posted,) = hook.posted
    assert (
        posted["event"] == EVENT.event
        and posted["evidence"].endswith("report.html")
        and posted["since"] == EVENT.since
    )
    _, body, headers = hook.host.seen[-1]
    signed = hmac.new(b"s3cret", msgspec.json.encode(body), hashlib.sha256).hexdigest()
    assert (
        headers["x-truename-signature"] == f"sha256={signed}"
        and headers["x-truename-event"] == EVENT.event
    )
    assert len(hook.host.seen) == 3
    assert (
        "watch: shop has changed since 2026-03-05" in slack.posted[0]["text"]
        and len(slack.posted) == 1
    )
    assert (
        len(mails) == 1
        and mails[0][0] == ["a@example.org", "b@example.org"]
        and "Subject: watch: shop has changed" in mails[0][1]
    )
    assert len((tmp_path / "told").read_text().splitlines()) == 1


def test_a_channel_that_fails_is_tried_again_next_time_and_the_others_are_not(
    serve, history, tmp_path
):
    ok = Receiver(serve)
    wanted = audit(
        notify=[
            {
                "kind": "command",
                "run": [
                    sys.executable,
                    "-c",
                    f"import os, sys; sys.exit(not os.path.exists({str(tmp_path / 'up')!r}))",
                ],
            },
            {"kind": "slack", "url": ok.host.url},
        ]
    )
    raised(wanted, history)
    assert len(alarms.tell(wanted, history, str)) == 1
    (tmp_path / "up").touch()
    assert alarms.tell(wanted, history, str) == [] and len(ok.posted) == 1


def test_a_variable_that_is_not_set_is_told_before_anything_is_asked(history):
    with pytest.raises(AuditError, match="NO_SUCH_VARIABLE"):
        alarms.check(audit(notify=[{"kind": "slack", "url": "$NO_SUCH_VARIABLE"}]))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_receiver_that_redirects_leads_nowhere_and_its_address_is_not_told(
    serve, history, status, monkeypatch
):
    inside = Receiver(serve)
    away = serve(lambda path, body, number: (status, {"Location": inside.host.url}, b""))
    monkeypatch.setenv("HOOK", f"{away.url}/services/T0-secret-path")
    wanted = raised(audit(notify=[{"kind": "slack", "url": "$HOOK"}]), history)
    (problem,) = alarms.tell(wanted, history, str)
    assert inside.host.seen == [] and f"HTTP {status}" in problem and "T0-secret" not in problem


def test_a_receiver_that_is_not_there_is_told_without_what_is_secret_of_it(history, monkeypatch):
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/services/T0-secret-path")
    monkeypatch.setattr(alarms, "ATTEMPTS", 1)
    wanted = raised(audit(notify=[{"kind": "slack", "url": "$HOOK"}]), history)
    (problem,) = alarms.tell(wanted, history, str)
    assert "127.0.0.1" in problem and "T0-secret" not in problem


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://", "http://[", "gopher://x/"])
def test_only_an_address_of_http_is_asked(history, monkeypatch, address):
    monkeypatch.setenv("HOOK", address)
    wanted = audit(notify=[{"kind": "slack", "url": "$HOOK"}])
    with pytest.raises(AuditError, match="holds no address"):
        alarms.check(wanted)
    raised(wanted, history)
    assert "none of HTTP" in alarms.tell(wanted, history, str)[0]


def test_what_a_command_writes_is_read_within_bounds(history):
    endless = (
        "import sys; sys.stdout.write('o' * 10**7); sys.stderr.write('e' * 10**7); sys.exit(7)"
    )
    wanted = audit(notify=[{"kind": "command", "run": [sys.executable, "-c", endless]}])
    raised(wanted, history)
    (problem,) = alarms.tell(wanted, history, str)
    assert "exit code 7: eee" in problem and len(problem) < 300
