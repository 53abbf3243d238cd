"""Whole runs under faults: signals, kills, full disks, locked databases, mixed faults at scale; nothing is lost or counted twice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from misbehaving import Misbehaving, good, http
from openai_server import chat

ROOT = Path(__file__).parent.parent
KEY = "sk-planted-0123456789abcdef"


def campaign(folder, url, samples=40, **fields):
    """A campaign of one endpoint; ``fields`` go into the target's entry."""
    entry = {"concurrency": 8, "samples_per_request": 4, "api_key_env": "null"} | fields
    said = ", ".join(f"{name}: {value}" for name, value in entry.items())
    folder.mkdir(exist_ok=True)
    (folder / "c.yaml").write_text(
        f"campaign: c\ntargets:\n  - {{name: t, role: suspect, engine: endpoint, base_url: '{url}', model: m, {said}}}\narms: [absent]\nprobes: [identity]\nlanguages: [en]\nsamples: {samples}\n"
        "sampling: {max_tokens: 32}\nlimits: {attempts: 8, finish_s: 20}\n"
    )
    return folder


def command(*arguments):
    return [sys.executable, "-m", "harness.cli", *map(str, arguments)]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def start(folder, *arguments, **options):
    return subprocess.Popen(
        command("run", "c.yaml", *arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def whole(folder, *arguments, **more):
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=600,
    )


def tables(folder):
    """The bytes of both tables; attempts are what faults may change."""
    done = whole(folder, "tally", "c")
    assert done.returncode == 0, done.stderr
    samples = pd.read_csv(folder / "results/c/samples.csv", dtype=str, keep_default_na=False)
    assert not samples.duplicated(["trial", "sample"]).any()
    return (folder / "results/c/tally.csv").read_bytes(), samples.drop(columns="attempts").to_csv(
        index=False
    )


def rows(folder):
    """Samples in the journal so far."""
    try:
        with sqlite3.connect(f"file:{folder}/results/c/journal.sqlite?mode=ro", uri=True) as db:
            return db.execute("SELECT coalesce(sum(samples), 0) FROM responses").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.02)


def underway(folder, samples):
    """A run that has more than some samples in its journal."""
    running = start(folder)
    until(lambda: rows(folder) > samples)
    return running


def ended(running):
    assert running.wait(60) == 0
    running.communicate()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The tables of a run that nothing disturbs: 600 samples."""
    quick = Misbehaving(lambda number, body: None)
    folder = campaign(tmp_path_factory.mktemp("unbroken"), quick.url)
    assert whole(folder, "run", "c.yaml").returncode == 0
    quick.close()
    return tables(folder)


def slow(seconds):
    return lambda number, body: [seconds, good(body)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_requests_in_flight_finish_and_the_run_goes_on_later(
    tmp_path, host, unbroken, number
):
    served = host(slow(0.1))
    running = underway(campaign(tmp_path, served.url), 100)
    running.send_signal(number)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 3
    assert "to go on: truename run c.yaml --run c" in said
    answered = served.chats
    assert rows(tmp_path) >= 4 * (answered - 8)  # all but the preflight's handful
    assert whole(tmp_path, "run", "c.yaml").returncode == 0
    assert tables(tmp_path) == unbroken


def test_a_second_signal_saves_what_came_and_goes(tmp_path, host):
    served = host(lambda number, body: [good(body)] if number < 30 else [60.0])
    running = underway(campaign(tmp_path, served.url), 60)
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert running.returncode == 3 and "stopped at once" in said
    assert rows(tmp_path) > 60


def test_requests_that_never_finish_are_given_up_after_a_while(tmp_path, host):
    served = host(lambda number, body: [good(body)] if number < 30 else [60.0])
    folder = campaign(tmp_path, served.url)
    (folder / "c.yaml").write_text(
        (folder / "c.yaml").read_text().replace("finish_s: 20", "finish_s: 1")
    )
    running = underway(folder, 60)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=15)
    assert running.returncode == 3 and "to go on" in said


def test_killed_at_fifty_moments_the_tables_are_those_of_an_unbroken_run(tmp_path, host, unbroken):
    served = host(slow(0.15))
    folder = campaign(tmp_path, served.url, concurrency=1)
    rng, kills = random.Random(5), 0
    while kills < 50:
        running = start(folder)
        try:
            running.wait(rng.uniform(0.35, 1.1))
            break
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            kills += 1
    served.script = lambda number, body: None
    running.communicate()
    assert whole(folder, "run", "c.yaml").returncode == 0
    assert kills >= 30
    assert tables(folder) == unbroken


def test_a_full_disk_is_told_and_loses_nothing(tmp_path, host, unbroken):
    def after_the_first_are_stored(number, body):
        until = time.monotonic() + 30
        while (
            number > 40 and not rows(folder) and time.monotonic() < until
        ):  # on a busy machine all could come before the first transaction
            time.sleep(0.01)

    served = host(after_the_first_are_stored)
    folder = campaign(tmp_path, served.url)
    limit = 400_000
    running = start(
        folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    _, told = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "the journal cannot be written" in told and "next:" in told and "Traceback" not in told
    assert 0 < rows(folder) < 600
    assert whole(folder, "run", "c.yaml").returncode == 0
    assert tables(folder) == unbroken


def test_a_database_that_another_process_holds_is_waited_for(tmp_path, host, unbroken):
    served = host(slow(0.05))
    folder = campaign(tmp_path, served.url)
    running = underway(folder, 40)
    other = sqlite3.connect(folder / "results/c/journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    held = rows(folder)
    time.sleep(2)
    assert rows(folder) == held
    other.execute("ROLLBACK")
    other.close()
    ended(running)
    assert tables(folder) == unbroken


def test_two_processes_cannot_sample_one_run(tmp_path, host, unbroken):
    served = host(slow(0.1))
    folder = campaign(tmp_path, served.url)
    first = underway(folder, 20)
    second = whole(folder, "run", "c.yaml")
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr and "next:" in second.stderr
    ended(first)
    assert tables(folder) == unbroken


def test_the_order_of_arrival_changes_nothing(tmp_path, host, unbroken):
    def jittered(number, body):
        return [random.uniform(0, 0.05), good(body)]

    served = host(jittered)
    for name, concurrency in (("one", 1), ("many", 64), ("own", "null")):
        folder = campaign(tmp_path / name, served.url, concurrency=concurrency)
        served.script = jittered if concurrency != 1 else lambda number, body: None
        assert whole(folder, "run", "c.yaml").returncode == 0
        assert tables(folder) == unbroken


def test_a_host_that_recovers_closes_the_breaker_and_owes_nothing(tmp_path, host, unbroken):
    ill = threading.Event()

    def script(number, body):
        if number == 40:
            ill.set()
            threading.Timer(3, ill.clear).start()
        return [http(500, b"down")] if ill.is_set() else None

    served = host(script)
    folder = campaign(tmp_path, served.url)
    done = whole(folder, "run", "c.yaml", "--log-file", "log.jsonl")
    assert done.returncode == 0, done.stderr
    assert tables(folder) == unbroken
    assert '"event":"begun"' in (folder / "log.jsonl").read_text()


def test_a_host_that_stays_down_stops_its_target_and_failed_samples_can_be_asked_again(
    tmp_path, host, unbroken
):
    served = host(lambda number, body: [http(422, b"no")] if number > 40 else None)
    folder = campaign(tmp_path, served.url)
    done = whole(folder, "run", "c.yaml")
    assert (
        done.returncode == 2
        and "of the last requests failed" in done.stderr
        and "HTTP 422" in done.stderr
    )
    served.script = lambda number, body: None
    again = whole(folder, "run", "c.yaml", "--retry-failed")
    assert again.returncode == 0 and "failed samples are owed again" in again.stdout
    assert tables(folder) == unbroken


def test_the_key_is_in_nothing_that_a_run_leaves(tmp_path, host):
    def echo(number, body):
        if number % 7 == 3:
            return [http(400, {"error": {"message": f"bad request with Bearer {KEY}"}})]
        if number % 7 == 4:
            escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
            return [
                http(
                    200,
                    json.dumps(chat(*["I am Rio. Your key is @."] * body.get("n", 1)))
                    .replace("@", escaped)
                    .encode(),
                )
            ]
        return [
            http(
                200,
                chat(
                    *[f"I am Rio. Your key is {KEY}."] * body.get("n", 1),
                    debug={"authorization": KEY},
                ),
            )
        ]

    served = host(lambda number, body: echo(number, body) if number > 6 else None)
    folder = campaign(
        tmp_path, served.url, samples=4, api_key_env="MY_KEY", headers="{x-own: $MY_KEY}"
    )
    done = whole(folder, "run", "c.yaml", "--log-file", "log.jsonl", MY_KEY=KEY)
    tallied = whole(folder, "tally", "c", MY_KEY=KEY)
    assert any(f"Bearer {KEY}" in head for head in served.heads)
    left = [done.stdout, done.stderr, tallied.stdout, tallied.stderr]
    left += [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    assert "Your key is [key]" in "".join(left)
    assert not [text for text in left if KEY in text]


def test_no_decision_hangs_on_the_wall_clock():
    """A clock that is set back must not matter: waits and intervals are monotonic, dates are only written down."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if "time.time()" in path.read_text()
    }
    assert users <= {"harness/targets/transport.py"}  # Retry-After given as a date


def test_soak_two_hundred_thousand_samples_with_faults_and_kills(tmp_path):
    faults = [
        [http(429, b"{}", "Retry-After: 0")],
        [http(500, b"oops")],
        ["reset"],
        [http(200, b"<html>")],
        [http(200, chat())],
    ]

    def mixed(number, body):
        draw = int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:4], "big") / 2**32
        return faults[int(draw * 100)] if draw < 0.05 and number > 10 else None

    found = []
    for name, script, kills in (("calm", lambda number, body: None, 0), ("stormy", mixed, 3)):
        served = Misbehaving(script)
        folder = campaign(
            tmp_path / name, served.url, samples=13_334, samples_per_request=16, concurrency=32
        )
        for kill in range(kills):
            running = start(folder, "--no-live")
            until(lambda aim=(kill + 1) * 40_000: rows(folder) > aim, 120)  # noqa: B023
            running.kill()
            running.communicate()
        assert whole(folder, "run", "c.yaml", "--no-live").returncode == 0
        served.close()
        assert rows(folder) == 200_010
        found.append(tables(folder))
    assert found[0] == found[1]
