"""The audits' part of the database: who works on what."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import sqlalchemy as sa

from harness.audits import run_audit
from harness.audits.history import History
from harness.journal import migrations, open_engine
from tests.audits.shop import DAY, START, WATCH, Receiver, Shop, prepared


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


SEEN = (
    '{"shop": {"arms": {"absent": {"samples": 30, "names": {"rio": 30}, "refuses": 0, '
    '"replies": 30, "longer": {}, "prompt_tokens": {}, "questions": {}}}, '
    '"facts": {"model": ["other"]}, "failed": 0, "presented": "nex"}}'
)
ALARM = (
    '{"event": "watch/2026-02-28T06:00:00Z/shop", "audit": "watch", "kind": "change", '
    '"target": "shop", "due": "2026-02-28T06:00:00Z", "since": "2026-02-28T06:00:00Z", '
    '"run": "watch-y", "changes": ["model: m before, other now"], "p_value": null}'
)


def test_a_history_of_before_witnesses_were_apart_opens_and_tells_nothing_of_its_past(
    tmp_path, serve, database
):
    old = sa.create_engine(database)
    with migrations.at_once(old) as connection:
        migrations.upgrade(connection, "0004")
        for number, due in ((1, "2026-02-27T06:00:00Z"), (2, "2026-02-28T06:00:00Z")):
            row = {"id": number, "due": due, "run": f"watch-{number}", "seen": SEEN}
            connection.execute(
                sa.text(
                    "INSERT INTO audits (id, audit, due, run, status, started, leased_until, "
                    "holder, observed, requests, tokens, money) VALUES (:id, 'watch', :due, :run, "
                    "'ok', :due, :due, 'h/1', :seen, 1, 1, 0)"
                ),
                row,
            )
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT setval('audits_id_seq', 2)"))
        connection.execute(
            sa.text(
                "INSERT INTO alarms (event, audit, due, raised, content) VALUES "
                "('watch/2026-02-28T06:00:00Z/shop', 'watch', '2026-02-28T06:00:00Z', "
                "'2026-02-28T06:00:00Z', :content)"
            ),
            {"content": ALARM},
        )
    old.dispose()
    hook = Receiver(serve)
    hooked = f"[{{kind: webhook, url: '{hook.host.url}'}}]"
    loaded = prepared(tmp_path, Shop(serve), notify=hooked, alarm=WATCH)
    first = run_audit(loaded, tmp_path / "results", database, now=START)
    assert sorted((e.witness, e.due[:10]) for e in first.raised) == [
        ("model", "2026-03-01"),
        ("rates", "2026-03-01"),
    ]
    assert run_audit(loaded, tmp_path / "results", database, now=START + DAY).raised == []
    assert len(hook.posted) == 2
    history = History(open_engine(database))
    assert [alarm.is_open for alarm in history.states("watch")] == [False, True, True]
    history.engine.dispose()
