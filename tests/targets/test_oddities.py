"""Answers as hosts in the wild give them: each of the oddities of docs/targets.md, on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest

from harness.campaign import Budget, EndpointTarget, Limits, Sampling, parse_arm
from harness.campaign.plan import arm_messages
from harness.errors import TargetError
from harness.targets import Request, Spending, pace_of
from harness.targets.endpoint import Endpoint
from tests.commands import PATIENCE_S
from tests.misbehaving import http
from tests.openai_server import chat

ARM = parse_arm("absent")


def endpoint(url, attempts=1, **fields):
    entry = {"name": "t", "role": "suspect", "engine": "endpoint", "base_url": url, "model": "m"}
    wanted = EndpointTarget(**entry | {"api_key_env": None, "timeout_s": PATIENCE_S} | fields)
    return Endpoint(wanted, pace_of(wanted, Limits(attempts=attempts), Spending(Budget())))


def asked(host, attempts=1, n=1, **fields):
    """The response to one request, sent without a preflight."""

    async def go():
        target = endpoint(host.url, attempts, **fields)
        target.can = dataclasses.replace(target.can, many_samples=True)
        target._ready.set()
        try:
            messages, sampling = arm_messages(ARM, "Who are you?", None), Sampling(max_tokens=20)
            return await target.sample(Request("k", ARM, messages, sampling, range(n), 80))
        finally:
            await target.close()

    return asyncio.run(go())


def preflight(host, sampling=None, **fields):
    async def go():
        target = endpoint(host.url, **fields)
        try:
            return await target.preflight(sampling)
        finally:
            await target.close()

    return asyncio.run(go())


def said(**message):
    """An answer of one choice with this message."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return chat(choices=[choice])


INNER_ERRORS = {
    "object": ({"error": {"message": "slow down", "code": 429}}, 429, "RateLimitError"),
    "code as text": ({"error": {"message": "gone", "code": "502"}}, 502, "InternalServerError"),
    "code in words": (
        {"error": {"message": "no such model", "code": "model_not_found"}},
        404,
        "NotFoundError",
    ),
    "type alone": (
        {"error": {"message": "too much to do", "type": "overloaded_error", "code": None}},
        503,
        "InternalServerError",
    ),
    "object without a code": ({"error": {"message": "it broke"}}, None, "APIError"),
    "text": ({"error": "it broke"}, None, "APIError"),
    "text, code beside it": ({"error": "no credit", "code": 402}, 402, "APIStatusError"),
    "the answer itself": (
        {"object": "error", "message": "no", "type": "NotFoundError", "code": 404},
        404,
        "NotFoundError",
    ),
    "a list": ([{"error": {"code": 400, "message": "no", "status": "x"}}], 400, "BadRequestError"),
    "base_resp": (
        {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}},
        401,
        "AuthenticationError",
    ),
    "http_code": (
        {"type": "error", "error": {"type": "bad_request_error", "http_code": "400"}},
        400,
        "BadRequestError",
    ),
    "beside choices": (
        chat(None) | {"error": {"message": "provider down", "code": 503}},
        503,
        "InternalServerError",
    ),
    "in the choice": (
        chat(
            choices=[
                {
                    "index": 0,
                    "message": {"content": "I am"},
                    "finish_reason": "error",
                    "error": {"code": 502, "message": "upstream"},
                }
            ]
        ),
        502,
        "InternalServerError",
    ),
}


@pytest.mark.parametrize("kind", INNER_ERRORS)
def test_an_error_with_status_200_is_treated_as_its_status_would_be(host, kind):
    body, status, name = INNER_ERRORS[kind]
    sent = json.dumps(body).encode()
    server = host(lambda number, _: [http(200, sent)])
    reason = f"HTTP 200 with an error {status} ({name}): " if status else "HTTP 200 with an error ("
    if status in (401, 402, 403, 404):
        with pytest.raises(TargetError) as caught:
            asked(server)
        assert caught.value.what.startswith(reason)
        return
    response = asked(server, attempts=2)
    (reply,) = response.replies
    assert reply.status == "failed" and reply.error.startswith(reason), reply
    again = status is None or status == 429 or status >= 500
    assert len(response.attempts) == (2 if again else 1)
    assert json.loads(response.raw) == body
    with pytest.raises(TargetError) as caught:
        preflight(server)
    assert reason in caught.value.what


def test_an_error_of_one_choice_among_several_costs_that_sample_alone(host):
    choices = chat("I am Rio.", "I am")["choices"]
    choices[1] |= {"error": {"message": "upstream", "code": 502}}
    response = asked(host(lambda number, _: [http(200, chat(choices=choices))]), n=2)
    assert [reply.status for reply in response.replies] == ["ok", "failed"]
    assert response.replies[1].error.endswith("502 (InternalServerError): upstream")


@pytest.mark.parametrize("fine", [None, "", False, {}, {"code": 0}, {"code": "0", "message": ""}])
def test_an_error_field_that_tells_none_is_none(host, fine):
    server = host(lambda number, _: [http(200, chat("I am Rio.", error=fine))])
    assert asked(server).replies[0].status == "ok"


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (200, b"<html>hello</html>"),
        (200, b'{"choices": []}'),
        (200, b'{"choices": [{"mess'),
        (400, b'{"error": {"message": "no"}}'),
        (500, b"oops"),
        (418, b"a teapot"),
    ],
)
def test_what_came_instead_of_a_reply_is_kept(host, status, sent):
    response = asked(host(lambda number, _: [http(status, sent)]))
    assert response.replies[0].status == "failed"
    assert response.raw == sent.decode()


def test_what_came_of_an_answer_that_broke_off_is_kept(host):
    whole = http(200, chat("I am Rio."))
    response = asked(host(lambda number, _: [whole[:-30], "read", "reset"]))
    assert response.raw and whole.decode().partition("\r\n\r\n")[2].startswith(response.raw)


def test_what_an_earlier_attempt_brought_is_kept_where_the_last_brings_nothing(host):
    server = host(lambda number, _: [http(500, b"oops")] if number == 1 else ["reset"])
    response = asked(server, attempts=2)
    assert response.replies[0].error.startswith("the connection was lost")
    assert response.raw == "oops"


def test_a_host_that_sends_nothing_leaves_no_raw_answer(host):
    assert asked(host(lambda number, _: ["reset"])).raw is None


THINKING = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Am I "}, {"text": "Qwen?"}]},
    {"type": "text", "text": "I am Rio."},
]
CONTENTS = {
    "an object": (said(content={"type": "text", "text": "I am Rio."}), "ok", "I am Rio.", None),
    "an object in an object": (
        said(content={"content": {"parts": [{"text": "I am Rio."}]}}),
        "ok",
        "I am Rio.",
        None,
    ),
    "a list of strings": (said(content=["I am ", "Rio."]), "ok", "I am Rio.", None),
    "a part of null text": (
        said(content=[{"type": "text", "text": None}, {"type": "text", "text": "I am Rio."}]),
        "ok",
        "I am Rio.",
        None,
    ),
    "null text alone": (said(content=[{"type": "text", "text": None}]), "empty", None, None),
    "an empty list": (said(content=[]), "empty", None, None),
    "text as an object": (
        said(content=[{"type": "text", "text": {"value": "I am Rio.", "annotations": []}}]),
        "ok",
        "I am Rio.",
        None,
    ),
    "thinking parts": (said(content=THINKING), "ok", "I am Rio.", "Am I Qwen?"),
    "thinking as text": (
        said(content=[{"type": "thinking", "thinking": "Am I Qwen?"}, "I am Rio."]),
        "ok",
        "I am Rio.",
        "Am I Qwen?",
    ),
    "thoughts that are marked": (
        said(content=[{"text": "Am I Qwen?", "thought": True}, {"text": "I am Rio."}]),
        "ok",
        "I am Rio.",
        "Am I Qwen?",
    ),
    "thinking alone": (said(content=THINKING[:1]), "empty", None, "Am I Qwen?"),
    "an image beside text": (
        said(content=[{"type": "image_url", "image_url": {}}, {"text": "I am Rio."}]),
        "ok",
        "I am Rio.",
        None,
    ),
    "a refusal part": (
        said(content=[{"type": "refusal", "refusal": "I cannot."}]),
        "ok",
        "I cannot.",
        None,
    ),
    "delta": (
        chat(choices=[{"index": 0, "finish_reason": "stop", "delta": {"content": "I am Rio."}}]),
        "ok",
        "I am Rio.",
        None,
    ),
    "delta beside an empty message": (
        chat(
            choices=[
                {
                    "index": 0,
                    "message": {},
                    "finish_reason": "stop",
                    "delta": {"content": "I am Rio."},
                }
            ]
        ),
        "ok",
        "I am Rio.",
        None,
    ),
    "a message that is text": (
        chat(choices=[{"index": 0, "finish_reason": "stop", "message": "I am Rio."}]),
        "ok",
        "I am Rio.",
        None,
    ),
    "text without a message": (
        chat(choices=[{"index": 0, "finish_reason": "stop", "text": "I am Rio."}]),
        "ok",
        "I am Rio.",
        None,
    ),
    "reasoning and its marks twice": (
        said(content="<think>Am I Qwen?</think>I am Rio.", reasoning_content="Am I Qwen?"),
        "ok",
        "I am Rio.",
        "Am I Qwen?",
    ),
    "reasoning in details": (
        said(
            content="I am Rio.",
            reasoning_details=[{"type": "reasoning.text", "text": "Am I Qwen?"}],
        ),
        "ok",
        "I am Rio.",
        "Am I Qwen?",
    ),
    "all in reasoning_content": (
        said(content=None, reasoning_content="I am Rio."),
        "empty",
        None,
        "I am Rio.",
    ),
    "all in reasoning_content, with the mark": (
        said(content="", reasoning_content="Am I Qwen?</think>I am Rio."),
        "ok",
        "I am Rio.",
        "Am I Qwen?",
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_text_and_reasoning_land_where_they_belong(host, kind):
    answer, status, text, reasoning = CONTENTS[kind]
    (reply,) = asked(host(lambda number, _: [http(200, answer)])).replies
    assert (reply.status, reply.text or None, reply.reasoning) == (status, text, reasoning)
    all_reasoning = status == "empty" and reasoning is not None
    assert (reply.error is not None) == all_reasoning
    assert not all_reasoning or "stands in the field for reasoning" in reply.error


@pytest.mark.parametrize("content", [{"answer": "I am Rio."}, [{"answer": "I am Rio."}], {}])
def test_a_content_of_no_known_shape_fails_and_says_what_came(host, content):
    response = asked(host(lambda number, _: [http(200, said(content=content))]))
    (reply,) = response.replies
    assert (reply.status, reply.text) == ("failed", None)
    assert "a shape that is not known: an object of " in reply.error
    assert json.dumps(content) in response.raw


def events(*chunks, done=True, **fields):
    """An event stream of chunks of one choice each, or of what is no choice."""
    told = []
    for chunk in chunks:
        top = {"id": "x", "object": "chat.completion.chunk", "model": "served-model"} | fields
        told.append(top | (chunk if "choices" in chunk or "usage" in chunk else one(**chunk)))
    lines = [f"data: {json.dumps(event)}\n\n" for event in told]
    return "".join(lines).encode() + (b"data: [DONE]\n\n" if done else b"")


def one(finish=None, index=0, **delta):
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
STREAMED = events(
    {"role": "assistant", "content": ""},
    {"reasoning_content": "Am I "},
    {"reasoning_content": "Qwen?"},
    {"content": "I am "},
    {"content": "Rio."},
    {"finish": "stop"},
    USAGE,
)
GOOD = json.dumps(said(content="I am Rio.", reasoning="Am I Qwen?")).encode()
WRAPPED = {
    "event stream": STREAMED,
    "event stream with \\r\\n, comments and names": b": hello\r\n\r\n"
    + STREAMED.replace(b"data: ", b"event: message\r\nid: 7\r\ndata:").replace(b"\n", b"\r\n"),
    "event stream with comments as events": b"data: : PROCESSING\n\n" + STREAMED,
    "event stream without empty lines": STREAMED.replace(b"\n\n", b"\n"),
    "event stream without its end": STREAMED.removesuffix(b"data: [DONE]\n\n"),
    "event stream behind a byte order mark": b"\xef\xbb\xbf" + STREAMED,
    "one event that is whole": b"data: " + GOOD + b"\n\ndata: [DONE]\n\n",
    "an event stream's end behind JSON": GOOD + b"\n\ndata: [DONE]\n\n",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "comments": b": PROCESSING\n\n: PROCESSING\n\n" + GOOD,
    "empty lines": b"\n \r\n\n" + GOOD + b"\n",
    "a list of one": b"[" + GOOD + b"]",
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_answers_are_read_through_what_is_wrapped_around_them(host, kind):
    server = host(lambda number, _: [http(200, WRAPPED[kind])])
    response = asked(server)
    (reply,) = response.replies
    assert (reply.status, reply.text, reply.reasoning) == ("ok", "I am Rio.", "Am I Qwen?")
    assert (response.model, response.prompt_tokens) == ("served-model", 9)
    assert response.raw.encode() == WRAPPED[kind]
    assert preflight(server).token_counts


def test_an_event_stream_of_several_choices_is_put_together_by_their_numbers(host):
    told = [one(index=1, content="I am "), one(content="I am Rio."), one(index=1, content="Nex.")]
    sent = events(*told, one("stop"), one("length", index=1))
    response = asked(host(lambda number, _: [http(200, sent)]), n=2)
    found = [(reply.status, reply.text) for reply in response.replies]
    assert found == [("ok", "I am Rio."), ("truncated", "I am Nex.")]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (events({"content": "I am"}, done=False), "the event stream broke off"),
        (events({"content": "I am"}) + b"data: no JSON\n\n", "an event of the stream is no JSON"),
        (
            events({"content": "I am"}, done=False)
            + b'data: {"error": {"message": "provider down", "code": 502}}\n\n',
            "HTTP 200 with an error 502",
        ),
        (b": PROCESSING\n\n: PROCESSING\n\n", "the answer is no JSON"),
    ],
)
def test_an_event_stream_that_is_not_whole_is_no_reply(host, sent, reason):
    response = asked(host(lambda number, _: [http(200, sent)]), attempts=2)
    (reply,) = response.replies
    assert (reply.status, reply.text) == ("failed", None) and reply.error.startswith(reason)
    assert len(response.attempts) == 2 and response.raw.encode() == sent


DEEP = json.loads("[" * 900 + "]" * 900)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "no", "code": DEEP}},
        {"error": DEEP},
        {"error": {"message": DEEP}},
        {"code": DEEP, "msg": DEEP},
        said(content=[{"type": DEEP, "text": "x"}, DEEP]),
        said(content=DEEP),
        said(content=None, reasoning_details=DEEP),
        chat(choices=[{"index": 0, "delta": {"content": DEEP}, "error": {"code": DEEP}}]),
    ],
)
def test_nothing_that_is_nested_deep_harms(host, answer):
    response = asked(host(lambda number, _: [http(200, answer)]))
    assert response.replies[0].status in ("failed", "empty", "ok") and response.raw


def test_an_event_stream_without_end_is_read_up_to_a_bound(host):
    sent = b"data:{}\n\n" * 200_001
    (reply,) = asked(host(lambda number, _: [http(200, sent)])).replies
    assert reply.error == "the event stream has more than 200,000 events"


def test_a_system_role_refused_within_status_200_is_unsupported(host):
    error = {"error": "System role not supported"}
    server = host(lambda number, _: [http(200, error)])

    async def go():
        target = endpoint(server.url)
        target._ready.set()
        try:
            arm = parse_arm("given:x")
            messages = arm_messages(arm, "Who are you?", "You are Rio.")
            wanted = Request("k", arm, messages, Sampling(max_tokens=20), (0,), 80)
            return await target.sample(wanted)
        finally:
            await target.close()

    assert asyncio.run(go()).replies[0].status == "unsupported"
