"""Finish reasons: what is cut, filtered or broken off is no whole reply, and says so."""

from __future__ import annotations

import msgspec
import pytest

from harness.targets.answers import read_completion, replies
from harness.targets.finishes import FINISHES, ended
from tests.openai_server import chat
from tests.targets.test_endpoint import ask, many, request


def reply(finish, text="I am Nex, and", tokens=5, most=20, choices=1):
    body = chat(*[text] * choices, finish=finish)
    body["usage"]["completion_tokens"] = tokens
    found = read_completion(msgspec.json.encode(body))
    assert not isinstance(found, str)
    return replies(found, range(choices), most)[0]


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        ("length", "truncated"),
        ("MAX_TOKENS", "truncated"),
        ("model_context_window_exceeded", "truncated"),
        ("content_filter", "filtered"),
        ("SAFETY", "filtered"),
        ("recitation", "filtered"),
        ("PROHIBITED_CONTENT", "filtered"),
        ("sensitive", "filtered"),
        ("error", "failed"),
        ("abort", "failed"),
        ("insufficient_system_resource", "failed"),
        ({"type": "abort", "message": "the server is shutting down"}, "failed"),
        ({"type": "length", "length": 20}, "truncated"),
        ({"type": "stop", "matched": 7}, "ok"),
        ("stop", "ok"),
        ("STOP", "ok"),
        ("end_turn", "ok"),
        ("eos", "ok"),
        ({}, "ok"),
        (None, "ok"),
    ],
)
def test_a_reply_has_the_status_that_its_finish_tells(finish, status):
    found = reply(finish)
    assert (found.status, found.text) == (status, "I am Nex, and")
    assert (found.error is not None) == (status in ("filtered", "failed"))
    if isinstance(finish, dict) and "message" in finish:
        assert finish["message"] in found.error and found.finish_reason.startswith("abort: ")


def test_a_finish_that_is_missing_is_cut_where_the_tokens_are_used_up():
    assert reply(None, tokens=20).status == "truncated"
    assert reply(None, tokens=19).status == "ok"
    assert reply("stop", tokens=20).status == "ok"
    assert reply(None, tokens=60, choices=3).status == "truncated"
    assert reply(None, tokens=59, choices=3).status == "ok"


@pytest.mark.parametrize("finish", sorted(FINISHES))
def test_no_text_does_not_hide_how_it_ended(finish):
    assert ended(None, finish).status == FINISHES[finish] != "ok"


@pytest.mark.parametrize("reason", ["x" * 10**6, {"type": "abort", "message": "y" * 10**6}, [[]]])
def test_what_is_kept_of_a_reason_is_short(reason):
    assert len(reply(reason).finish_reason) <= 300


def test_a_filtered_sample_is_not_asked_again_and_says_why(serve):
    """It came as it came: asking until the filter lets a reply pass would bend the rates."""

    def respond(path, body, number):
        found = many(path, body, number)
        return found if isinstance(found, tuple) else chat("I am", finish="content_filter")

    host = serve(respond)
    _, (found,) = ask(host, request())
    assert (found.status, found.finish_reason) == ("filtered", "content_filter")
    assert found.error == "the host's filter ended the reply: content_filter"
    assert len(host.seen) == 1
