"""Entries of targets that are asked by an API of their own, not by OpenAI's chat completions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.campaign.entries import RemoteTarget, VariableName


class ResponsesTarget(RemoteTarget):
    """OpenAI's Responses API."""

    engine: Literal["responses"] = Field(description="OpenAI's Responses API")
    base_url: str | None = Field(
        None, description="default: the variable OPENAI_BASE_URL, else OpenAI's own"
    )
    api_key_env: VariableName | None = Field(
        "OPENAI_API_KEY", description="name of the variable that holds the key; null sends none"
    )
    system: Literal["instructions", "message"] = Field(
        "instructions",
        description="where a system prompt is sent: in the field `instructions`, "
        "or as the first item of `input`",
    )
    reasoning_effort: str | None = Field(
        None, description="sent as `reasoning.effort`; null sends none, so the host decides"
    )


class AnthropicTarget(RemoteTarget):
    """Anthropic's Messages API."""

    engine: Literal["anthropic"] = Field(description="Anthropic's Messages API")
    base_url: str | None = Field(
        None, description="default: the variable ANTHROPIC_BASE_URL, else Anthropic's own"
    )
    api_key_env: VariableName | None = Field(
        "ANTHROPIC_API_KEY", description="name of the variable that holds the key; null sends none"
    )
    thinking_budget: int | None = Field(
        None,
        ge=0,
        description="tokens of thinking, within sampling.max_tokens: 0 forbids it, "
        "null sends nothing, so the host decides",
    )


class GeminiTarget(RemoteTarget):
    """Google's Gemini API (generateContent)."""

    engine: Literal["gemini"] = Field(description="Google's Gemini API")
    base_url: str | None = Field(
        None, description="default: the variable GOOGLE_GEMINI_BASE_URL, else Google's own"
    )
    api_key_env: VariableName | None = Field(
        "GEMINI_API_KEY", description="name of the variable that holds the key; null sends none"
    )
    thinking_budget: int | None = Field(
        None,
        ge=-1,
        description="tokens of thinking, within sampling.max_tokens: 0 forbids it, -1 leaves it to "
        "the model, null sends nothing",
    )
    include_thoughts: bool = Field(False, description="ask for summaries of the model's thoughts")
    samples_per_request: int = Field(
        8,
        ge=1,
        le=8,
        description="samples that one request carries (`candidateCount`) where it gives them",
    )


#: The entry of a target with an API of its own.
NativeTarget = ResponsesTarget | AnthropicTarget | GeminiTarget
