"""The wire: one HTTP POST or GET through pyreqwest, and every way in which it can go wrong, named.

TLS is verified, proxies are taken from the environment, redirects are not followed (they could
carry the key to another host), and a reply longer than the limit is cut. What comes in holds no
secret: it is hidden here, before anything is cut, read or kept. What an answer's head and error
page say is read in `received.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import certifi
from pyreqwest import exceptions
from pyreqwest.client import ClientBuilder
from pyreqwest.http import Url

from harness.errors import TargetError
from harness.masking import hide_bytes
from harness.targets import received
from harness.targets.problems import KEPT, PROBLEMS, Refused, problem_of

USER_AGENT: Final = "truename"
#: Characters of an error page that are kept.
LONGEST_PAGE: Final = 400
#: The transport's word for a connection that was never made; after it the request may have come.
_CONNECTING: Final = "client error (connect)"
#: What it says of names that are not found, and of certificates that it refuses (rustls).
_NO_ADDRESS: Final = ("dns error", "failed to lookup")
_CERTIFICATE: Final = "invalid peer certificate"
#: Which fault a refused certificate has, by what rustls says of it.
_CERTIFICATES: Final = (
    ("certificate expired", "it has expired"),
    ("not valid yet", "it is not valid yet"),
    ("not valid for", "it is for another host"),
    ("unknownissuer", "its issuer is not known here"),
    ("causedasendentity", "its issuer is not known here: it signed itself"),
    ("revoked", "it was revoked"),
)
#: What the builder says where a machine has no certificates of authorities.
_NO_STORE: Final = "no ca certificates"
_MEND: Final = "mend base_url in the target's entry, such as https://api.example.com/v1"


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
        self._client: Any = _client(base_url, headers, timeout_s)

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
        came: list[bytes] = []
        begun = False
        try:
            # unbuffered: else what came of an answer that breaks off would be lost
            async with request.streamed_read_buffer_limit(0).build_streamed() as response:
                begun = True
                body = hide_bytes(await self._read(response, came))
                if 200 <= response.status < 300:
                    return Answer(body, received.until_more(response))
                raise _refusal(response, body)
        except exceptions.RequestTimeoutError:
            reason = f"no whole answer within {self.timeout_s:g} s"
            raise Refused(reason, PROBLEMS["timeout"], body=_kept(came)) from None
        except exceptions.PyreqwestError as error:
            refused = self._refused(error, begun)
            refused.body = _kept(came)
            raise refused from None

    async def _read(self, response: Any, came: list[bytes]) -> bytes:
        """The whole body; ``came`` holds its pieces also where it breaks off."""
        size, announced = 0, received.count_said(received.field(response, "content-length"))
        while size != announced and (piece := await response.body_reader.read_chunk()) is not None:
            came.append(bytes(piece))
            size += len(came[-1])
            if size > self.max_bytes:
                kept = _kept(came)
                start = kept[:80].decode("utf-8", "replace")
                raise Refused(
                    f"the reply is longer than {self.max_bytes / 1e6:g} MB and was cut; "
                    f"it begins: {start}",
                    PROBLEMS["large"],
                    body=kept,
                )
        return came[0] if len(came) == 1 else b"".join(came)

    def _refused(self, error: exceptions.PyreqwestError, begun: bool) -> Refused:
        """What a failed attempt was: by the error's type and phase, then by what its causes say.

        ``begun``: the head of an answer had come.
        """
        details = getattr(error, "details", None) or {}
        causes = [str(cause["message"]) for cause in details.get("causes") or []]
        said, all_said = causes[-1] if causes else str(error), " ".join(causes).lower()
        if begun or isinstance(error, exceptions.DecodeError | exceptions.ReadError):
            return Refused(f"the answer broke off: {said}", PROBLEMS["body"])
        if _CONNECTING not in all_said:
            return Refused(f"the connection was lost: {said}", PROBLEMS["reset"])
        if _CERTIFICATE in all_said:
            which = next(
                (why for sign, why in _CERTIFICATES if sign in all_said), "it is not valid"
            )
            reason = f"the certificate of {self.base_url} is refused: {which} ({said})"
            return Refused(reason, PROBLEMS["certificate"])
        kind = "dns" if any(sign in all_said for sign in _NO_ADDRESS) else "connect"
        return Refused(f"no connection to {self.base_url}: {said}", PROBLEMS[kind])


def _kept(came: list[bytes]) -> bytes:
    """What is kept of an answer that did not come whole."""
    return hide_bytes(b"".join(came)[: 2 * KEPT])[:KEPT]


def _client(base_url: str, headers: Mapping[str, str], timeout_s: float) -> Any:
    """The client of one host.

    Raises
    ------
    TargetError
        No client can be made: the address or a header is none, or TLS is wanted and this machine
        knows no authority that could sign a certificate.
    """
    try:
        Url(base_url)
    except ValueError as problem:
        raise TargetError(f"the address is none: {problem}", where=base_url, next=_MEND) from None
    try:
        return _builder(headers, timeout_s).build()
    except exceptions.BuilderError as error:
        causes = [cause["message"] for cause in error.details["causes"] or []]
        if not any(_NO_STORE in cause.lower() for cause in causes):
            raise TargetError(
                f"no client can be made: {causes[-1] if causes else error}",
                where=base_url,
                next="mend the proxy's address in the environment, or SSL_CERT_FILE",
            ) from None
    except ValueError:  # whose words would hold the value
        raise TargetError(
            "a header cannot be sent: its value holds a line break, or what is no text",
            where=base_url,
            next="mend the variables that the key and the headers are read from",
        ) from None
    if base_url.startswith("https"):
        named = os.environ.get("SSL_CERT_FILE")
        raise TargetError(
            "this machine has no certificates of authorities, so no https host can be verified"
            + (f"; SSL_CERT_FILE is {named}" if named else ""),
            where=base_url,
            next="install them (Debian: apt-get install ca-certificates), or name a file of them "
            "in the environment: export SSL_CERT_FILE=/path/to/ca.pem",
        )
    # a plain http host needs none, but the client is not made without
    any_store = Path(certifi.where()).read_bytes()
    return _builder(headers, timeout_s).add_root_certificate_pem(any_store).build()


def _builder(headers: Mapping[str, str], timeout_s: float) -> ClientBuilder:
    return (
        ClientBuilder()
        .timeout(timedelta(seconds=timeout_s))
        .follow_redirects(False)
        .user_agent(USER_AGENT)
        .pool_idle_timeout(timedelta(seconds=30))
        .default_headers(
            {"content-type": "application/json", "accept": "application/json", **headers}
        )
    )


def _refusal(response: Any, body: bytes) -> Refused:
    """What a status from 300 up means."""
    status = response.status
    if 300 <= status < 400:
        to = received.field(response, "location")
        reason = f"HTTP {status}: the host redirects to {to and to[:LONGEST_PAGE]}"
        return Refused(reason, PROBLEMS["redirect"], status=status, body=body)
    problem = problem_of(status)
    reason = f"HTTP {status} ({problem.name}): {received.said(body, LONGEST_PAGE)}"
    wait = received.retry_after(response)
    return Refused(reason, problem, status=status, retry_after=wait, body=body)
