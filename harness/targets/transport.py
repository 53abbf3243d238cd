"""The wire: one HTTP POST or GET through pyreqwest, and every way in which it can go wrong, named.

TLS is verified, proxies are taken from the environment, redirects are not followed (they could
carry the key to another host), and a reply longer than the limit is cut.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec
from pyreqwest import exceptions
from pyreqwest.client import ClientBuilder

from harness.targets.problems import PROBLEMS, Refused, problem_of

USER_AGENT: Final = "truename"
#: What the causes of a failed connection say, and the problem that it is; the first that fits.
_CAUSES: Final = (
    ("dns error", "dns"),
    ("failed to lookup", "dns"),
    ("certificate", "tls"),
    ("tls", "tls"),
    ("ssl", "tls"),
    ("corrupt message", "tls"),
    ("handshake", "tls"),
    ("connection reset", "reset"),
    ("connection closed", "reset"),
    ("broken pipe", "reset"),
    ("connection refused", "connect"),
    ("tunnel", "connect"),
    ("proxy", "connect"),
    ("unreachable", "connect"),
)
#: What error texts of a broken answer say.
_BROKEN_OFF: Final = ("unexpected eof", "body", "end of file", "chunk")
#: What is left of a host's rate limit, and when it is whole again.
LIMIT_HEADERS: Final = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)


class Answer(NamedTuple):
    """A whole answer with status 200 to 299.

    ``wait`` is in seconds, where the host's rate-limit headers say that nothing is left.
    """

    body: bytes
    wait: float


class Transport:
    """Connections to one host, kept open."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], timeout_s: float, max_bytes: int
    ) -> None:
        self.base_url, self.timeout_s, self.max_bytes = base_url, timeout_s, max_bytes
        builder = (
            ClientBuilder()
            .timeout(timedelta(seconds=timeout_s))
            .follow_redirects(False)
            .user_agent(USER_AGENT)
            .pool_idle_timeout(timedelta(seconds=30))
        )
        self._client: Any = builder.default_headers(
            {"content-type": "application/json", "accept": "application/json", **headers}
        ).build()

    async def post(self, url: str, body: bytes) -> Answer:
        """One attempt.

        Raises
        ------
        Refused
            No whole answer with status 200 to 299 came.
        """
        return await self._send(self._client.post(url).body_bytes(body))

    async def get(self, url: str) -> Answer:
        """One attempt, as `post`."""
        return await self._send(self._client.get(url))

    async def close(self) -> None:
        await self._client.close()

    async def _send(self, request: Any) -> Answer:
        try:
            async with request.build_streamed() as response:
                body = await self._read(response)
                if 200 <= response.status < 300:
                    return Answer(body, _until_more(response))
                raise _refusal(response, body)
        except exceptions.RequestTimeoutError:
            raise Refused(
                f"no whole answer within {self.timeout_s:g} s", PROBLEMS["timeout"]
            ) from None
        except exceptions.PyreqwestError as error:
            raise self._refused(error) from None

    async def _read(self, response: Any) -> bytes:
        announced = response.get_header("content-length")
        if announced is not None and announced.isdigit() and int(announced) <= self.max_bytes:
            return bytes(await response.bytes())
        pieces, size = [], 0
        while (piece := await response.body_reader.read_chunk()) is not None:
            pieces.append(bytes(piece))
            size += len(pieces[-1])
            if size > self.max_bytes:
                start = b"".join(pieces)[:80].decode("utf-8", "replace")
                raise Refused(
                    f"the reply is longer than {self.max_bytes / 1e6:g} MB and was cut; "
                    f"it begins: {start}",
                    PROBLEMS["large"],
                )
        return b"".join(pieces)

    def _refused(self, error: exceptions.PyreqwestError) -> Refused:
        details = getattr(error, "details", None) or {}
        causes = [str(cause["message"]) for cause in details.get("causes") or []]
        said = causes[-1] if causes else str(error)
        all_said = " ".join(causes).lower()
        if any(sign in all_said for sign in _BROKEN_OFF) or "decod" in str(error).lower():
            return Refused(f"the answer broke off: {said}", PROBLEMS["body"])
        otherwise = "connect" if isinstance(error, exceptions.ConnectError) else None
        kind = next((kind for sign, kind in _CAUSES if sign in all_said), otherwise)
        if kind in ("dns", "tls", "connect"):
            return Refused(f"no connection to {self.base_url}: {said}", PROBLEMS[kind])
        return Refused(f"the connection was lost: {said}", PROBLEMS["reset"])


def _until_more(response: Any) -> float:
    """Seconds until the host's rate limit allows more; 0 where something is left."""
    used_up = [reset for left, reset in LIMIT_HEADERS if response.get_header(left) == "0"]
    return max((duration(response.get_header(reset)) for reset in used_up), default=0.0)


def _refusal(response: Any, body: bytes) -> Refused:
    """What a status from 300 up means."""
    status = response.status
    if 300 <= status < 400:
        return Refused(
            f"HTTP {status}: the host redirects to {response.get_header('location')}",
            PROBLEMS["redirect"],
            status=status,
        )
    problem = problem_of(status)
    asked = retry_after(response.get_header("retry-after-ms"), response.get_header("retry-after"))
    reason = f"HTTP {status} ({problem.name}): {_said(body)}"
    return Refused(reason, problem, status=status, retry_after=asked)


def _said(body: bytes) -> str:
    """What a host's error page says, shortly."""
    try:
        found = msgspec.json.decode(body)
        error = found.get("error", found) if isinstance(found, dict) else found
        message = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        if message:
            return str(message)[:400]
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    return body[:400].decode("utf-8", "replace")


def retry_after(milliseconds: str | None, value: str | None) -> float | None:
    """Seconds that the host asks to wait.

    It says so as `retry-after-ms`, or as `retry-after` in seconds or as a date (RFC 9110, 10.2.3).
    """
    if milliseconds and milliseconds.isdigit():
        return int(milliseconds) / 1000
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def duration(text: str | None) -> float:
    """Seconds of a rate-limit header such as `1s`, `6m0s`, `120ms` or `0.5`; else 0."""
    if not text:
        return 0.0
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(
        float(number) * units[unit]
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text)
    )
