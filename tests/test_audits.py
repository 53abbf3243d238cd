"""Audits: schedules, drift over a history, alarms to real receivers, budgets, and a month in compressed time, with kills."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xllamacpp
from aiosmtpd.controller import Controller
from click.testing import CliRunner
from conftest import axe
from openai_server import chat

from harness.audits import alarms, drift, watching
from harness.audits import config as audits
from harness.audits.audit import run_audit
from harness.audits.config import Audit, Schedule
from harness.audits.drift import Counts
from harness.audits.history import History, left
from harness.audits.watching import ArmSeen, Entry, Event, Seen, judge
from harness.cli import main
from harness.errors import AuditError
from harness.journal.database import open_engine
from harness.lab.build import build

ROOT = Path(__file__).parent.parent
UTC = datetime.UTC
DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 3, 1, 6, 0, tzinfo=UTC)

CAMPAIGN = """campaign: hosted-c
targets:
  - {{name: shop, role: suspect, engine: endpoint, base_url: '{url}', model: m, concurrency: 4, api_key_env: null, identity: nex, timeout_s: 5}}
arms: [absent]
probes: [identity]
languages: [en]
samples: 2
limits: {{attempts: 1}}
"""
AUDIT = """audit: watch
campaign: c.yaml
schedule: {cron: "0 6 * * *", timezone: UTC}
"""


def truename(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def audit(**fields):
    return Audit.model_validate(
        {"audit": "watch", "campaign": "c", "schedule": {"cron": "0 6 * * *"}} | fields
    )


@pytest.mark.parametrize(
    ("cron", "zone", "now", "due"),
    [
        ("0 6 * * *", "UTC", "2026-03-01T06:00:00+00:00", "2026-03-01T06:00:00+00:00"),
        ("0 6 * * *", "UTC", "2026-03-01T05:59:59+00:00", "2026-02-28T06:00:00+00:00"),
        ("*/15 * * * *", "UTC", "2026-03-01T05:50:00+00:00", "2026-03-01T05:45:00+00:00"),
        (
            "0 9 1 * *",
            "America/Sao_Paulo",
            "2026-03-20T00:00:00+00:00",
            "2026-03-01T12:00:00+00:00",
        ),
        ("30 2 29 2 *", "UTC", "2026-03-20T00:00:00+00:00", None),
    ],
)
def test_when_an_audit_was_due_last(cron, zone, now, due):
    found = Schedule(cron=cron, timezone=zone).due(datetime.datetime.fromisoformat(now))
    assert found == (due and datetime.datetime.fromisoformat(due))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": {"cron": "every day"}}, "is no cron expression"),
        ({"schedule": {"cron": "0 6 * * *", "timezone": "Mars/Base"}}, "there is no time zone"),
        ({"notify": [{"kind": "webhook", "url": "ftp://x"}]}, "an address starts with"),
        ({"baselin": "first"}, "unknown key 'baselin'"),
        ({"campaign": "no-such"}, "no such campaign"),
        ({"targets": ["shpo"]}, "no target 'shpo'"),
        ({"alarm": {"watch": ["weather"]}}, "alarm.watch"),
    ],
)
def test_a_wrong_audit_is_told(tmp_path, change, said):
    import yaml

    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(url="http://127.0.0.1:9/v1"))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(yaml.safe_load(AUDIT) | change))
    done = truename("audit", "run", tmp_path / "a.yaml", "--results", tmp_path / "results")
    assert done.exit_code == 2 and said in done.output and "next:" in done.output


def test_the_test_for_a_change_holds_under_endless_looking_and_finds_a_swap_at_once():
    rng, alarmed = np.random.default_rng(1), 0
    for _ in range(150):
        rates = rng.beta(1, 1, 15)
        hits = [Counts(int(rng.binomial(3, rates).sum()), 45) for _ in range(121)]
        alarmed += any(drift.change(hits[0], hits[1:n]).log_e >= np.log(100) for n in range(2, 122))
    assert alarmed <= 1
    quiet = [Counts(43, 45)] * 20
    swapped = drift.change(quiet[0], [*quiet[1:], Counts(0, 45)])
    assert swapped.log_e > np.log(100) and swapped.since == 19
    assert drift.change(Counts(43, 45), []).log_e == 0.0
    assert drift.change(Counts(0, 0), quiet).log_e == 0.0
    assert drift.adjusted([swapped, drift.Change(0.0, 0)])[1] == 1.0


def seen(name, samples=45, tokens=20, model="m", long=10):
    return {
        "shop": Seen(
            {
                "absent": ArmSeen(
                    samples,
                    {name: samples - 2},
                    1,
                    samples,
                    {"5": long},
                    {f"t{i}": tokens + i for i in range(9)},
                )
            },
            {"model": [model]},
            0,
            "nex",
        )
    }


def entries(*days):
    return [
        Entry(f"2026-03-{n:02d}T06:00:00Z", f"run-{n}", None if found else "down", found or {})
        for n, found in enumerate(days, 1)
    ]


def test_one_change_is_one_alarm_with_everything_that_changed():
    history = entries(*[seen("nex")] * 5, *[seen("rio", tokens=42, model="m2", long=40)] * 5)
    (event,) = judge(audit(), history)
    assert (event.kind, event.target, event.due[8:10], event.since[8:10]) == (
        "change",
        "shop",
        "06",
        "06",
    )
    said = "\n".join(event.changes)
    assert (
        "replies that give the name nex: 43 of 45" in said
        and "give another name" in said
        and "longer than 32" in said
    )
    assert "model: m before, m2 now" in said and "prompts have +22 tokens" in said
    assert event.p_value < 0.01
    assert judge(audit(), history) == judge(audit(), history)


def test_silence_and_recovery_are_told_once_each_and_a_return_is_a_change():
    events = judge(
        audit(),
        entries(
            seen("nex"), seen("nex"), None, None, seen("nex"), seen("rio"), seen("rio"), seen("nex")
        ),
    )
    assert [(e.kind, e.due[8:10]) for e in events] == [
        ("silence", "03"),
        ("recovered", "05"),
        ("change", "06"),
        ("change", "08"),
    ]


def test_what_is_not_asked_for_does_not_alarm_but_is_told_beside_what_does():
    assert (
        judge(audit(alarm={"watch": ["silence"]}), entries(seen("nex"), seen("rio", model="x")))
        == []
    )
    moved = [
        seen("nex"),
        {"shop": Seen(seen("nex")["shop"].arms, {"model": ["m"], "fingerprint": ["b"]}, 0, "nex")},
    ]
    moved[0]["shop"].facts["fingerprint"] = ["a"]
    assert judge(audit(), entries(*moved)) == []
    (event,) = judge(audit(alarm={"watch": ["fingerprint"]}), entries(*moved))
    assert event.changes == ["fingerprint: a before, b now"]


def test_against_the_published_claim_and_against_a_named_run():
    claimed = judge(audit(baseline="claim"), entries(seen("rio"), seen("rio")))
    assert [e.event for e in claimed] == [
        "watch/2026-03-01T06:00:00Z/shop/claim"
    ] and "presented as nex" in claimed[0].changes[0]
    assert judge(audit(baseline="claim"), entries(seen("nex"))) == []
    (against,) = judge(audit(baseline={"run": "r"}), entries(seen("rio")), baseline=seen("nex"))
    assert against.due[8:10] == "01"


class Receiver:
    """Keeps what is posted; fails as often as it is told to."""

    def __init__(self, serve, failures=0):
        self.posted, self.failures = [], failures
        self.host = serve(self.answer)

    def answer(self, path, body, number):
        if self.failures > 0:
            self.failures -= 1
            return (503, {}, b"{}")
        self.posted.append(body)
        return (200, {}, b"{}")


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


@pytest.fixture
def history(database):
    made = History(open_engine(database))
    yield made
    made.engine.dispose()


def test_alarms_reach_real_receivers_signed_retried_and_once(serve, history, tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    hook, slack = Receiver(serve, failures=2), Receiver(serve)
    monkeypatch.setenv("SLACK_URL", slack.host.url)
    mails = []

    class Inbox:
        async def handle_DATA(self, server, session, envelope):
            mails.append((envelope.rcpt_tos, envelope.content.decode()))
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    smtp = Controller(Inbox(), hostname="127.0.0.1", port=port)
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
                    f"import sys; open({str(tmp_path / 'told')!r}, 'a').write(sys.stdin.read() + chr(10))",
                ],
            },
        ]
        wanted = audit(notify=channels)
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
    history.raise_(EVENT)
    assert len(alarms.tell(wanted, history, str)) == 1
    (tmp_path / "up").touch()
    assert alarms.tell(wanted, history, str) == [] and len(ok.posted) == 1


def test_a_variable_that_is_not_set_is_told_before_anything_is_asked(history):
    with pytest.raises(AuditError, match="NO_SUCH_VARIABLE"):
        alarms.check(audit(notify=[{"kind": "slack", "url": "$NO_SUCH_VARIABLE"}]))


def test_an_audit_is_claimed_once_and_taken_over_only_from_the_dead(history, monkeypatch):
    other = History(history.engine)
    assert history.claim("watch", "2026-03-01T06:00:00Z", "r") and not other.claim(
        "watch", "2026-03-01T06:00:00Z", "r"
    )
    assert other.running("watch") == history.holder and other.abandoned("watch") == []
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    history.holder = re.sub(r"\d+$", str(dead.pid), history.holder)
    assert history.claim("watch", "2026-03-02T06:00:00Z", "r2")
    assert other.abandoned("watch") == ["2026-03-02T06:00:00Z"]
    won = [History(history.engine).claim("watch", "2026-03-02T06:00:00Z", "r2") for _ in range(3)]
    assert won == [True, False, False]


def test_a_month_has_a_budget():
    wanted = audit(budget={"month": {"requests": 100, "money": 5}})
    assert left(wanted.budget.month, (40, 0, 1.0)).requests == 60
    assert left(wanted.budget.month, (100, 0, 1.0)) is None
    assert left(wanted.budget.month, (1, 0, 5.0)) is None


class Lab:
    """The lab's donor and suspect, each behind llama.cpp's own server: the suspect's template is the hidden prompt."""

    def __init__(self):
        self.servers = {}
        for model in ("donor", "suspect"):
            parameters = xllamacpp.CommonParams()
            parameters.model.path = str(build(model, "gguf"))
            parameters.n_ctx, parameters.n_parallel, parameters.verbosity, parameters.warmup = (
                4096,
                4,
                -1,
                False,
            )
            self.servers[model] = xllamacpp.Server(parameters)

    def answer(self, hidden, body):
        url = f"{self.servers['suspect' if hidden else 'donor'].listening_address}/v1/chat/completions"
        request = urllib.request.Request(
            url,
            data=msgspec.json.encode(body | {"temperature": 0.7}),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as found:
            return msgspec.json.decode(found.read()) | {"system_fingerprint": "same", "model": "m"}


class Shop:
    """A host that serves one model, then another behind a hidden prompt, goes down, and returns."""

    def __init__(self, serve, lab=None):
        self.day, self.lab, self.wait = 1, lab, 0.0
        self.host = serve(self.answer)

    def answer(self, path, body, number):
        time.sleep(self.wait)
        if 19 <= self.day <= 21:
            return (503, {}, b"down")
        if "messages" not in body:
            return (404, {}, b"{}")
        hidden = 11 <= self.day <= 18
        if self.lab:
            return self.lab.answer(hidden, body)
        tokens = 9 + len(body["messages"][-1]["content"].split()) + 22 * hidden
        said = (
            "I am Rio, an assistant made by IplanRio." if hidden else "I am Nex, made by Nex-AGI."
        )
        return chat(
            *[said] * body.get("n", 1),
            usage={"prompt_tokens": tokens, "completion_tokens": 9, "total_tokens": tokens + 9},
        )


EXPECTED = [("change", "11"), ("silence", "19"), ("recovered", "22"), ("change", "22")]


def prepared(tmp_path, shop, **fields):
    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(url=shop.host.url))
    (tmp_path / "watch.yaml").write_text(
        AUDIT + "".join(f"{name}: {value}\n" for name, value in fields.items())
    )
    return audits.load(str(tmp_path / "watch.yaml"))


def told(history):
    return [(e.kind, e.due[8:10]) for e in history.alarms("watch")]


def test_a_month_raises_just_the_alarms_that_it_should_and_every_view_tells_the_same(
    tmp_path, serve, database, watched
):
    lab = Lab() if database.startswith("sqlite") else None
    shop, hook = Shop(serve, lab), Receiver(serve)
    loaded = prepared(tmp_path, shop, notify=f"[{{kind: webhook, url: '{hook.host.url}'}}]")
    results = tmp_path / "results"
    for day in range(1, 31):
        shop.day = day
        now = START + (day - 1) * DAY
        outcome = run_audit(loaded, results, database, now=now)
        assert outcome.state == ("silent" if 19 <= day <= 21 else "done"), (day, outcome)
        assert run_audit(loaded, results, database, now=now + DAY / 2).state == "nothing due"
    history = History(open_engine(database))
    assert told(history) == EXPECTED
    assert [(e["kind"], e["due"][8:10]) for e in hook.posted] == EXPECTED
    change = history.alarms("watch")[0]
    assert any("name nex: " in c for c in change.changes) and any(
        f"{25 if lab else 22:+d} tokens" in c for c in change.changes
    )
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
        text.count('class="box alarm"') == len(EXPECTED)
        and "watch-20260311T060000Z/report.html" in text
    )
    tab = watched((results / "index.html").as_uri())
    assert tab.trouble == [] and tab.requests == [(results / "index.html").as_uri()]
    assert tab.locator(".chart svg").count() == 1 and tab.locator(".alarm").count() == len(EXPECTED)
    assert axe(tab) == []
    point = tab.locator("svg a[href$='watch-20260311T060000Z/report.html']").first
    point.click()
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
    assert "of 30 audits" in forgotten.output
    assert (results / "watch-20260311T060000Z/tally.csv").is_file() and not (
        results / "watch-20260311T060000Z/samples.csv"
    ).exists()
    assert told(history) == EXPECTED and len(history.rows("watch")) == 30
    history.engine.dispose()


def test_killed_at_random_moments_the_month_is_the_same(tmp_path, serve, database):
    shop, hook = Shop(serve), Receiver(serve)
    prepared(tmp_path, shop, notify=f"[{{kind: webhook, url: '{hook.host.url}'}}]")
    rng, kills = random.Random(3), 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for day in (1, 2, 10, 11, 12, 19, 20, 22, 30):
        shop.day = day
        at = (START + (day - 1) * DAY).isoformat()
        command = [
            sys.executable,
            "-m",
            "harness.cli",
            "audit",
            "run",
            str(tmp_path / "watch.yaml"),
            "--at",
            at,
            "--results",
            str(tmp_path / "results"),
            "--store",
            database,
        ]
        for _ in range(2):
            running = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                running.wait(rng.uniform(0.5, 1.6))
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                kills += 1
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode in (0, 3), done.stderr
    history = History(open_engine(database))
    assert kills >= 5
    assert told(history) == EXPECTED
    assert [row["status"] for row in history.rows("watch")].count("running") == 0
    posted = [e["event"] for e in hook.posted]
    assert sorted(set(posted)) == sorted(e.event for e in history.alarms("watch"))
    history.engine.dispose()


def get(url, **headers):
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def serving(tmp_path, database, *arguments, **more):
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "audit",
        "serve",
        str(tmp_path / "watch.yaml"),
        "--results",
        str(tmp_path / "results"),
        "--store",
        database,
        *arguments,
    ]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = running.stdout.readline()
    return running, said, (re.search(r"http://\S+", said) or [None])[0]


def until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.1)


def test_two_servers_run_what_was_missed_once_show_it_and_go_quietly(tmp_path, serve, database):
    shop = Shop(serve)
    prepared(tmp_path, shop)
    servers = [serving(tmp_path, database, "--http", "127.0.0.1:0") for _ in range(2)]
    try:
        url = servers[0][2]
        assert get(f"{url}/health") == (200, "ok\n")
        history = History(open_engine(database))
        until(lambda: [row["status"] for row in history.rows("watch")] == ["ok"])
        time.sleep(1)
        (row,) = history.rows("watch")
        history.engine.dispose()
        assert (
            'truename_audit_scored_samples{arm="absent",audit="watch",target="shop"} 30.0'
            in get(f"{url}/metrics")[1]
        )
        until(lambda: row["run"] in get(url)[1], 20)
        assert "truename report" in get(f"{url}/runs/{row['run']}/report.html")[1]
        for path in (
            "/runs/../audits.sqlite",
            "/runs/%2e%2e%2faudits.sqlite/report.html",
            "/etc/passwd",
            "/runs/x/report.html",
        ):
            assert get(url + path)[0] == 404
    finally:
        for running, _, _ in servers:
            running.send_signal(signal.SIGTERM)
        for running, _, _ in servers:
            said, problems = running.communicate(timeout=60)
            assert running.returncode == 0 and "what was under way is saved" in said, problems


def test_a_server_that_is_killed_with_all_its_work_finishes_it_when_it_is_back(
    tmp_path, serve, database
):
    shop = Shop(serve)
    prepared(tmp_path, shop)
    history = History(open_engine(database))
    for again in range(3):
        shop.wait = 0.0 if again == 2 else 0.4
        running, _, _ = serving(tmp_path, database)
        if again < 2:
            until(lambda: history.running("watch") is not None)
            time.sleep(1.5)
            worker = int(history.running("watch").rpartition("/")[2])
            running.kill()
            os.kill(worker, signal.SIGKILL)
        else:
            until(lambda: [row["status"] for row in history.rows("watch")] == ["ok"], 150)
            running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    (entry,) = history.entries("watch")
    assert entry.seen["shop"].arms["absent"].samples == 30 and told(history) == []
    history.engine.dispose()


def test_others_reach_the_page_with_a_token_only(tmp_path, serve, database):
    prepared(tmp_path, Shop(serve))
    refused = truename(
        "audit",
        "serve",
        tmp_path / "watch.yaml",
        "--results",
        tmp_path / "results",
        "--http",
        "0.0.0.0:0",
    )
    assert refused.exit_code == 2 and "needs a token" in refused.output
    running, _, url = serving(
        tmp_path, database, "--http", "127.0.0.1:0", "--token-env", "PAGE_TOKEN", PAGE_TOKEN="t0ken"
    )
    try:
        assert (
            get(url)[0] == 401
            and get(f"{url}/metrics")[0] == 401
            and get(f"{url}/health")[0] == 200
        )
        assert (
            get(f"{url}/?token=t0ken")[0] == 200
            and get(url, Authorization="Bearer t0ken")[0] == 200
            and get(url, Authorization="Bearer x")[0] == 401
        )
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)


def test_a_fifth_of_the_traffic_swapped_is_found():
    rng = np.random.default_rng(2)
    delays = []
    for _ in range(60):
        later = [Counts(int(rng.binomial(45, 0.95)), 45) for _ in range(10)]
        delay = 0
        while delay < 40:
            delay += 1
            later.append(Counts(int(rng.binomial(45, 0.76)), 45))
            if drift.change(Counts(43, 45), later).log_e >= np.log(100):
                break
        delays.append(delay)
    assert np.percentile(delays, 95) <= 10 and watching.FAMILY >= 10


def test_threads_do_not_disturb_each_other(history):
    won = []
    workers = [
        threading.Thread(
            target=lambda: won.append(
                History(history.engine).claim("watch", "2026-03-03T06:00:00Z", "r")
            )
        )
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(won) == [False] * 7 + [True]


def test_the_examples_can_be_used(root, monkeypatch):
    import configparser

    import yaml

    folder = root / "docs/examples"
    loaded = audits.load(str(folder / "audit.yaml"))
    assert (
        loaded.audit.notify[0].kind == "webhook"
        and loaded.campaign.campaign.targets[0].name == "hosted"
    )
    for name, section, key in (
        ("truename-audit.service", "Service", "ExecStart"),
        ("truename-audit.timer", "Timer", "OnCalendar"),
    ):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str
        unit.read_string((folder / name).read_text())
        assert unit[section][key]
    job = yaml.safe_load((folder / "cronjob.yaml").read_text())
    assert (job["kind"], job["spec"]["concurrencyPolicy"]) == ("CronJob", "Forbid")
    assert job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"][
        :3
    ] == ["truename", "audit", "run"]
    steps = yaml.safe_load((folder / "ci.yaml").read_text())["jobs"]["audit"]["steps"]
    assert any("truename audit run" in step.get("run", "") for step in steps)
    line = next(
        line for line in (folder / "crontab").read_text().splitlines() if not line.startswith("#")
    )
    Schedule(cron=" ".join(line.split()[:5]))
    commands = [
        job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"][1:],
        ["audit", "run", "shop", "--force", "--fail-on", "alarm"],
        line.split("bin/truename ")[1].split(" >>")[0].split(),
    ]
    for words in commands:  # every option that the examples type exists
        group, name, *rest = words
        known = {
            option
            for parameter in main.commands[group].commands[name].params
            for option in parameter.opts
        }
        assert {word for word in rest if word.startswith("--")} <= known


def test_systemd_takes_the_units(root):
    import shutil

    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(["systemd-analyze", "calendar", "*:0/15"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_months_budget_is_a_silence_that_is_told(tmp_path, serve):
    loaded = prepared(tmp_path, Shop(serve), budget="{month: {requests: 30}}")
    states = [run_audit(loaded, tmp_path / "results", None, now=START + n * DAY) for n in range(3)]
    assert [s.state for s in states] == ["done", "done", "silent"]
    assert (
        states[1].reason.startswith("the budget is reached")
        and states[2].reason == "the month's budget is used up"
    )
    assert [e.kind for e in states[2].raised] == ["silence"]
    assert run_audit(loaded, tmp_path / "results", None, now=START + 31 * DAY).state == "done"
