"""The server: what was missed is run once, whoever is killed; not everybody may see its page."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.audits.shop import Shop, prepared, told
from tests.commands import PATIENCE_S, truename, typed, until


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@contextlib.contextmanager
def serving(tmp_path, database, *arguments, **more):
    """A server of the audit, and where its page is."""
    words = ("--results", "results", "--store", database, *arguments)
    with typed("audit", "serve", "watch.yaml", *words, folder=tmp_path, **more) as running:
        until(lambda: "\n" in running.stdout or not running.running)
        assert running.running, running.stderr
        yield running, (re.search(r"http://\S+", running.stdout) or [None])[0]


def asked_to_go(*servers):
    """Send each the signal, and wait until what it had under way is saved."""
    for running in servers:
        running.send(signal.SIGTERM)
    for running in servers:
        assert running.ended() == 0, running.stderr
        assert "what was under way is saved" in running.stdout


def on(*kinds):
    """The databases of a test; that of the last is left to `make test-slow`."""
    *most, last = kinds
    slow = pytest.param(last, marks=pytest.mark.slow)
    return pytest.mark.parametrize("database", [*most, slow], indirect=True)


@on("postgresql", "sqlite")
def test_two_servers_run_what_was_missed_once_show_it_and_go_quietly(
    tmp_path, serve, database, history
):
    prepared(tmp_path, Shop(serve))
    web = ("--http", "127.0.0.1:0")
    with (
        serving(tmp_path, database, *web) as (first, url),
        serving(tmp_path, database, *web) as (second, _),
    ):
        assert get(f"{url}/health") == (200, "ok\n")
        until(lambda: [row["status"] for row in history.rows("watch")] == ["ok"])
        (row,) = history.rows("watch")
        samples = 'truename_audit_scored_samples{arm="absent",audit="watch",target="shop"}'
        assert f"{samples} 30.0" in get(f"{url}/metrics")[1]
        until(lambda: row["run"] in get(url)[1])
        assert "truename report" in get(f"{url}/runs/{row['run']}/report.html")[1]
        for path in (
            "/runs/../audits.sqlite",
            "/runs/%2e%2e%2faudits.sqlite/report.html",
            "/etc/passwd",
            "/runs/x/report.html",
        ):
            assert get(url + path)[0] == 404
        asked_to_go(first, second)
    assert len(history.rows("watch")) == 1  # now that nobody works on anything


@on("sqlite", "postgresql")
def test_a_server_that_is_killed_with_all_its_work_finishes_it_when_it_is_back(
    tmp_path, serve, database, history
):
    shop = Shop(serve)
    prepared(tmp_path, shop)
    for after in (3, 9):
        shop.hold(after)
        with serving(tmp_path, database) as (running, _):
            until(lambda: shop.holds)
            worker = int(history.running("watch").rpartition("/")[2])
            running.kill()
            os.kill(worker, signal.SIGKILL)
            until(lambda: not Path(f"/proc/{worker}").exists())  # noqa: B023
        shop.let_go()
    with serving(tmp_path, database) as (running, _):
        until(lambda: [row["status"] for row in history.rows("watch")] == ["ok"])
        asked_to_go(running)
    (entry,) = history.entries("watch")
    assert entry.seen["shop"].arms["absent"].samples == 30 and told(history) == []


@on("sqlite", "postgresql")
def test_others_reach_the_page_with_a_token_only(tmp_path, serve, database):
    prepared(tmp_path, Shop(serve))
    refused = truename(
        "audit",
        "serve",
        "watch.yaml",
        "--results",
        "results",
        "--http",
        "0.0.0.0:0",
        folder=tmp_path,
    )
    assert refused.exit_code == 2 and "needs a token" in refused.output
    web = ("--http", "127.0.0.1:0", "--token-env", "PAGE_TOKEN")
    with serving(tmp_path, database, *web, PAGE_TOKEN="t0ken") as (running, url):
        assert get(url)[0] == 401
        assert get(f"{url}/metrics")[0] == 401
        assert get(f"{url}/health")[0] == 200
        assert get(f"{url}/?token=t0ken")[0] == 200
        assert get(url, Authorization="Bearer t0ken")[0] == 200
        assert get(url, Authorization="Bearer x")[0] == 401
        asked_to_go(running)
