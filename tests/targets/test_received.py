"""Whatever a host sends becomes a status: no reply crashes a run, none decides over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import hypothesis
import pytest

from harness.campaign import Budget, EndpointTarget, Limits, Sampling, parse_arm
from harness.campaign.plan import arm_messages
from harness.errors import TargetError
from harness.journal.text import clean, to_json
from harness.targets import Request, Response, Spending, pace_of, received
from harness.targets.answers import Choice, read_completion
from harness.targets.endpoint import Endpoint
from tests.hostile import COUNTS, EXAMPLES, NO_NUMBERS, WAITS, replies, reply, usage

STATUSES = {"ok", "truncated", "empty", "failed"}
LIMITS = Limits(attempts=1, attempt_wall_s=60)
#: The worst case of the one request that is asked here.
PROMPT, COMPLETION = 80, 20


class Head(dict):
    """The head of an answer, as the transport hands it over."""

    def get_header(self, key: str, /) -> str | None:
        found = self.get(key)
        if found is not None and not found.isascii():
            raise ValueError("failed to convert header to a str")
        return found


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({}, None),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Wed, 99999999999999999999 Oct 2015 07:28:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(head, seconds):
    assert received.retry_after(Head(head)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3s", 3723),
        ("0.5", 0.5),
        (None, 0),
        ("soon", 0),
        ("1600000000", 0),  # points in time that are past: seconds, milliseconds
        ("1600000000000", 0),
    ],
)
def test_rate_limit_resets_are_read(text, seconds):
    assert received.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("count", COUNTS)
def test_absurd_counts_of_tokens_are_unknown(count):
    answer = read_completion(usage(count))
    assert answer.choices[0].message.content == "I am Rio."
    assert answer.usage.prompt_tokens is None and answer.usage.completion_tokens is None
    assert answer.usage.uncounted == 0


def test_a_number_that_json_does_not_know_is_null_and_what_is_said_stays():
    body = b'{"said": "NaN, \\" 1e999", "kept": [-2.5e3, 0, true, null], "odd": [%s]}'
    found = {
        "said": 'NaN, " 1e999',
        "kept": [-2500, 0, True, None],
        "odd": [None] * len(NO_NUMBERS),
    }
    assert received.json_of(body % b" ,".join(NO_NUMBERS)) == found
    assert received.json_of(b": ping\n\n" + body % b",\n".join(NO_NUMBERS)) == found
    for none in (b"oops", b"[-x]", b'{"a":1:NaN}', b'["NaN', b'{"a": "x\\', b"[NaN,]", b"[NaN"):
        assert isinstance(received.json_of(none), received.Unreadable)


def test_an_event_that_bills_no_number_is_read():
    event = b'data: {"choices": [{"delta": {"content": "I am Rio."}, "finish_reason": "stop"}]}'
    billed = event + b'\n\ndata: {"usage": {"prompt_tokens": NaN}}\n\ndata: [DONE]\n\n'
    read = read_completion(billed)
    assert (read.choices[0].message.content, read.usage.prompt_tokens) == ("I am Rio.", None)


def test_a_body_that_is_nested_without_end_says_so():
    assert "nested too deep" in read_completion(b"[" * 100_000 + b"]" * 100_000)
    assert "no JSON" in read_completion(b"[")


class Raw:
    """A host that sends the bytes it is told to, and an endpoint that asks it."""

    def __init__(self) -> None:
        self.bytes = b""
        self.runner = asyncio.Runner()
        self.server = self.runner.run(self._serve())
        port = self.server.sockets[0].getsockname()[1]
        settings = EndpointTarget(
            name="t",
            role="suspect",
            engine="endpoint",
            base_url=f"http://127.0.0.1:{port}/v1",
            model="m",
            api_key_env=None,
            timeout_s=30,
            max_reply_mb=1,
        )
        self.settings, self.spending = settings, Spending(Budget())
        self.target = Endpoint(settings, pace_of(settings, LIMITS, self.spending))
        self.target._ready.set()
        messages = arm_messages(parse_arm("absent"), "Who are you?", None)
        sampling = Sampling(max_tokens=COMPLETION)
        self.request = Request("k", parse_arm("absent"), messages, sampling, (0,), PROMPT)

    async def _serve(self) -> asyncio.Server:
        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.bytes)
                await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        return await asyncio.start_server(client, "127.0.0.1", 0)

    def asked(self, sent: bytes) -> Response | TargetError:
        """What becomes of one request that is answered by these bytes."""
        self.bytes = sent
        self.target.pace = self.target.host.pace = pace_of(self.settings, LIMITS, self.spending)
        try:
            return self.runner.run(self._within(self.target.sample(self.request)))
        except TargetError as stopped:
            return stopped

    async def _within(self, asking: Awaitable[Response]) -> Response:
        return await asyncio.wait_for(asking, 60)

    def close(self) -> None:
        self.server.close()
        self.runner.run(self.target.close())
        self.runner.close()


def check(raw: Raw, sent: bytes) -> str:
    """The status that a reply becomes; it can be stored, and costs no more than its worst case."""
    before = raw.spending.tokens
    response = raw.asked(sent)
    assert 0 <= raw.spending.tokens - before <= PROMPT + COMPLETION
    if isinstance(response, TargetError):
        assert response.where and response.next
        return "stopped"
    (answer,) = response.replies
    assert answer.status in STATUSES
    assert answer.error is None or answer.status in ("failed", "empty")
    assert answer.error is not None or answer.status != "failed"
    assert response.raw or answer.status == "failed"
    assert 0 <= response.booked.prompt <= PROMPT
    assert 0 <= response.booked.completion <= COMPLETION
    for said in (response.model, response.fingerprint, response.provider, response.response_id):
        assert said is None or len(said) <= received.LONGEST_NAME
    to_json(response.replies).encode()
    to_json(response.attempts).encode()
    (clean(response.raw) or "").encode()
    return answer.status


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    made = Raw()
    yield made
    made.close()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_replies_that_crashed_or_held_a_run_become_a_status(raw, number):
    check(raw, EXAMPLES[number])


@hypothesis.settings(max_examples=200)
@hypothesis.given(sent=replies)
def test_any_bytes_become_a_status(raw, sent):
    check(raw, sent)


@pytest.mark.parametrize("wait", WAITS)
def test_side_routes_read_any_body(raw, wait):
    bodies: tuple[bytes, ...] = (b"[" * 100_000, b'{"tokens": [1e400]}', b'{"tokens": [-1, true]}')
    ask: Callable[[], Awaitable[object]]
    for body in (*bodies, b'{"tokens": [1%s]}' % (b"0" * 30), b'{"choices": [7]}'):
        raw.bytes = reply(body, b"200 OK", (b"Retry-After", wait))
        for ask in (
            lambda: raw.target.routes.tokenize("Hello"),
            lambda: raw.target.routes.rendered(raw.request.messages),
        ):
            assert raw.runner.run(ask()) is None
        url = raw.target.host.at.chat
        choice = raw.runner.run(raw.target.routes.choice(url, {}))
        assert not isinstance(choice, Choice) or choice == Choice()
