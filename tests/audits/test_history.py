"""The audits' part of the database: who works on what."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

from harness.audits.history import History


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
