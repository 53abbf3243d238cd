"""Answers of native APIs, made of the official clients' types, and what they say of bodies."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import Message as AnthropicMessage
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from google.genai import types as google
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from harness.campaign import (
    AnthropicTarget,
    BedrockTarget,
    Budget,
    GeminiTarget,
    Limits,
    OllamaTarget,
    ResponsesTarget,
    Sampling,
    parse_arm,
)
from harness.campaign.plan import arm_messages
from harness.targets import Request, Spending, open_target, pace_of
from tests.commands import PATIENCE_S

ENTRIES = {
    "responses": ResponsesTarget,
    "anthropic": AnthropicTarget,
    "gemini": GeminiTarget,
    "ollama": OllamaTarget,
    "bedrock": BedrockTarget,
}


def target(engine, url, limits=None, **fields):
    """The target of an entry."""
    entry = {"name": "t", "role": "suspect", "engine": engine, "base_url": url, "model": "m-1"}
    wanted = ENTRIES[engine](**entry | {"api_key_env": None, "timeout_s": PATIENCE_S} | fields)
    limits = limits or Limits(attempts=1)
    return open_target(wanted, pace_of(wanted, limits, Spending(Budget())))


def request(arm="absent", n=1, system=None, **sampling):
    parsed = parse_arm(arm)
    messages = arm_messages(parsed, "Who are you?", system)
    return Request(arm, parsed, messages, Sampling(**{"max_tokens": 200} | sampling), range(n), 80)


def responses(text="I am Rio.", thought=None, **fields: Any) -> dict[str, Any]:
    """An answer of OpenAI's Responses API."""
    output: list[dict[str, Any]] = []
    if thought:
        summary = [{"type": "summary_text", "text": thought}]
        output.append({"type": "reasoning", "id": "rs_1", "summary": summary})
    if text is not None:
        part = {"type": "output_text", "text": text, "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        output.append(message | {"content": [part]})
    made = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m-1-2026-11-01",
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "output_tokens": 25,
            "output_tokens_details": {"reasoning_tokens": 20},
            "total_tokens": 34,
        },
    } | fields
    return OpenAIResponse.model_validate(made).model_dump(mode="json")


def anthropic(text="I am Rio.", thought=None, **fields: Any) -> dict[str, Any]:
    """An answer of Anthropic's Messages API."""
    content: list[dict[str, Any]] = []
    if thought:
        content.append({"type": "thinking", "thinking": thought, "signature": "c2ln"})
        content.append({"type": "redacted_thinking", "data": "b3BhcXVl"})
    if text is not None:
        content.append({"type": "text", "text": text})
    made = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1-20261101",
        "content": content,
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 4,
            "output_tokens": 25,
        },
    } | fields
    return AnthropicMessage.model_validate(made).model_dump(mode="json")


def gemini(*texts: str | None, thought=None, finish="STOP", **fields: Any) -> dict[str, Any]:
    """An answer of the Gemini API, a candidate a text."""
    candidates = []
    for place, text in enumerate(texts or ("I am Rio.",)):
        parts = [{"text": thought, "thought": True}] if thought else []
        parts += [] if text is None else [{"text": text}]
        content = {"role": "model", "parts": parts}
        candidates.append({"content": content, "finishReason": finish, "index": place})
    made = {
        "candidates": candidates,
        "modelVersion": "m-1-001",
        "responseId": "r-1",
        "usageMetadata": {
            "promptTokenCount": 9,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 20,
            "totalTokenCount": 34,
        },
    } | fields
    answer = google.GenerateContentResponse.model_validate(made)
    return answer.model_dump(mode="json", by_alias=True, exclude_none=True)


#: Parameters of Anthropic's API that older models take, and its types of today do not have.
OLDER = ("temperature", "top_p")
ANSWERS = {"responses": responses, "anthropic": anthropic, "gemini": gemini}


def refused(said, status=400):
    """A refusal, as all of these APIs tell it."""
    error = {"type": "invalid_request_error", "message": said, "code": status}
    return status, {}, json.dumps({"type": "error", "error": error}).encode()


def check_body(engine, body):
    """Whether the official client would send such a body; raises where not."""
    if engine == "gemini":
        config = google.GenerationConfig.model_validate(body["generationConfig"])
        contents = [google.Content.model_validate(one) for one in body["contents"]]
        if "systemInstruction" in body:
            contents.append(google.Content.model_validate(body["systemInstruction"]))
        known = {"generationConfig", "contents", "systemInstruction"}
        assert set(body) <= known and config and all(c.parts for c in contents)
        return
    kind = {
        "responses": ResponseCreateParamsNonStreaming,
        "anthropic": MessageCreateParamsNonStreaming,
    }[engine]
    if engine == "anthropic":  # of older models, which the types know no more
        body = {name: value for name, value in body.items() if name not in OLDER}
    # what the types do not know is left out of what is read
    assert _whole(TypeAdapter(kind).validate_python(body)) == body


def _whole(value: Any) -> Any:
    """What was read, as far as it goes: lists are read when they are looked at."""
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return value
    return [_whole(inner) for inner in value]
