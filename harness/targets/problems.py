"""What is done about each problem of a request: one table."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from harness.masking import hide

Fate = Literal["retry", "fail", "stop"]


class Problem(NamedTuple):
    """What is done about a problem: try again, fail this sample, or stop this target.

    ``name`` is what `openai` calls it; ``spent`` says that the host may have generated, and billed,
    what never arrived; ``mend`` is what a user can do where the target stops.
    """

    fate: Fate
    name: str
    spent: bool = False
    mend: str = "mend the target's entry (model, base_url, key)"


#: Problems without an HTTP status.
PROBLEMS: Final = {
    "dns": Problem("retry", "APIConnectionError"),
    "connect": Problem("retry", "APIConnectionError"),
    # a certificate does not mend itself, and must not be overlooked
    "certificate": Problem(
        "stop",
        "APIConnectionError",
        mend="mend the host's certificate or base_url; where its issuer is your own, name the "
        "issuer's certificate: export SSL_CERT_FILE=/path/to/ca.pem",
    ),
    # for as long as patience lasts it has let nobody in
    "silent": Problem("stop", "APITimeoutError", mend="wait until the host answers"),
    # following it could carry the key to another host
    "redirect": Problem("stop", "APIStatusError"),
    "timeout": Problem("retry", "APITimeoutError", spent=True),
    "reset": Problem("retry", "APIConnectionError", spent=True),
    # shorter than announced, or broken chunks
    "body": Problem("retry", "APIConnectionError", spent=True),
    "json": Problem("retry", "APIResponseValidationError", spent=True),
    "choices": Problem("retry", "APIResponseValidationError", spent=True),
    # an error with status 200 that does not say which status it would be
    "told": Problem("retry", "APIError", spent=True),
    # the next would be as large
    "large": Problem("fail", "APIResponseValidationError", spent=True),
}
#: HTTP statuses. Others below 500 fail the sample, others from 500 up are tried again.
STATUSES: Final = {
    400: Problem("fail", "BadRequestError"),
    # the key is wrong: every further call would be refused too
    401: Problem("stop", "AuthenticationError"),
    402: Problem("stop", "APIStatusError"),  # the account is empty
    403: Problem("stop", "PermissionDeniedError"),
    404: Problem("stop", "NotFoundError"),  # no such model or route
    408: Problem("retry", "APITimeoutError"),
    409: Problem("retry", "ConflictError"),
    413: Problem("fail", "APIStatusError"),
    422: Problem("fail", "UnprocessableEntityError"),
    425: Problem("retry", "APIStatusError"),
    429: Problem("retry", "RateLimitError"),
}


def problem_of(status: int) -> Problem:
    if (known := STATUSES.get(status)) is not None:
        return known
    if status >= 500:
        return Problem("retry", "InternalServerError")
    return Problem("fail", "APIStatusError")


#: Bytes that are kept of what came instead of a reply.
KEPT: Final = 65_536


class Refused(Exception):
    """One attempt that brought no reply.

    ``status`` is the one of HTTP, or the one that an error within an answer tells; ``retry_after``
    is in seconds, where the host says so; ``body`` is what came, up to `KEPT` bytes.
    """

    def __init__(
        self,
        reason: str,
        problem: Problem,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        body: bytes = b"",
    ) -> None:
        self.reason, self.problem = hide(reason), problem
        super().__init__(self.reason)
        self.status, self.retry_after, self.body = status, retry_after, body[:KEPT]
        self.attempts: list[str] = []
