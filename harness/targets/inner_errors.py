"""Errors that come with status 200: read and judged as if the status had said them.

    {"error": {"message": ..., "code": 429}}      an object, as the API gives it with another status
    {"error": "...", ...}                         text, with or without a code beside it
    {"object": "error", "code": 404, ...}         the object itself is the answer
    {"choices": [{"error": {...}}]}               of one choice alone
    {"base_resp": {"status_code": 1004, ...}}     MiniMax

`docs/targets.md` says where each is known from.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from harness.targets import received
from harness.targets.problems import PROBLEMS, Problem, Refused, problem_of

#: Characters that are kept of what a host says is wrong.
LONGEST: Final = 400
#: Where an answer without choices tells its error, and where that has its words and its code.
_PLACES: Final = ("error", "errors", "base_resp", "detail")
_WORDS: Final = ("message", "detail", "msg", "status_msg", "error_msg", "error", "reason")
_CODES: Final = ("code", "status_code", "error_code", "http_code", "status", "type")
#: Words and numbers in the place of a status (lower case), and the status that says the same:
#: OpenAI's codes and types, Anthropic's types, Google's statuses, vLLM's types, MiniMax's numbers.
STATUS_OF: Final = {
    **dict.fromkeys(("invalid_api_key", "authentication_error", "unauthenticated"), 401),
    **dict.fromkeys(("1004", "2049"), 401),
    **dict.fromkeys(("insufficient_quota", "insufficient_balance", "1008"), 402),
    **dict.fromkeys(("permission_error", "permission_denied"), 403),
    **dict.fromkeys(("model_not_found", "not_found_error", "not_found", "notfounderror"), 404),
    **dict.fromkeys(("invalid_request_error", "invalid_argument", "badrequesterror", "2013"), 400),
    **dict.fromkeys(("context_length_exceeded", "invalid_parameter"), 400),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "resource_exhausted"), 429),
    **dict.fromkeys(("too_many_requests", "1002", "1039"), 429),
    **dict.fromkeys(("server_error", "api_error", "internal", "internalservererror"), 500),
    **dict.fromkeys(("overloaded_error", "unavailable"), 503),
    **dict.fromkeys(("timeout_error", "deadline_exceeded", "1001"), 504),
}
#: Codes that say that all went well.
_FINE: Final = frozenset(("0", "200", "ok", "success"))


class Told(NamedTuple):
    """An error as a host tells it; ``status`` is None where nothing says which it would be."""

    status: int | None
    words: str

    @property
    def problem(self) -> Problem:
        """What is done about it; from 500 on something may have been generated, and billed."""
        if self.status is None:
            return PROBLEMS["told"]
        known = problem_of(self.status)
        return known._replace(spent=True) if self.status >= 500 else known

    @property
    def reason(self) -> str:
        which = "" if self.status is None else f" {self.status}"
        return f"HTTP 200 with an error{which} ({self.problem.name}): {self.words}"


def refusal(error: Any, choices: list[Any] | None, body: bytes) -> Refused | None:
    """What an answer of status 200 is refused for; None where it is a good one.

    ``choices`` are the errors of its choices, None for each that has none.
    """
    found = told(error, received.object_of(body) if error else None)
    if found is None and choices and None not in choices:
        found = next((one for one in map(told, choices) if one is not None), None)
    if found is None and not choices:
        found = _in_answer(received.object_of(body))
    if found is None:
        return None
    return Refused(found.reason, found.problem, status=found.status, body=body)


def told(error: Any, beside: dict[str, Any] | None = None) -> Told | None:
    """An error of a host; ``beside`` is the object that it stands in, which may hold the code."""
    if isinstance(error, list) and error:
        error = error[0]
    if not error or error is True:
        return None
    inner = error if isinstance(error, dict) else {}
    found = [at[name] for at in (inner, beside or {}) for name in _CODES if at.get(name)]
    codes = [str(code) for code in found if isinstance(code, str | int)]
    words = next((inner[name] for name in _WORDS if inner.get(name)), None if inner else error)
    if words is None and (not codes or codes[0].lower() in _FINE):
        return None
    if codes and codes[0].lower() in _FINE:
        codes = []
    said = received.text(words) if words is not None else ", ".join(codes)
    return Told(_status(codes), (said or "")[:LONGEST])


def _status(codes: list[str]) -> int | None:
    """The first status among what stands in the places of codes, numbers before words."""
    for code in codes:
        if re.fullmatch(r"[45][0-9][0-9]", code):
            return int(code)
    return next((STATUS_OF[code.lower()] for code in codes if code.lower() in STATUS_OF), None)


def _in_answer(answer: dict[str, Any] | None) -> Told | None:
    """The error of an answer that holds no choices."""
    if answer is None:
        return None
    for place in _PLACES:
        if (found := told(answer.get(place), answer)) is not None:
            return found
    if any(answer.get(name) for name in _CODES[:4]) or answer.get("object") == "error":
        return told({name: answer.get(name) for name in (*_WORDS, *_CODES)})
    return None
