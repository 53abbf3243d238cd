"""Whatever a host may send: any bytes as status line, head and body, and answers with absurd parts.

`EXAMPLES` are those that once crashed or held a run, or that nearly did; `replies` draws others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st

#: Names of fields that are read of a head.
FIELDS: Final = (
    *("retry-after", "retry-after-ms", "content-length", "content-encoding", "transfer-encoding"),
    *("location", "connection", "content-type"),
    *("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    *("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)
#: Waits that no run may wait for.
WAITS: Final = (
    *(b"1000000000", b"inf", b"Infinity", b"nan", b"1e400", b"-5", b"0x10", b"9" * 400, b"1_0"),
    *(b"Fri, 31 Dec 9999 23:59:59 GMT", b"Wed, 99999999999999999999 Oct 2015 07:28:00 GMT"),
    *(b"Wed, 21 Oct 99999999999999999999 07:28:00 GMT", b"Wed, 21 Oct 2015 99:99:99 GMT"),
    *(b"Fri, 31 Dec 9999 23:59:59 -2359", b"Mon, 01 Jan 0001 00:00:00 +2359", b"soon; maybe"),
    *(b"\xff\xfe", "٣".encode(), b"1795751948000", b"99999999999d", b"1s" * 500, b""),
)
#: Numbers that JSON does not know.
NO_NUMBERS: Final = (
    *(b"NaN", b"-Infinity", b"inf", b"+1", b".5", b"1.", b"01", b"0x10", b"1_0"),
    *(b"1e400", b"-1e999"),
)
#: Literals in the place of a count of tokens.
COUNTS: Final = (
    *(b"9223372036854775807", b"-9223372036854775808", b"-1", b"1" + b"0" * 30, b"1" + b"0" * 400),
    *(b"1" * 5000, b"9.5", b"true", b'"12"', b"null", b"[]", b"3000000000"),
    *NO_NUMBERS,
)
DEEP: Final = b"[" * 100_000 + b"]" * 100_000
SAID: Final = b'{"choices": [{"message": {"content": "I am Rio."}, "finish_reason": "stop"}]'
CUT: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"


def reply(body: bytes, status: bytes = b"200 OK", *fields: tuple[bytes, bytes]) -> bytes:
    """A whole reply as bytes."""
    head = b"".join(b"%s: %s\r\n" % field for field in fields)
    if not any(name.lower() == b"content-length" for name, _ in fields):
        head += b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + body


def usage(count: bytes) -> bytes:
    """An answer that bills so many tokens, of every kind."""
    details = b'"prompt_tokens_details": {"cached_tokens": %s}' % count
    billed = b'{"prompt_tokens": %s, "completion_tokens": %s, %s}' % (count, count, details)
    return SAID + b', "usage": ' + billed + b"}"


EXAMPLES: Final = (
    *(reply(b"{}", b"429 X", (b"Retry-After", wait)) for wait in WAITS),
    *(reply(b"{}", b"429 X", (b"Retry-After-Ms", wait)) for wait in WAITS),
    *(
        reply(
            SAID + b"}",
            b"200 OK",
            (b"x-ratelimit-remaining-requests", b"0"),
            (b"x-ratelimit-reset-requests", wait),
        )
        for wait in WAITS
    ),
    *(reply(usage(count)) for count in COUNTS),
    reply(DEEP),
    reply(SAID + b', "more": ' + DEEP + b"}"),
    reply(b'{"choices": [{"message": {"content": ' + DEEP + b"}}]}"),
    reply(b'{"error": {"message": ' + DEEP + b"}}", b"400 X"),
    reply(b'{"error": {"message": ' + b"[" * 900 + b"]" * 900 + b"}}", b"400 X"),
    reply(b'{"error": {"message": ' + b"1" * 5000 + b"}}", b"400 X"),
    reply(b'{"error": [[{}]]}', b"500 X"),
    reply(b"null", b"503 X"),
    reply(b"", b"302 X", (b"Location", b"\xc3\xa9\xff" * 100)),
    reply(b"", b"302 X", (b"Location", b"http://evil/" + b"a" * 50_000)),
    reply(b"\xef\xbb\xbf{}"),
    reply(b'"\\ud800"'),
    reply(SAID + b', "model": 5, "id": {"a": [1]}, "provider": "' + b"p" * 9000 + b'"}'),
    reply(b'{"choices": [null, 1, [], {}, {"message": 1}, {"text": {"a": 1}}]}'),
    reply(b'{"choices": [{"message": {"content": [{"text": [1]}, {"text": null}, 2]}}]}'),
    reply(b'{"choices": {"0": {}}}'),
    reply(b"{}", b"999 X"),
    reply(b"{}", b"099 X"),
    reply(b"", b"101 X"),
    reply(b"", b"204 X"),
    reply(b"{}", b"200 OK", (b"Content-Length", b"9" * 400)),
    reply(b"{}", b"200 OK", (b"Content-Length", b"-1")),
    reply(b"{}", b"200 OK", (b"Content-Encoding", b"gzip")),
    b"HTTP/1.1 100 X\r\n\r\n" * 50 + reply(SAID + b"}"),
    b"HTTP/1.1 200 OK\r\n" + b"a: 1\r\n" * 5000 + b"\r\n{}",
    b"HTTP/1.1 200 OK\r\na: " + b"a" * 1_000_000 + b"\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\n\r\n" + SAID + b"}",
    CUT,
    b"",
    b"\0" * 1000,
)


def damaged(sent: bytes, forms: int) -> Iterator[bytes]:
    """A reply in so many more forms: letters changed, pieces lost, said twice or cut off."""
    draw = random.Random(sent)
    for _ in range(forms):
        at, more = draw.randrange(len(sent) + 1), draw.randrange(1, 9)
        piece = draw.choice([b"", draw.randbytes(more), sent[at : at + more] * 2, sent[:at]])
        yield sent[:at] + piece + draw.choice([sent[at + more :], sent[at:], b""])


_texts = st.text(max_size=20)
_literals = st.sampled_from([json.loads(c) for c in COUNTS if len(c) < 100 and c not in NO_NUMBERS])
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts | _literals,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


def _object(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which each of some fields is missing, or is any value."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, _values))


_message = _object("content", "refusal", "reasoning", "reasoning_content", "thinking")
_choice = st.fixed_dictionaries(
    {},
    optional={"message": _message | _values, "text": _values, "finish_reason": _values | _texts},
)
_answer = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(_choice | _values, max_size=3) | _values,
        "usage": _object("prompt_tokens", "completion_tokens", "prompt_tokens_details") | _values,
        "error": _object("message", "detail") | _values,
        **dict.fromkeys(("model", "id", "provider", "system_fingerprint"), _values),
    },
)
_bodies = st.one_of(
    _answer.map(lambda answer: json.dumps(answer).encode()),
    _answer.map(lambda answer: json.dumps(answer, ensure_ascii=False).encode(errors="replace")),
    st.binary(max_size=200),
    st.tuples(_answer, st.binary(max_size=4), st.integers(0, 200)).map(
        lambda made: (lambda b: b[: made[2]] + made[1] + b[made[2] :])(json.dumps(made[0]).encode())
    ),
)
_waits = st.sampled_from(WAITS) | st.binary(max_size=30) | st.integers().map(lambda n: b"%d" % n)
_fields = st.tuples(st.sampled_from(FIELDS).map(str.encode) | st.binary(max_size=10), _waits)
_statuses = st.integers(100, 999).map(lambda n: b"%d X" % n) | st.sampled_from(
    [b"200 OK", b"200 OK", b"200 OK", b"429 X", b"500 X", b"302 X"]
)
#: Replies of any kind, to the byte.
replies: st.SearchStrategy[bytes] = st.one_of(
    st.builds(lambda b, s, f: reply(b, s, *f), _bodies, _statuses, st.lists(_fields, max_size=4)),
    st.builds(lambda b, s: reply(b, s), _bodies, _statuses),
    st.binary(max_size=300),
    st.binary(max_size=30).map(lambda start: b"HTTP/1.1 " + start),
)
