"""A server that keeps the audits' schedule, and shows what they found.

It only reads, and stays on loopback unless told otherwise. Each audit runs as a process of its own
(`truename audit run`), so that a crash takes nothing with it and a kill loses nothing. What was
missed while no server ran is run once at the start. Two servers on one database are safe: an audit
is claimed in the database before it begins.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from harness.audits import alarms, timeline
from harness.audits.audit import store_url
from harness.audits.config import known, load_audit
from harness.audits.history import LEASE, History
from harness.errors import AuditError
from harness.journal import open_engine

PAGE_KEPT_S: Final = 5.0
#: How often audits that someone left half done are looked for.
LOOK_AGAIN_S: Final = LEASE.total_seconds() / 2


class Server:
    """The schedule and, if wanted, the page."""

    def __init__(
        self, names: list[str], results: Path, store: str, http: str | None, token: str | None
    ) -> None:
        from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
        from apscheduler.schedulers.background import BackgroundScheduler

        self.names, self.results, self.store = names, results, store
        self.history = History(open_engine(store))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = threading.Event()
        # servers of other audits keep their jobs apart
        served = repr((sorted(names), str(results.resolve())))
        table = f"schedule_{hashlib.sha256(served.encode()).hexdigest()[:12]}"
        self.scheduler = BackgroundScheduler(
            jobstores={"default": SQLAlchemyJobStore(url=store, tablename=table)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        _SERVERS[store] = self
        self.scheduler.start(paused=True)
        for name in names:
            schedule = load_audit(name).audit.schedule
            trigger = schedule.trigger()
            trigger.jitter = schedule.jitter_s or None
            self.scheduler.add_job(
                "harness.audits.serve:fire",
                trigger,
                id=name,
                args=[store, name],
                replace_existing=True,
            )
        self.web = _web(self, http, token) if http else None

    @property
    def address(self) -> str | None:
        """Where the page is served."""
        if self.web is None:
            return None
        host, port = self.web.server_address[:2]
        return f"http://{host!s}:{port}"

    def run(self) -> None:
        """Serve until a signal; audits under way are asked to stop, and saved."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        self.scheduler.resume()
        if self.web:
            threading.Thread(target=self.web.serve_forever, daemon=True).start()
        looked = time.monotonic()
        self._fire_all(self.names)  # what was missed while no server ran
        while not self.stopping.wait(0.2):
            if time.monotonic() - looked >= LOOK_AGAIN_S:
                looked = time.monotonic()
                self._fire_all([name for name in self.names if self._is_left(name)])
        self.close()

    def _is_left(self, name: str) -> bool:
        """Whether something is left to do: an audit half done, an alarm to tell."""
        return bool(self.history.abandoned(name)) or self._untold(name)

    def _fire_all(self, names: list[str]) -> None:
        for name in names:
            threading.Thread(target=self.fire, args=(name,), daemon=True).start()

    def _untold(self, name: str) -> bool:
        """Whether an alarm waits to be told."""
        audit = load_audit(name).audit
        channels = [alarms.name_of(channel) for channel in audit.notify]
        return any(self.history.untold(audit.audit, channels))

    def fire(self, name: str) -> None:
        """Run the audit that is due, unless this server runs it already."""
        if self.stopping.is_set() or name in self.processes:
            return
        command = [sys.executable, "-m", "harness.cli", "audit", "run", name]
        command += ["--results", str(self.results), "--store", self.store]
        self.processes[name] = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, told = self.processes[name].communicate()
            if self.processes[name].returncode not in (0, 3):
                sys.stderr.write(told.decode("utf-8", "replace"))
        finally:
            del self.processes[name]

    def close(self) -> None:
        """Stop taking work, let what runs save itself, and go."""
        self.scheduler.shutdown(wait=False)
        running = list(self.processes.values())
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
        if self.web:
            self.web.shutdown()
        self.history.engine.dispose()


#: Servers of this process by their database: jobs in the store name what to call by text.
_SERVERS: dict[str, Server] = {}


def fire(store: str, name: str) -> None:
    """What the scheduler calls."""
    _SERVERS[store].fire(name)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _web(server: Server, http: str, token: str | None) -> ThreadingHTTPServer:
    host, _, port = http.rpartition(":")
    if not host or not port.isdigit():
        raise AuditError(f"'{http}' is no address", next="write HOST:PORT, such as 127.0.0.1:8300")
    if not is_loopback(host) and not token:
        raise AuditError(
            "a page that others can reach needs a token",
            where=http,
            next="name the variable that holds it with --token-env, or bind to 127.0.0.1",
        )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "truename", ""

        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            try:
                status, kind, body = _answer(server, self.path, authorization, token)
            except Exception as problem:  # a page that cannot be made must not end the server
                status, kind, body = 500, "text/plain", f"{type(problem).__name__}".encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": f"{kind}; charset=utf-8",
                "Content-Length": str(len(body)),
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    try:
        return ThreadingHTTPServer((host, int(port)), Handler)
    except OSError as problem:
        raise AuditError(
            f"the page cannot be served: {problem.strerror}",
            where=http,
            next="choose another address",
        ) from None


_kept: dict[str, tuple[float, bytes]] = {}


_NO_TOKEN: Final = b"a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN\n"


class _Answer(NamedTuple):
    status: int
    kind: str
    body: bytes


def _answer(server: Server, path: str, authorization: str, token: str | None) -> _Answer:
    parts = urlsplit(path)
    if parts.path == "/health":
        return _Answer(200, "text/plain", b"ok\n")
    if token and not _is_given(token, authorization, parts.query):
        return _Answer(401, "text/plain", _NO_TOKEN)
    if parts.path == "/metrics":
        from harness.audits.metrics import exposition

        return _Answer(200, "text/plain", exposition(server.history))
    if parts.path == "/":
        return _Answer(200, "text/html", _page(server, parts.query if token else ""))
    if parts.path.startswith("/runs/"):
        wanted = unquote(parts.path).removeprefix("/runs/").removesuffix("/report.html")
        report = server.results / wanted / "report.html"
        known_runs = {row["run"] for row in server.history.rows()}
        # only names that the history knows
        if wanted in known_runs and report.is_file():
            return _Answer(200, "text/html", report.read_bytes())
    return _Answer(404, "text/plain", b"there is no such page\n")


def _is_given(token: str, authorization: str, query: str) -> bool:
    """True if a request brings the token, in its header or in its address."""
    given = authorization.removeprefix("Bearer ") or (parse_qs(query).get("token") or [""])[0]
    return hmac.compare_digest(given.encode(), token.encode())


def _page(server: Server, query: str) -> bytes:
    """The time lines; their links carry a query on, which may hold the token."""
    made, body = _kept.get(server.store, (0.0, b""))
    if not body or time.monotonic() - made > PAGE_KEPT_S:
        link = "/runs/{run}/report.html" + (f"?{query}" if query else "")
        page = timeline.render(server.history, server.results, link)
        body = page.encode("utf-8", "replace")
        _kept[server.store] = time.monotonic(), body
    return body


def open_server(
    wanted: Sequence[str], results: Path, store: str | None, http: str | None, token_env: str | None
) -> Server:
    """A server for some audits, or for all that there are.

    Raises
    ------
    AuditError
        There is none, one cannot be used, or the variable with the token is not set.
    """
    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise AuditError(
            f"the environment variable {token_env} is not set", next=f"export {token_env}=..."
        )
    names = list(wanted) or [path.stem for path in known()]
    if not names:
        raise AuditError(
            "there is no audit to serve",
            where="probes/audits",
            next="write one; docs/audits.md has an example",
        )
    for name in names:
        alarms.check(load_audit(name).audit)
    return Server(names, results, store_url(results, store), http, token)
