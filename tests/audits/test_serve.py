"""The server: what was missed is run once, whoever is killed; not everybody may see its page."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness.audits.seen import ArmSeen, Seen
from harness.audits.serve import open_server
from harness.audits.web import CONNECTIONS, Web
from tests.audits.shop import DAY, Receiver, Shop, prepared, told
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
        until(lambda: get(f"{url}/ready") == (200, "ok\n"))
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


def samples_in(history):
    """How many samples are saved."""
    with history.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT coalesce(sum(samples), 0) FROM responses"))


@on("sqlite", "postgresql")
def test_one_ctrl_c_ends_the_server_and_keeps_what_its_audit_has_in_flight(
    tmp_path, serve, database, history
):
    shop = Shop(serve)
    prepared(tmp_path, shop)
    shop.hold(6)
    with serving(tmp_path, database, "--http", "127.0.0.1:0") as (running, _):
        until(lambda: shop.holds)
        running.ctrl_c()
        until(lambda: "stopping; " in running.stdout)
        assert running.running
        shop.let_go()
        assert running.ended() == 0, running.stderr
        assert "the same command goes on" in running.stdout and not running.stderr
    whole = [body for _, body, _ in shop.host.seen if body.get("n") == 2]
    assert samples_in(history) == 2 * len(whole[1:])  # the first is the preflight's


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


@on("sqlite", "postgresql")
def test_a_file_that_breaks_is_an_alarm_of_its_audit_and_the_server_goes_on(
    tmp_path, serve, database, history
):
    hook = Receiver(serve)
    hooked = f"[{{kind: webhook, url: '{hook.host.url}'}}]"
    prepared(tmp_path, Shop(serve), notify=hooked)
    whole = (tmp_path / "watch.yaml").read_text()
    (tmp_path / "other.yaml").write_text(whole.replace("audit: watch", "audit: other"))
    web = ("other.yaml", "--http", "127.0.0.1:0")
    with serving(tmp_path, database, *web) as (running, url):
        until(lambda: [row["status"] for row in history.rows()] == ["ok", "ok"])
        (tmp_path / "watch.yaml").write_text(whole.replace("audit:", "audti:"))
        until(lambda: get(f"{url}/health") == (503, "watch.yaml: its file cannot be used\n"))
        until(lambda: [body["kind"] for body in hook.posted] == ["broken"])
        assert "audti" in "".join(hook.posted[0]["changes"])
        (tmp_path / "watch.yaml").write_text(whole.replace("0 6 * * *", "0 7 * * *"))
        until(lambda: get(f"{url}/health") == (200, "ok\n"))
        until(lambda: len(hook.posted) == 2)
        assert hook.posted[1]["kind"] == "recovered"
        assert hook.posted[1]["closes"] == [hook.posted[0]["event"]]
        asked_to_go(running)
        assert running.stderr.count("unknown key 'audti'") == 1
        assert "its file can be used again" in running.stderr


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_health_says_what_is_wrong(tmp_path, serve, database, history):
    prepared(tmp_path, Shop(serve))
    server = open_server([str(tmp_path / "watch.yaml")], tmp_path, database, None, None)
    try:
        assert server.ready() == ["it has not begun"]
        server.begun = True
        assert server.health() == []
        server.files.since -= 2 * DAY
        (late,) = server.health()
        assert late.startswith(f"{tmp_path / 'watch.yaml'}: overdue since 2")
        server._beat -= 100
        assert server.health()[0].startswith("the loop is not back for 1")
    finally:
        server.close(str)
    assert "it is stopping" in server.ready()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_database_that_is_gone_makes_the_server_unwell(history, tmp_path):
    with page(history, tmp_path) as url:
        assert get(f"{url}/ready") == (200, "ok\n")
        with history.engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE beginnings"))
        assert get(f"{url}/health") == (503, "the database cannot be read\n")


def sent(url, request):
    """The answer to raw bytes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65536), b"")).decode("latin-1")


@contextlib.contextmanager
def page(history, tmp_path, token=None, hosts=()):
    web = Web(history, tmp_path, "127.0.0.1:0", token, hosts)
    thread = threading.Thread(target=web.run)
    thread.start()
    try:
        yield web.address
    finally:
        web.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def one_run(history, tmp_path):
    """A history of two audits, and the report of the first one's run."""
    seen = {"shop": Seen({"absent": ArmSeen(2, {"nex": 2}, replies=2)})}
    spent = {"reason": None, "requests": 1, "tokens": 1, "money": 0.0}
    for due, run in (("2026-03-01T06:00:00Z", "watch-x"), ("2026-03-05T06:00:00Z", "watch-y")):
        assert history.claim("watch", due, run)
        history.finish("watch", due, seen=seen, **spent)
    (tmp_path / "watch-x").mkdir()
    (tmp_path / "watch-x/report.html").write_text("the report")
    return history


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_query_is_no_pattern_and_no_page_shows_the_one_of_another(one_run, tmp_path):
    with page(one_run, tmp_path, "t{0}ken") as url:
        status, own = get(f"{url}/?token=t%7B0%7Dken&x={{run.__class__}}&y=<b>%7Bz%7D")
        assert status == 200 and "__class__" not in own
        assert "/runs/watch-x/report.html?token=t%7B0%7Dken" in own
        status, other = get(url, Authorization="Bearer t{0}ken")
        assert status == 200 and "token=" not in other
        assert get(f"{url}/runs/watch-x/report.html?token=t%7B0%7Dken") == (200, "the report")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8300", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("audits.example.org", 200),
        ("evil.example", 421),
        ("evil.example:8300", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
    ],
)
def test_only_known_names_lead_to_the_page(history, tmp_path, host, status):
    with page(history, tmp_path, hosts=["audits.example.org"]) as url:
        for path in ("/", "/metrics", "/health"):
            said = sent(url, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert said.startswith(f"HTTP/1.1 {status} "), said


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbroken header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /runs/%00/report.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /runs//report.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /?token=%ff%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    ],
)
def test_what_is_malformed_is_told_so_and_never_a_fault_of_the_server(
    history, tmp_path, request_, status
):
    with page(history, tmp_path) as url:
        said = sent(url, request_)
        assert re.match(rf"HTTP/1\.[01] {status} ", said), said
        assert get(f"{url}/health") == (200, "ok\n")


@pytest.fixture
def many_files():
    """As many open files as a thousand connections take, at both ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2500:
        pytest.skip("this machine does not let a process open 2,500 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_thousand_half_sent_requests_hold_no_threads_and_keep_nobody_out(
    history, tmp_path, many_files
):
    with page(history, tmp_path) as url, contextlib.ExitStack() as open_lines:
        place = url.removeprefix("http://").split(":")
        before = threading.active_count()

        def half_sent(number):
            for _ in range(number):
                line = socket.create_connection((place[0], int(place[1])))
                open_lines.enter_context(line).sendall(b"GET / HTTP/1.1\r\nHost: loc")

        half_sent(1000)
        assert get(f"{url}/health") == (200, "ok\n")
        with socket.create_connection((place[0], int(place[1])), timeout=PATIENCE_S) as kept:
            kept.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answered = kept.makefile("rb")
            assert answered.readline() == b"HTTP/1.1 200 OK\r\n"
            half_sent(CONNECTIONS)  # it asks for nothing more, and makes room
            assert answered.read().endswith(b"ok\n")
        assert get(f"{url}/health") == (200, "ok\n")
        assert threading.active_count() <= before


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_password_of_the_database_reaches_children_by_environment_alone(
    tmp_path, serve, database, history
):
    shop = Shop(serve)
    prepared(tmp_path, shop)
    shop.hold(3)
    secret = f"{database}&password=s3cret-pass"
    with serving(tmp_path, secret) as (running, _):
        until(lambda: shop.holds)
        worker = int(history.running("watch").rpartition("/")[2])
        assert b"s3cret" not in Path(f"/proc/{worker}/cmdline").read_bytes()
        with history.engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            (schedule,) = [name for name in tables if name.startswith("schedule_")]
            jobs = connection.execute(sa.text(f"SELECT job_state FROM {schedule}")).scalars().all()
        assert jobs and not any(b"s3cret" in bytes(job) for job in jobs)
        shop.let_go()
        until(lambda: [row["status"] for row in history.rows("watch")] == ["ok"])
        asked_to_go(running)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_database_that_goes_away_under_an_audit_is_one_message_and_no_alarm(
    tmp_path, serve, database, history
):
    shop = Shop(serve)
    prepared(tmp_path, shop)
    shop.hold(3)
    words = ("--results", "results", "--store", database, "--fail-on", "alarm")
    with typed("audit", "run", "watch.yaml", *words, folder=tmp_path) as running:
        until(lambda: shop.holds)
        url = history.engine.url
        history.engine.dispose()
        admin = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sa.text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false"))
            gone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            connection.execute(sa.text(gone), {"name": url.database})
        admin.dispose()
        shop.let_go()
        assert running.ended() == 2, running.stderr
        assert "journal cannot be" in running.stderr and "Traceback" not in running.stderr
