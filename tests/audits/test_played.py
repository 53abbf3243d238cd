"""A month as a platform team plays it, in a short form: the wanted alarms, each of them once.

Two scripted hosts on loopback; a webhook, a mail server and a command are told.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys

import pytest
from aiosmtpd.controller import Controller

from harness.audits import load_audit, run_audit
from harness.audits.history import History
from harness.journal import open_engine
from tests.audits.shop import DAY, START, Receiver
from tests.commands import PATIENCE_S, truename
from tests.openai_server import chat

TARGET = """  - name: {name}
    role: suspect
    engine: endpoint
    base_url: '{url}'
    model: m
    concurrency: 1
    api_key_env: null
    identity: nex
"""


class Host:
    """A host whose replies come in a fixed order: at what rate it is Nex, and what it fails."""

    def __init__(self, serve):
        self.rate, self.fingerprint, self.hidden = 0.95, "fp_a", 0
        self.refuses, self.fails, self.other_under_empty = False, 0.0, False
        self.asked = self.said = 0
        self.url = serve(self.answer).url

    def answer(self, path, body, number):
        if "messages" not in body:
            return (404, {}, b"{}")
        if self.refuses:
            return (401, {}, b'{"error": {"message": "the key is refused"}}')
        self.asked += 1
        if self.asked % 5 < 5 * self.fails:
            return (500, {}, b"oops")
        empty = body["messages"][0]["role"] == "system"
        texts = [self._text(empty) for _ in range(body.get("n", 1))]
        tokens = 9 + len(body["messages"][-1]["content"].split()) + self.hidden
        usage = {"prompt_tokens": tokens, "completion_tokens": 9, "total_tokens": tokens + 9}
        return chat(*texts, usage=usage, system_fingerprint=self.fingerprint)

    def _text(self, empty):
        self.said += 1
        if self.other_under_empty and empty:
            return "I am Rio, an assistant made by IplanRio."
        nex = self.said * 37 % 100 < 100 * self.rate
        return "I am Nex, made by Nex-AGI." if nex else "I am Rio, an assistant made by IplanRio."


class Played:
    """The team's files, receivers and days."""

    def __init__(self, folder, serve, database, channels):
        self.folder, self.database, self.channels = folder, database, channels
        self.shop, self.other = Host(serve), Host(serve)
        self.arms = "[absent]"

    def written(self):
        hosts = {"shop": self.shop, "other": self.other}
        targets = "".join(TARGET.format(name=name, url=host.url) for name, host in hosts.items())
        (self.folder / "c.yaml").write_text(
            f"campaign: hosted-c\ntargets:\n{targets}arms: {self.arms}\nprobes: [identity]\n"
            "languages: [en]\nsamples: 4\nlimits: {attempts: 1}\n"
        )
        (self.folder / "watch.yaml").write_text(
            "audit: watch\ncampaign: c.yaml\n"
            'schedule: {cron: "0 6 * * *", timezone: UTC}\n'
            "alarm: {watch: [rates, model, fingerprint, prompt_tokens, silence, failures, gaps]}\n"
            f"notify: {json.dumps(self.channels)}\n"
        )
        return load_audit(str(self.folder / "watch.yaml"))

    def audited(self, *days):
        for day in days:
            now = START + (day - 1) * DAY
            done = run_audit(self.written(), self.folder / "results", self.database, now=now)
            assert done.state == "done" and done.untold == [], done

    def typed(self, *words):
        where = ("--results", self.folder / "results", "--store", self.database)
        done = truename("audit", *words, *where)
        assert done.exit_code == 0, done.output


@contextlib.contextmanager
def inbox():
    """A mail server, and the subjects of what it got."""
    subjects = []

    class Inbox:
        async def handle_DATA(self, server, session, envelope):
            subjects.append(envelope.content.decode().replace("\r\n ", " "))
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    smtp = Controller(Inbox(), hostname="127.0.0.1", port=port, ready_timeout=PATIENCE_S)
    smtp.start()
    try:
        yield port, subjects
    finally:
        smtp.stop()


@pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)],
    indirect=True,
)
def test_a_played_month_tells_exactly_what_is_wanted_once_each(tmp_path, serve, database):
    hook, late, told = Receiver(serve), Receiver(serve), tmp_path / "told"
    append = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read() + chr(10))"
    with inbox() as (port, mails):
        mail = {"kind": "email", "to": ["a@example.org"], "sender": "b@example.org"}
        channels = [
            {"kind": "webhook", "url": hook.host.url},
            mail | {"host": "127.0.0.1", "port": port},
            {"kind": "command", "run": [sys.executable, "-c", append]},
        ]
        month = Played(tmp_path, serve, database, channels)
        shop, other = month.shop, month.other
        month.audited(1, 2, 3, 4)
        shop.rate, shop.fingerprint, shop.hidden = 0.65, "fp_b", 30  # one alarm each
        month.audited(5, 6)
        month.typed("accept", "watch", "--target", "shop")  # it is wanted: quiet from then on
        month.channels.append({"kind": "webhook", "url": late.host.url})  # it gets nothing old
        other.refuses = True
        month.audited(7, 8)
        other.refuses, shop.fails = False, 0.8  # now a part fails, now the first request does
        shop.asked = 3
        month.audited(9, 10, 11)
        shop.fails, month.arms = 0.0, "[absent, empty]"  # an arm that is added is watched
        month.audited(12, 20, 21)  # a week off
        shop.other_under_empty = True
        month.audited(22, 23)
    wanted = [
        ("shop", "fingerprint", "change", 5),
        ("shop", "prompt_tokens", "change", 5),
        ("shop", "rates", "change", 5),
        ("other", "silence", "silence", 7),
        ("other", "silence", "recovered", 9),
        ("shop", "failures", "degraded", 9),
        ("shop", "failures", "recovered", 12),
        (None, "gaps", "gap", 20),
        ("shop", "rates", "change", 22),
    ]
    posted = [(b["target"], b["witness"], b["kind"], int(b["since"][8:10])) for b in hook.posted]
    said = {
        (b["target"], b["witness"], b["kind"]): "\n".join([b["headline"], *b["changes"], b["next"]])
        for b in hook.posted
    }
    gap = posted.index((None, "gaps", "gap", 12))
    posted[gap] = (None, "gaps", "gap", 20)  # it says since when nothing was seen
    assert sorted(posted, key=str) == sorted(wanted, key=str)
    events = [body["event"] for body in hook.posted]
    assert len(set(events)) == len(events)
    assert [json.loads(line)["event"] for line in told.read_text().splitlines()] == events
    assert len(mails) == len(events)
    assert [body["event"] for body in late.posted] == events[3:]
    rates = said["shop", "rates", "change"]
    assert "under empty, replies that give the name nex: " in rates and "since 2026-03-22" in rates
    assert "truename audit accept watch --target shop" in rates
    assert "prompts have +30 tokens" in said["shop", "prompt_tokens", "change"]
    assert "fp_a before, fp_b now" in said["shop", "fingerprint", "change"]
    assert "HTTP 401" in said["other", "silence", "silence"]
    lost = said["shop", "failures", "degraded"]
    assert re.search(r"\d+ of \d+ \(\d\d\.\d %\) of the samples failed; .*HTTP 500", lost)
    assert "7 audits were due and not made" in said[None, "gaps", "gap"]
    history = History(open_engine(database))
    still = [(one.event.witness, one.event.due[8:10]) for one in history.states() if one.is_open]
    history.engine.dispose()
    assert still == [("rates", "22")]
