"""The audits' page over HTTP: time lines, reports, metrics. It only reads.

The server is waitress: a bounded number of threads and connections, time-outs and sizes for what is
half sent, and 400 for what is no HTTP. Whoever has not asked for longest makes room for whoever
comes: many who never ask keep nobody out. Here is what is asked and answered. It stays on loopback
unless told otherwise, and then wants a token. A name in the Host header that nobody gave it is
refused: a page elsewhere could have that name lead here, and read the answers (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote

import waitress
import waitress.channel
import waitress.parser

from harness.audits import timeline
from harness.audits.history import History
from harness.errors import AuditError, StoreError

#: How long a page is kept, in seconds: looking costs others nothing.
PAGE_KEPT_S: Final = 5.0
#: The same of whether all is well.
HEALTH_KEPT_S: Final = 1.0
#: What bounds those who ask: threads that answer, connections, seconds that a connection may be
#: still, bytes of a request's head and body.
THREADS, CONNECTIONS, STILL_S, HEAD, BODY = 4, 100, 10, 16_384, 16_384
#: Connections beyond, for those that are being closed, and the server's own two.
BEYOND = 8
#: A name with a port, or an address of either kind.
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?")
_NO_TOKEN: Final = b"a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN\n"
_NO_HOST: Final = (
    b"this server is not known under that name; truename audit serve --host-name NAME makes it so\n"
)
_STATUS: Final = {
    200: "200 OK",
    401: "401 Unauthorized",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    421: "421 Misdirected Request",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}
Asks = Callable[[], list[str]]
Start = Callable[[str, list[tuple[str, str]]], Any]


class _Answer(NamedTuple):
    status: int
    kind: str
    body: bytes


class _Parser(waitress.parser.HTTPRequestParser):  # type: ignore[misc]
    """Refuses what waitress stumbles over: an address that the standard library cannot read."""

    def parse_header(self, header: bytes) -> None:
        try:
            super().parse_header(header)
        except ValueError:
            raise waitress.parser.ParsingError("Bad URI") from None


class _Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser

    def __init__(self, server: Any, *about: Any, **more: Any) -> None:
        _make_room([one for one in server.active_channels.values() if not one.will_close])
        super().__init__(server, *about, **more)


def _make_room(open_now: list[Any]) -> None:
    """Where there are as many as may be, close the oldest that waits for no answer."""
    asking = [channel for channel in open_now if not channel.requests]
    if len(open_now) >= CONNECTIONS and asking:
        min(asking, key=lambda channel: channel.creation_time).will_close = True


class Web:
    """The page of one history.

    Parameters
    ----------
    http : HOST:PORT.
    token : what everyone has to bring, if anything.
    hosts : names under which it may be asked for, beside addresses and localhost.
    health, ready : what is wrong, and why it cannot be used yet, in lines.

    Raises
    ------
    AuditError
        It is no address, it is taken, or others could reach it without a token.
    """

    def __init__(
        self,
        history: History,
        results: Path,
        http: str,
        token: str | None,
        hosts: Sequence[str] = (),
        health: Asks = lambda: [],
        ready: Asks = lambda: [],
    ) -> None:
        host, port = _place(http)
        if not is_loopback(host) and not token:
            raise AuditError(
                "a page that others can reach needs a token",
                where=http,
                next="name the variable that holds it with --token-env, or bind to 127.0.0.1",
            )
        self.history, self.results, self.token = history, results, token
        self.hosts = {"localhost", host.lower(), *(name.lower() for name in hosts)}
        self.health, self.ready = health, ready
        self._kept: dict[bool, tuple[float, bytes]] = {}
        self._found: dict[str, tuple[float, _Answer]] = {}
        self._making = threading.Lock()
        self._open: dict[int, Any] = {}
        self._server: Any = waitress.create_server(
            self.answer,
            self._open,
            sockets=[_listening(host, port, http)],
            threads=THREADS,
            connection_limit=CONNECTIONS + BEYOND,
            asyncore_use_poll=True,  # select knows no file above 1,023
            channel_timeout=STILL_S,
            cleanup_interval=STILL_S // 2,
            max_request_header_size=HEAD,
            max_request_body_size=BODY,
            ident=None,
        )
        self._server.channel_class = _Channel
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._server.effective_port}"

    def run(self) -> None:
        """Serve until closed."""
        self._server.run()

    def close(self) -> None:
        """End `run`, in whichever thread it is."""
        self._server.trigger.pull_trigger(self._end)

    def _end(self) -> None:
        """Let who answers end first: it wakes this thread, by a socket that has to be open."""
        self._server.task_dispatcher.shutdown()
        self._server.asyncore.close_all(self._open)

    def answer(self, asked: dict[str, Any], start: Start) -> Iterable[bytes]:
        """What WSGI calls."""
        try:
            status, kind, body = self._answer(asked)
        except Exception as problem:  # a page that cannot be made must not end the server
            status, kind, body = 500, "text/plain", f"{type(problem).__name__}\n".encode()
        start(
            _STATUS[status],
            [
                ("Content-Type", f"{kind}; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Cache-Control", "no-store"),
            ],
        )
        return [] if asked["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, asked: dict[str, Any]) -> _Answer:
        if not self._is_known(asked.get("HTTP_HOST")):
            return _Answer(421, "text/plain", _NO_HOST)
        if asked["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _Answer(405, "text/plain", b"this server only reads\n")
        path = asked.get("PATH_INFO") or "/"
        if path in ("/health", "/ready"):
            return self._how_it_is(path)
        in_address = (parse_qs(asked.get("QUERY_STRING", "")).get("token") or [""])[0]
        in_header = asked.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if self.token and not _is_given(self.token, in_header or in_address):
            return _Answer(401, "text/plain", _NO_TOKEN)
        if path == "/metrics":
            from harness.audits.metrics import exposition

            return _Answer(200, "text/plain", exposition(self.history))
        if path == "/":
            return _Answer(200, "text/html", self._page(bool(self.token and not in_header)))
        return self._report(path)

    def _how_it_is(self, path: str) -> _Answer:
        """Whether all is well: 503 and why, where it is not. Kept for a moment: anybody may ask."""
        with self._making:
            made, answer = self._found.get(path, (0.0, None))
            if answer is None or time.monotonic() - made > HEALTH_KEPT_S:
                wrong = self._database() or (self.health if path == "/health" else self.ready)()
                said = "".join(f"{line}\n" for line in wrong) or "ok\n"
                answer = _Answer(503 if wrong else 200, "text/plain", said.encode())
                self._found[path] = time.monotonic(), answer
        return answer

    def _database(self) -> list[str]:
        try:
            self.history.asked()
        except StoreError:
            return ["the database cannot be read"]
        return []

    def _is_known(self, host: str | None) -> bool:
        """Whether the server may be asked for under a name; nobody can rebind an address."""
        if host is None:  # of HTTP/1.0, which no browser speaks
            return True
        found = _HOST.fullmatch(host)
        name = (found[1] or found[2]).lower().removesuffix(".") if found else ""
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _report(self, path: str) -> _Answer:
        """The report of a run that the history knows."""
        wanted = path.removeprefix("/runs/").removesuffix("/report.html")
        if path == f"/runs/{wanted}/report.html":
            report = self.results / wanted / "report.html"
            if wanted in {row["run"] for row in self.history.rows()} and report.is_file():
                return _Answer(200, "text/html", report.read_bytes())
        return _Answer(404, "text/plain", b"there is no such page\n")

    def _page(self, with_token: bool) -> bytes:
        """The time lines; their links bring the token where the address had to."""
        with self._making:
            made, body = self._kept.get(with_token, (0.0, b""))
            if not body or time.monotonic() - made > PAGE_KEPT_S:
                end = f"?token={quote(self.token or '')}" if with_token else ""
                page = timeline.render(
                    self.history, self.results, lambda run: f"/runs/{quote(run)}/report.html{end}"
                )
                body = page.encode("utf-8", "replace")
                self._kept[with_token] = time.monotonic(), body
        return body


def _listening(host: str, port: int, http: str) -> socket.socket:
    """A socket at an address."""
    try:
        kind, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(place[0]), int(place[1])), family=kind)
    except OSError as problem:
        raise AuditError(
            f"the page cannot be served: {problem.strerror or problem}",
            where=http,
            next="choose another address",
        ) from None


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _place(http: str) -> tuple[str, int]:
    """HOST:PORT, told apart."""
    host, _, port = http.rpartition(":")
    if not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65_535:
        raise AuditError(f"'{http}' is no address", next="write HOST:PORT, such as 127.0.0.1:8300")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_given(token: str, given: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
