"""Whole runs under faults: signals, kills, full disks, locked databases, mixed faults at scale.

Nothing is lost or counted twice. What is done to a run is done at a moment that was seen: the host
holds its answers until the test lets them go.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import signal
import sqlite3

import pandas as pd
import pytest

from harness.journal.told import Told
from tests import ROOT
from tests.commands import PATIENCE_S, Moment, truename, typed, until
from tests.misbehaving import NEVER, Held, Misbehaving, good, http
from tests.openai_server import chat

KEY = "sk-planted-0123456789abcdef"
QUESTIONS = 15


def campaign(folder, url, samples=40, finish_s=600, limits="", budget="{}", **fields):
    """A campaign of one endpoint; ``fields`` go into the target's entry."""
    entry = {"concurrency": 8, "samples_per_request": 4, "api_key_env": "null"} | fields
    said = ", ".join(f"{name}: {value}" for name, value in entry.items())
    folder.mkdir(exist_ok=True)
    (folder / "c.yaml").write_text(
        "campaign: c\n"
        "targets:\n"
        f"  - {{name: t, role: suspect, engine: endpoint, base_url: '{url}', model: m, {said}}}\n"
        "arms: [absent]\n"
        "probes: [identity]\n"
        "languages: [en]\n"
        f"samples: {samples}\n"
        "sampling: {max_tokens: 32}\n"
        f"limits: {{attempts: 8, finish_s: {finish_s}, {limits}}}\n"
        f"budget: {budget}\n"
    )
    return folder


def start(folder, *arguments, **options):
    """The run in a process of its own."""
    return typed("run", "c.yaml", *arguments, folder=folder, **options)


def run(folder, *arguments):
    return truename("run", "c.yaml", *arguments, folder=folder)


def tables(folder):
    """The bytes of both tables; attempts are what faults may change."""
    done = truename("tally", "c", folder=folder)
    assert done.exit_code == 0, done.output
    samples = pd.read_csv(folder / "results/c/samples.csv", dtype=str, keep_default_na=False)
    assert not samples.duplicated(["trial", "sample"]).any()
    return (
        (folder / "results/c/tally.csv").read_bytes(),
        samples.drop(columns="attempts").to_csv(index=False),
    )


def rows(folder):
    """Samples in the journal so far."""
    try:
        with sqlite3.connect(f"file:{folder}/results/c/journal.sqlite?mode=ro", uri=True) as db:
            return db.execute("SELECT coalesce(sum(samples), 0) FROM responses").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def stopping(folder):
    """Whether the run has taken note of a signal."""
    return '"event":"stopping"' in (folder / "log.jsonl").read_text()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The tables of a run that nothing disturbs: 600 samples."""
    quick = Misbehaving(lambda number, body: None)
    folder = campaign(tmp_path_factory.mktemp("unbroken"), quick.url)
    assert run(folder).exit_code == 0
    quick.close()
    return tables(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_requests_in_flight_finish_and_the_run_goes_on_later(
    tmp_path, host, unbroken, number
):
    held = Held(after=40)
    served = host(held)
    folder = campaign(tmp_path, served.url)
    with start(folder, "--log-file", "log.jsonl") as running:
        until(lambda: rows(folder) > 100 and served.chats == 48)  # the level is 8
        running.ctrl_c() if number == signal.SIGINT else running.send(number)
        until(lambda: stopping(folder))
        held.let_go.set()
        assert running.ended() == 3
        assert "to go on: truename run c.yaml --run c" in running.stdout
    assert served.chats == 48  # no more were begun
    assert rows(folder) >= 4 * (served.chats - 8)  # all but the preflight's handful
    assert run(folder).exit_code == 0
    assert tables(folder) == unbroken


def test_a_second_signal_saves_what_came_and_goes(tmp_path, host):
    held = Held(after=30)
    folder = campaign(tmp_path, host(held).url)
    with start(folder, "--log-file", "log.jsonl") as running:
        until(lambda: rows(folder) > 60)
        running.send(signal.SIGINT)
        until(lambda: stopping(folder))
        assert running.running
        running.send(signal.SIGINT)
        assert running.ended() == 3  # though the host answers no more
        assert "stopped at once" in running.stdout
    assert rows(folder) > 60


def test_requests_that_never_finish_are_given_up_after_a_while(tmp_path, host):
    folder = campaign(tmp_path, host(Held(after=30)).url, finish_s=1)
    with start(folder) as running:
        until(lambda: rows(folder) > 60)
        running.send(signal.SIGINT)
        assert running.ended() == 3 and "to go on" in running.stdout


def test_killed_at_fifty_moments_the_tables_are_those_of_an_unbroken_run(tmp_path, host, unbroken):
    """While the host holds an answer, or before some statement of the journal."""
    served = host(None)
    folder = campaign(tmp_path, served.url, concurrency=1)
    draw, killed = random.Random(5), 0
    for number in range(50):
        served.script = held = Held(served.chats + draw.randrange(2, 9))
        at = Moment(draw.randrange(1, 60)) if number % 2 else None
        with start(folder, at=at) as running:
            until(lambda: served.chats > held.after or not running.running)  # noqa: B023
            killed += running.running or running.ended() == -signal.SIGKILL
        held.let_go.set()
    assert killed == 50
    served.script = lambda number, body: None
    assert 0 < rows(folder) < 600
    assert run(folder).exit_code == 0
    assert tables(folder) == unbroken


def test_a_wal_that_is_deleted_after_a_kill_is_missed(tmp_path, host, unbroken):
    held = Held(after=40)
    folder = campaign(tmp_path, host(held).url)
    kept = folder / "results/c"
    with start(folder) as running:
        until(lambda: Told(kept).read() > 100)
        running.kill()
    held.let_go.set()
    (kept / "journal.sqlite-wal").unlink()
    for ask in (lambda: run(folder), lambda: truename("tally", "c", folder=folder)):
        told = ask()
        assert told.exit_code == 2 and "a part of the journal is missing" in told.output
    (kept / "journal.told").unlink()
    assert run(folder).exit_code == 0
    assert tables(folder) == unbroken
    assert Told(kept).read() == 600


def test_a_full_disk_is_told_and_loses_nothing(tmp_path, host, unbroken):
    held = Held(after=40)
    folder = campaign(tmp_path, host(held).url)
    with start(folder, file_limit=400_000) as running:
        until(lambda: rows(folder))  # or all came before the first transaction
        held.let_go.set()
        assert running.ended() == 2
        told = running.stderr
    assert "the journal cannot be written" in told and "next:" in told and "Traceback" not in told
    assert 0 < rows(folder) < 600
    assert run(folder).exit_code == 0
    assert tables(folder) == unbroken


def test_a_database_that_another_process_holds_is_waited_for(tmp_path, host, unbroken):
    held = Held(after=40)
    served = host(held)
    folder = campaign(tmp_path, served.url)
    with start(folder) as running:
        until(lambda: rows(folder) > 40)
        other = sqlite3.connect(
            folder / "results/c/journal.sqlite", isolation_level=None, timeout=PATIENCE_S
        )
        other.execute("BEGIN IMMEDIATE")
        before = rows(folder)
        held.let_go.set()
        until(lambda: served.chats >= 600 / 4)  # it asks on, with what came in hand
        assert rows(folder) == before and running.running
        other.execute("ROLLBACK")
        other.close()
        assert running.ended() == 0
    assert tables(folder) == unbroken


def test_two_processes_cannot_sample_one_run(tmp_path, host, unbroken):
    held = Held(after=20)
    folder = campaign(tmp_path, host(held).url)
    with start(folder) as first:
        until(lambda: rows(folder) > 20)
        second = run(folder)
        assert second.exit_code == 2
        assert f"process {first.pid}" in second.stderr and "next:" in second.stderr
        held.let_go.set()
        assert first.ended() == 0
    assert tables(folder) == unbroken


def test_the_order_of_arrival_changes_nothing(tmp_path, host, unbroken):
    def jittered(number, body):
        return [random.uniform(0, 0.05), good(body)]

    served = host(jittered)
    for name, concurrency in (("one", 1), ("many", 64), ("own", "null")):
        folder = campaign(tmp_path / name, served.url, concurrency=concurrency)
        served.script = jittered if concurrency != 1 else lambda number, body: None
        assert run(folder).exit_code == 0
        assert tables(folder) == unbroken


def test_a_host_that_recovers_closes_the_breaker_and_owes_nothing(tmp_path, host, unbroken):
    served = host(lambda number, body: [http(500, b"down")] if 40 <= number < 50 else None)
    folder = campaign(tmp_path, served.url)
    done = run(folder, "--log-file", "log.jsonl")
    assert done.exit_code == 0, done.stderr
    assert tables(folder) == unbroken
    assert '"event":"begun"' in (folder / "log.jsonl").read_text()


def test_a_host_that_stays_down_stops_its_target_and_failed_samples_can_be_asked_again(
    tmp_path, host, unbroken
):
    served = host(lambda number, body: [http(422, b"no")] if number > 40 else None)
    folder = campaign(tmp_path, served.url)
    done = run(folder)
    assert done.exit_code == 2
    assert "of the last requests failed" in done.stderr and "HTTP 422" in done.stderr
    served.script = lambda number, body: None
    again = run(folder, "--retry-failed")
    assert again.exit_code == 0 and "failed samples are owed again" in again.stdout
    assert tables(folder) == unbroken


def test_killed_sittings_count_against_the_budget(tmp_path, host):
    """Each of five sittings is killed while the host holds all it was sent."""
    served = host(lambda number, body: [NEVER])
    folder = campaign(tmp_path, served.url, budget="{requests: 5}")
    for sitting in range(6):
        before = served.chats
        with start(folder) as running:
            until(lambda: served.chats > before or not running.running)  # noqa: B023
            if sitting == 5:
                assert running.ended() == 3
                assert "the budget is reached (requests: 5 of 5 are used)" in running.stdout
    sent = [head for head in served.heads if head.startswith("POST")]
    assert len(sent) == 5  # each was counted before it was sent


def test_near_the_cap_a_run_goes_on_with_what_was_really_used(tmp_path, host):
    """A request may need 272 tokens and uses 14: eight in flight reserve more than the cap."""
    served = host(lambda number, body: None)
    folder = campaign(tmp_path, served.url, budget="{tokens: 1500}", samples_per_request=1)
    done = run(folder, "--no-live")
    assert done.exit_code == 3
    used = re.search(r"the budget is reached \(tokens: ([0-9,]+) of 1,500 are used", done.stdout)
    assert used is not None and 1_300 < int(used[1].replace(",", "")) <= 1_500
    assert re.search(r"budget: near a cap \(.*\): waiting for [0-9]+ in flight", done.stdout)


@pytest.mark.parametrize("asked", ["1000000000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_host_that_asks_to_wait_for_ever_is_tried_again_and_plain_lines_tell_it(
    tmp_path, host, asked
):
    held = http(429, b"{}", f"Retry-After: {asked}")
    served = host(lambda number, body: [held] if number == 30 else None)
    limits = "wait_at_most_s: 5"
    folder = campaign(tmp_path, served.url, samples=4, limits=limits, samples_per_request=1)
    done = run(folder, "--no-live")
    assert done.exit_code == 0, done.output
    assert rows(folder) == 4 * QUESTIONS
    assert "  t: waiting 5 s: the host asks to wait" in done.stdout
    assert "  t: the wait is over" in done.stdout


def test_a_host_that_lets_nobody_in_is_given_up_and_its_samples_stay_owed(tmp_path, host):
    held = http(429, b"{}", "Retry-After: inf", "x-ratelimit-reset-requests: 1795751948000")
    asked = http(429, b"{}", "Retry-After: 1000000000")
    served = host(lambda number, body: [held, asked][number % 2 :][:1] if number > 30 else None)
    limits = "wait_at_most_s: 1, attempt_wall_s: 3"
    folder = campaign(tmp_path, served.url, limits=limits)
    done = run(folder)
    assert done.exit_code == 2, done.output
    assert "the host has let nobody in for" in done.stderr
    assert "wait until the host answers, and run again" in done.stderr
    served.script = lambda number, body: None
    assert run(folder, "--retry-failed").exit_code == 0
    assert rows(folder) == 40 * QUESTIONS


def test_the_key_is_in_nothing_that_a_run_leaves(tmp_path, host, monkeypatch):
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
    monkeypatch.setenv("MY_KEY", KEY)
    done = run(folder, "--log-file", "log.jsonl")
    tallied = truename("tally", "c", folder=folder)
    assert any(f"Bearer {KEY}" in head for head in served.heads)
    left = [done.stdout, done.stderr, tallied.stdout, tallied.stderr]
    left += [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    assert "Your key is [key]" in "".join(left)
    assert not [text for text in left if KEY in text]


def test_no_decision_hangs_on_the_wall_clock():
    """A clock that is set back must not matter: waits are monotonic, dates only written down."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if "time.time()" in path.read_text()
    }
    assert users <= {"harness/targets/received.py"}  # waits that a host gives as a date


#: One request in twenty meets one of these.
FAULTS = [
    [http(429, b"{}", "Retry-After: 0")],
    [http(500, b"oops")],
    ["reset"],
    [http(200, b"<html>")],
    [http(200, chat())],
]


class Storm:
    """A script with faults, that holds what comes after a number of requests."""

    def __init__(self) -> None:
        self.after = 0

    def __call__(self, number, body):
        if number > self.after:
            return [NEVER]
        drawn = int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:4], "big") / 2**32
        return FAULTS[int(drawn * 100)] if drawn < 0.05 and number > 10 else None


@pytest.mark.parametrize("samples", [400, pytest.param(13_334, marks=pytest.mark.slow)])
def test_soak_with_faults_and_three_kills(tmp_path, host, samples):
    """Of 6,000 samples, or of 200,000."""
    storm, found = Storm(), []
    for name, script in (("calm", lambda number, body: None), ("stormy", storm)):
        served = host(script)
        folder = campaign(
            tmp_path / name, served.url, samples=samples, samples_per_request=16, concurrency=32
        )
        for kill in range(3 if script is storm else 0):
            storm.after = (kill + 1) * samples * QUESTIONS // 16 // 5
            with start(folder, "--no-live") as running:
                until(lambda: served.chats > storm.after or not running.running)  # noqa: B023
                assert running.running, running.stderr
        storm.after = 10**9
        assert run(folder, "--no-live").exit_code == 0
        assert rows(folder) == samples * QUESTIONS
        found.append(tables(folder))
    assert found[0] == found[1]
