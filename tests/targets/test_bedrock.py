"""Bedrock's Converse through boto3, against a loopback host: its own validation judges bodies."""

from __future__ import annotations

import asyncio
import json

import pytest

from harness.campaign import Limits
from tests.targets import apis
from tests.targets.apis import request

SECRET = "planted/bedrock+secret0123456789"


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED012345678")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def answer(text="I am Rio.", thought=None, stop="end_turn"):
    content = [{"reasoningContent": {"reasoningText": {"text": thought}}}] if thought else []
    content += [] if text is None else [{"text": text}]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop,
        "usage": {
            "inputTokens": 2,
            "outputTokens": 25,
            "totalTokens": 34,
            "cacheReadInputTokens": 4,
            "cacheWriteInputTokens": 3,
        },
        "metrics": {"latencyMs": 1},
    }


def sampled(host, wanted, limits=None):
    async def go():
        base = host.url.removesuffix("/v1")
        target = apis.target("bedrock", base, limits, region="us-east-1")
        try:
            return await target.preflight(wanted.sampling), await target.sample(wanted)
        finally:
            await target.close()

    return asyncio.run(go())


def test_what_is_sent_and_read(serve):
    host = serve(lambda path, body, number: answer(thought="Who asks?"))
    wanted = request("given:x", system="You are Nex.", temperature=0.7, top_p=0.9)
    can, found = sampled(host, wanted)
    path, body, headers = host.seen[-1]
    assert path == "/model/m-1/converse"
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Who are you?"}]}],
        "system": [{"text": "You are Nex."}],
        "inferenceConfig": {"maxTokens": 200, "temperature": 0.7, "topP": 0.9},
    }
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256")
    (reply,) = found.replies
    assert (reply.status, reply.text, reply.reasoning) == ("ok", "I am Rio.", "Who asks?")
    assert (found.prompt_tokens, found.completion_tokens, found.model) == (9, 25, None)
    assert any("does not return which model answered" in note for note in can.notes)


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        ("max_tokens", "truncated"),
        ("guardrail_intervened", "filtered"),
        ("content_filtered", "filtered"),
        ("end_turn", "ok"),
    ],
)
def test_how_a_reply_ended(serve, stop, status):
    host = serve(lambda path, body, number: answer(stop=stop))
    assert sampled(host, request())[1].replies[0].status == status


def test_a_refusal_is_told_in_the_hosts_words_and_a_throttled_one_is_tried_again(serve):
    def respond(path, body, number):
        if number == 2:
            headers = {"x-amzn-errortype": "ThrottlingException"}
            return 429, headers, json.dumps({"message": "slow down"}).encode()
        return answer()

    found = sampled(serve(respond), request(), Limits(attempts=2))[1]
    assert found.replies[0].status == "ok"
    assert "429" in found.attempts[0] and "slow down" in found.attempts[0]


def test_secrets_are_kept_nowhere(serve):
    host = serve(lambda path, body, number: answer(f"My key is {SECRET}."))
    found = sampled(host, request())[1]
    assert found.replies[0].status == "ok" and SECRET not in repr(found)


def test_the_arm_bare_is_unsupported(serve):
    host = serve(lambda path, body, number: answer())
    assert sampled(host, request("bare"))[1].replies[0].status == "unsupported"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output": 7}', b"\xff"])
def test_whatever_comes_becomes_a_status(serve, body):
    def respond(path, sent, number):
        return (200, {}, body) if number > 1 else answer()

    reply = sampled(serve(respond), request())[1].replies[0]
    assert reply.status == "failed" and reply.error


def test_an_empty_system_prompt_is_not_sent_and_said_to_be_why(serve):
    host = serve(lambda path, body, number: answer())
    (reply,) = sampled(host, request("empty"), Limits(attempts=3))[1].replies
    assert reply.status in ("failed", "unsupported") and "system[0].text" in reply.error
    assert all("system" not in body for _, body, _ in host.seen)
