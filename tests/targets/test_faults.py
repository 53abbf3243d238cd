"""Every fault of docs/reliability.md, from a host that really commits it.

What the row says, what was tried, that nothing is lost.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import gzip
import itertools
import ssl
import subprocess
import time

import pytest
import trustme

from harness.campaign import Budget, EndpointTarget, Limits, Sampling, parse_arm
from harness.campaign.plan import arm_messages
from harness.errors import TargetError
from harness.targets import Request, Spending, pace_of
from harness.targets.endpoint import Endpoint
from tests.commands import PATIENCE_S
from tests.misbehaving import NEVER, Misbehaving, good, http
from tests.openai_server import chat

ARM = parse_arm("absent")
BODY = {"messages": [{"role": "user", "content": "Who are you?"}]}


def asked(script, n=1, attempts=2, url=None, tls=None, **fields):
    """The response to one request, and what it cost in tokens.

    ``script(number, body)`` counts from the first request after the preflight.
    """
    past = []

    def later(number, body):
        return script(number - len(past), body) if past else None

    host = Misbehaving(later, tls) if url is None else None
    wanted = settings(url or host.url, samples_per_request=max(n, 2), **fields)
    spending = Spending(Budget())

    async def go():
        target = Endpoint(wanted, pace_of(wanted, Limits(attempts=attempts), spending))
        try:
            await target.preflight()
            past.extend([None] * host.chats)
            spending.tokens = 0
            messages = arm_messages(ARM, "Who are you?", None)
            sampling = Sampling(max_tokens=20)
            return await target.sample(Request("k", ARM, messages, sampling, range(n), 80))
        finally:
            await target.close()

    try:
        return asyncio.run(go()), spending
    finally:
        if host:
            host.close()


def settings(url, **fields):
    entry = {"name": "t", "role": "suspect", "engine": "endpoint", "base_url": url, "model": "m"}
    entry |= {"api_key_env": None, "timeout_s": PATIENCE_S}
    return EndpointTarget(**entry | fields)


def once(*steps):
    """The fault at the first request, good answers after it."""
    return lambda number, body: list(steps) if number == 1 else None


SHORT = http(200, chat("I am Rio."))

FAULTS = {
    "429": ([http(429, b"{}")], "HTTP 429 (RateLimitError)"),
    "429, Retry-After in seconds": (
        [http(429, b"{}", "Retry-After: 0.2")],
        "HTTP 429 (RateLimitError)",
    ),
    "429, Retry-After as a date": (
        [
            http(
                429,
                b"{}",
                "Retry-After: " + email.utils.format_datetime(datetime.datetime.now(datetime.UTC)),
            )
        ],
        "HTTP 429 (RateLimitError)",
    ),
    "500": ([http(500, b"oops")], "HTTP 500 (InternalServerError): oops"),
    "502": ([http(502, b"<html>bad gateway</html>")], "HTTP 502 (InternalServerError)"),
    "503": ([http(503, b"busy")], "HTTP 503 (InternalServerError): busy"),
    "529": ([http(529, b"{}")], "HTTP 529 (InternalServerError)"),
    "reset before the reply": (["reset"], "the connection was lost"),
    "closed before the reply": (["close"], "the connection was lost"),
    "dropped before the reply": (["drop"], "the connection was lost"),
    "dropped amid the head": ([SHORT[:20], "read", "drop"], "the connection was lost"),
    "dropped amid the body": ([SHORT[:-30], "read", "drop"], "the answer broke off"),
    "reset amid the head": ([SHORT[:20], "reset"], "the connection was lost"),
    "reset amid the body": ([SHORT[:-30], "read", "reset"], "the answer broke off"),
    "closed amid the body": ([SHORT[:-30], "close"], "the answer broke off"),
    "a longer length announced": (
        [http(200, chat("x"), length=9999), "close"],
        "the answer broke off",
    ),
    "a shorter length announced": (
        [http(200, chat("x"), length=40), "close"],
        "the answer is no JSON",
    ),
    "truncated JSON": ([http(200, b'{"choices": [{"message"')], "the answer is no JSON"),
    "HTML": ([http(200, b"<html>hello</html>")], "the answer is no JSON: b'<html>"),
    "a JSON list": ([http(200, b"[1, 2]")], "the answer is no JSON object"),
    "empty choices": ([http(200, chat())], "the answer holds no choices"),
    "invalid UTF-8": (
        [http(200, b'{"choices": [{"message": {"content": "\xff\xfe"}}]}')],
        "the answer is no JSON",
    ),
    "no HTTP at all": ([b"SSH-2.0-OpenSSH\r\n\r\n", "close"], "the answer broke off"),
    "a reply that never comes": ([NEVER], "no whole answer within 5 s"),
    "a body that never ends": ([SHORT[:-30], NEVER], "no whole answer within 5 s"),
    "broken chunks": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "close"],
        "the answer broke off",
    ),
}


def patience(steps):
    """Short only where the host never ends its answer."""
    return 5 if NEVER in steps else PATIENCE_S


@pytest.mark.parametrize("over_tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_tried_again_and_recorded(fault, over_tls, request):
    steps, said = FAULTS[fault]
    tls = request.getfixturevalue("trusted") if over_tls else None
    response, _ = asked(once(*steps), timeout_s=patience(steps), tls=tls)
    assert response.replies[0].status == "ok", response
    assert response.replies[0].text == "I am Rio. You asked: Who are you?"
    assert len(response.attempts) == 2 and response.attempts[1] == "ok"
    assert response.attempts[0].startswith(said), response.attempts


@pytest.mark.parametrize(
    "fault",
    [
        "500",
        "reset before the reply",
        "HTML",
        "empty choices",
        "a reply that never comes",
        "429, Retry-After in seconds",
    ],
)
def test_a_lasting_fault_is_a_row_with_its_reason_and_not_an_answer(fault):
    steps, said = FAULTS[fault]
    response, spending = asked(lambda number, body: list(steps), timeout_s=patience(steps))
    (reply,) = response.replies
    assert (reply.status, reply.text) == ("failed", None)
    assert reply.error.startswith(said)
    assert len(response.attempts) == 2
    may_have_cost = fault in (
        "reset before the reply",
        "HTML",
        "empty choices",
        "a reply that never comes",
    )
    assert response.booked.unknown_usage == (2 if may_have_cost else 0)
    assert spending.unknown_usage == response.booked.unknown_usage


def test_answers_that_are_odd_but_whole_are_kept_as_they_are():
    response, _ = asked(once(SHORT, "read", "reset"))  # reset after the reply
    assert (response.replies[0].status, response.attempts) == ("ok", ("ok",))
    trickle = [piece for i in range(0, len(SHORT), 40) for piece in (SHORT[i : i + 40], 0.01)]
    response, _ = asked(once(*trickle))
    assert (response.replies[0].text, response.attempts) == ("I am Rio.", ("ok",))
    response, _ = asked(once(http(200, chat(None))))
    assert (response.replies[0].status, response.replies[0].text) == ("empty", None)
    response, spending = asked(once(http(200, chat("I am Rio.", usage=None, extra={"a": 1}))))
    assert (response.replies[0].status, spending.unknown_usage) == ("ok", 1)


def test_fewer_choices_than_asked_for_are_asked_for_again():
    response, _ = asked(
        lambda number, body: [http(200, chat("a", "b"))] if number == 1 else None, n=5
    )
    assert [r.index for r in response.replies] == list(range(5))
    assert [r.text for r in response.replies[:2]] == ["a", "b"]
    assert {r.status for r in response.replies} == {"ok"}
    assert response.attempts == ("ok", "ok")
    response, _ = asked(lambda number, body: [http(200, chat("a", "b"))], n=5, attempts=2)
    assert [r.status for r in response.replies] == ["ok"] * 4 + ["failed"]
    assert "fewer choices" in response.replies[4].error


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        (lambda number, body: [http(200, chat("a"))], 5),
        (lambda number, body: [http(200, chat("a", "b"))] if number == 1 else None, 2),
    ],
)
def test_what_the_journal_books_is_what_the_caps_count(script, calls):
    response, spending = asked(script, n=5, attempts=5)
    assert (response.booked.requests, response.booked.prompt, response.booked.completion) == (
        calls,
        9 * calls,
        5 * calls,
    )
    assert spending.tokens == 14 * calls


def test_answers_with_the_same_id_are_samples_of_their_own():
    response, _ = asked(lambda number, body: [http(200, chat(f"answer {number}"))], n=3, attempts=4)
    assert [(r.index, r.status, r.text) for r in response.replies] == [
        (0, "ok", "answer 1"),
        (1, "ok", "answer 2"),
        (2, "ok", "answer 3"),
    ]


def test_a_huge_reply_is_cut_and_marked():
    huge = b'{"choices": [{"message": {"content": "' + b"a" * 50_000_000 + b'"}}]}'
    response, _ = asked(lambda number, body: [http(200, huge)], max_reply_mb=1)
    (reply,) = response.replies
    assert reply.status == "failed" and "longer than 1 MB and was cut" in reply.error
    assert len(response.attempts) == 1


def test_an_endless_reply_is_cut_at_the_limit():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"186a0\r\n" + b"a" * 100_000 + b"\r\n"
    response, _ = asked(
        lambda number, body: itertools.chain([head], itertools.repeat(chunk)), max_reply_mb=1
    )
    assert "longer than 1 MB and was cut" in response.replies[0].error


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://no-such-host.invalid/v1", "no connection to http://no-such-host.invalid/v1"),
        ("http://127.0.0.1:9/v1", "no connection to http://127.0.0.1:9/v1"),
    ],
)
def test_a_host_that_is_not_there_is_named(url, said):
    with pytest.raises(TargetError, match="next") as caught:
        asked(None, url=url, attempts=1)
    assert said in str(caught.value)


@pytest.fixture(scope="session")
def authority():
    """An authority of our own, that nobody trusts until it is told to."""
    return trustme.CA()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """A certificate of this host by an authority that is trusted here."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return serving(authority.issue_cert("127.0.0.1"))


def serving(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("certified", "which"),
    [
        (lambda ours: ours.issue_cert("127.0.0.1", not_after=LONG_AGO), "it has expired"),
        (lambda ours: ours.issue_cert("somebody.else"), "it is for another host"),
        (lambda ours: trustme.CA().issue_cert("127.0.0.1"), "its issuer is not known here"),
    ],
)
def test_a_refused_certificate_stops_the_target_and_says_which(authority, certified, which):
    with pytest.raises(TargetError) as caught:
        asked(lambda number, body: None, tls=serving(certified(authority)))
    assert f"is refused: {which}" in caught.value.what
    assert "SSL_CERT_FILE" in caught.value.next


@pytest.mark.usefixtures("trusted")
def test_a_certificate_that_signed_itself_stops_the_target(tmp_path):
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
    command = ["openssl", *words.split(), "-subj", "/CN=somebody.else"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with pytest.raises(TargetError, match="its issuer is not known here"):
        asked(lambda number, body: None, tls=context)


def test_a_machine_without_authorities_says_so_and_plain_hosts_still_work(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "/no/such/place")
    response, _ = asked(lambda number, body: None)
    assert response.replies[0].status == "ok"
    with pytest.raises(TargetError) as caught:
        asked(None, url="https://127.0.0.1:9/v1")
    assert "no certificates of authorities" in caught.value.what
    assert "SSL_CERT_FILE is /no/such/place" in caught.value.what
    assert "ca-certificates" in caught.value.next


@pytest.mark.parametrize("url", ["http://a b/v1", "http://[::1/v1", "http://h:99999/v1"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(TargetError, match="the address is none"):
        asked(None, url=url)


@pytest.mark.parametrize("value", ["sk-planted\n0123456789", "sk-planted\udcff"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(monkeypatch, value):
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(TargetError, match="a header cannot be sent") as caught:
        asked(None, url="http://127.0.0.1:9/v1", api_key_env="MY_KEY")
    assert "planted" not in str(caught.value)


def test_a_small_reply_that_unpacks_to_a_huge_one_is_cut_at_the_limit():
    packed = gzip.compress(b"0" * 50_000_000)
    response, _ = asked(
        lambda number, body: [http(200, packed, "Content-Encoding: gzip")], max_reply_mb=1
    )
    assert "longer than 1 MB and was cut" in response.replies[0].error


def test_a_redirect_is_not_followed_and_the_key_stays_here(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-planted-0123456789")
    other = Misbehaving(lambda number, body: None)
    with pytest.raises(TargetError, match="the host redirects to"):
        asked(
            lambda number, body: [http(307, b"", f"Location: {other.url}/chat/completions")],
            api_key_env="MY_KEY",
        )
    assert other.heads == []
    other.close()


def test_a_proxy_from_the_environment_is_used(monkeypatch):
    proxy = Misbehaving(lambda number, body: None)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    wanted = settings("http://model.example/v1")

    async def go():
        target = Endpoint(wanted)
        await target.preflight()
        await target.close()

    asyncio.run(go())
    assert any(
        head.startswith("POST http://model.example/v1/chat/completions") for head in proxy.heads
    )
    proxy.close()


def test_a_parameter_that_the_host_refuses_is_named_with_what_to_write():
    refusal = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    refused = http(400, {"error": {"message": refusal}})
    host = Misbehaving(lambda number, body: [refused] if "max_tokens" in body else None)
    with pytest.raises(TargetError) as caught:
        asyncio.run(Endpoint(settings(host.url)).preflight())
    assert "rename: {max_tokens: max_completion_tokens}" in str(caught.value)
    host.close()


def test_a_lost_connection_does_not_say_that_a_host_offers_no_raw_completions():
    lost = []

    class Both(Misbehaving):
        route = "/completions"  # of chats too

    def first_raw_lost(number, body):
        if "prompt" in body and not lost:
            lost.append(number)
            return ["reset"]
        return None

    host = Both(first_raw_lost)
    wanted = settings(host.url)

    async def go():
        target = Endpoint(wanted, pace_of(wanted, Limits(attempts=2), Spending(Budget())))
        try:
            return await target.preflight()
        finally:
            await target.close()

    try:
        assert asyncio.run(go()).raw_completions and lost
    finally:
        host.close()


def test_a_used_up_rate_limit_is_waited_for_as_the_headers_say():
    began = time.monotonic()
    response, _ = asked(
        lambda number, body: [
            http(
                200,
                chat("x"),
                "x-ratelimit-remaining-requests: 0",
                "x-ratelimit-reset-requests: 500ms",
            )
        ],
        n=2,
        attempts=3,
    )
    assert {r.status for r in response.replies} == {
        "ok"
    }  # one choice an answer: the second had to wait
    assert time.monotonic() - began >= 0.5


def test_every_answer_that_the_hot_path_reads_is_one_of_openais():
    import msgspec
    from openai.types.chat import ChatCompletion

    from harness.targets.answers import read_completion

    for answer in (
        chat("a"),
        chat("a", "b"),
        chat(None),
        chat("a", finish="length"),
        chat("a", usage=None),
    ):
        theirs, ours = (
            ChatCompletion.model_validate(answer),
            read_completion(msgspec.json.encode(answer)),
        )
        assert [(c.message.content, c.finish_reason) for c in theirs.choices] == [
            (c.message.content, c.finish_reason) for c in ours.choices
        ]
        assert (theirs.id, theirs.model, theirs.system_fingerprint) == (
            ours.id,
            ours.model,
            ours.system_fingerprint,
        )
        assert (theirs.usage and theirs.usage.prompt_tokens) == (
            ours.usage and ours.usage.prompt_tokens
        )


def test_the_good_answer_says_what_was_asked():
    assert b"Who are you?" in good(BODY)
