"""What a host sends, read within bounds: the one room that reads heads and bodies.

    a head's field    -> text, seconds, or None
    a body            -> a JSON value, or `Unreadable` with the reason
    a JSON value      -> text, or a count of tokens from 0 to `MOST_TOKENS`, or None

Nothing here raises, whatever the bytes: a host's reply becomes a value or a reason, never a crash
(`tests/targets/test_received.py` tries any bytes).
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from harness.masking import hide

T = TypeVar("T")
#: Tokens that one request can have been billed for at most; a larger count is none.
MOST_TOKENS: Final = 10**9
#: Characters that are read of a head's field.
LONGEST_FIELD: Final = 2000
#: Characters that are kept of what names an answer: its model, id, fingerprint and provider.
LONGEST_NAME: Final = 300
#: Resets at or above so many seconds are a point in time, above the next in milliseconds: hosts
#: give seconds to wait, or seconds or milliseconds since 1970.
EPOCH_S, EPOCH_MS = 1e8, 1e11
#: What is left of a host's rate limit, and when it is whole again.
LIMIT_HEADERS: Final = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)
#: What some hosts put before and behind a JSON value: a byte order mark, lines of comments, the end
#: of an event stream that was none.
BOM: Final = b"\xef\xbb\xbf"
_COMMENTS: Final = re.compile(rb"(?:[ \t]*+(?::[^\r\n]*+)?[\r\n]++)++")
#: As much as JSON knows, its texts first; or one word that may be no number of it.
_WORDS: Final = re.compile(
    rb'(?P<known>(?:"(?:[^"\\]++|\\.)*+"?+|[\s,:\[\]{}]++|(?:true|false|null|'
    rb"-?+(?:0|[1-9]\d{0,17}+)(?:\.\d{1,18}+)?+(?:[eE][-+]?+\d\d?+)?+)"
    rb'(?=[\s,:\[\]{}"]))++)|[^\s,:\[\]{}"]++',
    re.DOTALL,
)
#: Words that stand for a number, and a number as JSON has them.
_NUMERIC: Final = re.compile(rb"[-+]?+(?:[.\d].*+|nan|inf(?:inity)?+)", re.DOTALL | re.IGNORECASE)
_NUMBER_OF_JSON: Final = re.compile(rb"-?+(?:0|[1-9]\d*+)(?:\.\d++)?+(?:[eE][-+]?+\d++)?+")
#: Letters of a number that is read, and words of a body that are looked at.
_LONGEST_NUMBER, _MOST_WORDS = 400, 100_000
_STREAM_END: Final = re.compile(rb"\s*data: ?\[DONE\]\s*\Z")
_NUMBER: Final = re.compile(r"[0-9]{1,400}(?:\.[0-9]{1,400})?")
_PART: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|[smhd])")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: What reading JSON raises: bytes that are none, numbers out of range.
_NO_JSON: Final = (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError)


class Unreadable(NamedTuple):
    """Why bytes could not be read."""

    reason: str


class Head(Protocol):
    """The head of an answer."""

    def get_header(self, key: str, /) -> str | None: ...


def field(head: Head, name: str) -> str | None:
    """A field of a head; None where it is missing or no text."""
    try:
        found = head.get_header(name)
    except ValueError:  # bytes that are no visible ASCII
        return None
    return found if found is None else hide(found)[:LONGEST_FIELD]


def json_of(body: bytes, decode: Callable[[bytes], T] = msgspec.json.decode) -> T | Unreadable:
    """The JSON value in a body, as ``decode`` makes it, or why there is none.

    A number that JSON does not know (`NaN`, `-Infinity`, `1e999`, `.5`) is null, and costs nothing
    beside it.
    """
    for mend in (bytes, unwrapped, _with_known_numbers):
        try:
            return decode(mend(body))
        except RecursionError:
            return Unreadable(f"the answer is nested too deep: {body[:80]!r}")
        except _NO_JSON:
            continue
    return Unreadable(f"the answer is no JSON: {body[:80]!r}")


def _with_known_numbers(body: bytes) -> bytes:
    """A body without what was put around it, and null for what is no number as JSON has them."""
    return _WORDS.sub(_known, unwrapped(body), _MOST_WORDS)


def _known(word: re.Match[bytes]) -> bytes:
    said = word[0]
    if word["known"] or _NUMERIC.fullmatch(said) is None:
        return said
    if len(said) > _LONGEST_NUMBER or _NUMBER_OF_JSON.fullmatch(said) is None:
        return b"null"
    return said if math.isfinite(float(said)) else b"null"


def unwrapped(body: bytes) -> bytes:
    """A body without what some hosts put around its JSON."""
    inner = body.removeprefix(BOM)
    if (comments := _COMMENTS.match(inner)) is not None:
        inner = inner[comments.end() :]
    tail = _STREAM_END.search(inner[-40:])
    return inner[: len(inner) - len(tail[0])] if tail else inner


def object_of(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body, also as the only item of a list; None where there is none."""
    return sole(json_of(body))


def sole(found: Any) -> dict[str, Any] | None:
    """An object, also as the only item of a list; None of anything else."""
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return found if isinstance(found, dict) else None


def count(value: Any) -> int | None:
    """A number of tokens; None where a host says something absurd or nothing."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        return None
    return value


def tokens(value: Any) -> list[int] | None:
    """A prompt as tokens; None where it is anything else."""
    if not isinstance(value, list) or not all(type(t) is int and 0 <= t < 2**31 for t in value):
        return None
    return value


def count_said(said: str | None) -> int | None:
    """A whole number as a field of a head says it."""
    return int(said) if said and re.fullmatch(r"[0-9]{1,18}", said) else None


def text(value: Any) -> str | None:
    """A value as text: what is no text is shown as JSON would; None stays None."""
    if value is None or isinstance(value, str):
        return value
    try:
        return str(value)
    except (ValueError, RecursionError):
        return None


def name(value: Any) -> str | None:
    """What names an answer, shortly."""
    found = text(value)
    return found and found[:LONGEST_NAME]


def retry_after(head: Head) -> float | None:
    """Seconds that the host asks to wait.

    It says so as `retry-after-ms`, or as `retry-after` in seconds or as a date (RFC 9110, 10.2.3).
    What it asks for may be absurd: whoever waits bounds it.
    """
    milliseconds, value = field(head, "retry-after-ms"), field(head, "retry-after")
    if milliseconds and (wait := _number(milliseconds)) is not None:
        return wait / 1000
    if not value:
        return None
    if re.fullmatch(r"-[0-9.]+", value):
        return 0.0
    wait = _number(value)
    return _until_date(value) if wait is None else wait


def _number(said: str) -> float | None:
    said = said.strip()
    return float(said) if _NUMBER.fullmatch(said) else None


def _until_date(said: str) -> float | None:
    """Seconds until a date."""
    try:
        until = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError, LookupError, AttributeError, OSError):
        return None
    return max(0.0, until) if math.isfinite(until) else None


def until_more(head: Head) -> float:
    """Seconds until the host's rate limit allows more; 0 where something is left."""
    used_up = [reset for left, reset in LIMIT_HEADERS if field(head, left) == "0"]
    return max((duration(field(head, reset)) for reset in used_up), default=0.0)


def duration(said: str | None) -> float:
    """Seconds of a rate-limit field: `1s`, `6m0s`, `120ms`, `0.5`, a point in time; else 0."""
    if not said:
        return 0.0
    seconds = _number(said)
    if seconds is None:
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(said))
    if seconds < EPOCH_S:
        return seconds
    until = seconds if seconds < EPOCH_MS else seconds / 1000
    return max(0.0, until - time.time())


def said(body: bytes, at_most: int) -> str:
    """What a host's error page says, shortly."""
    read = json_of(body)
    found = sole(read) or read
    error = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(error, Unreadable):
        message = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        if message and (words := text(message)):
            return words[:at_most]
    return body[:at_most].decode("utf-8", "replace")
