"""Entries of targets that are asked by an API of their own, not by OpenAI's chat completions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.campaign.entries import RemoteTarget, VariableName, address_in, key_in


class ResponsesTarget(RemoteTarget):
    """OpenAI's Responses API."""

    engine: Literal["responses"] = Field(description="OpenAI's Responses API")
    base_url: str | None = address_in("OPENAI_BASE_URL", "OpenAI's")
    api_key_env: VariableName | None = key_in("OPENAI_API_KEY")
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
    base_url: str | None = address_in("ANTHROPIC_BASE_URL", "Anthropic's")
    api_key_env: VariableName | None = key_in("ANTHROPIC_API_KEY")
    thinking_budget: int | None = Field(
        None,
        ge=0,
        description="tokens of thinking, within sampling.max_tokens: 0 forbids it, "
        "null sends nothing, so the host decides",
    )


class GeminiTarget(RemoteTarget):
    """Google's Gemini API (generateContent)."""

    engine: Literal["gemini"] = Field(description="Google's Gemini API")
    base_url: str | None = address_in("GOOGLE_GEMINI_BASE_URL", "Google's")
    api_key_env: VariableName | None = key_in("GEMINI_API_KEY")
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


class OllamaTarget(RemoteTarget):
    """Ollama's own API."""

    engine: Literal["ollama"] = Field(description="Ollama's own API")
    base_url: str | None = address_in("OLLAMA_HOST", "Ollama's")
    api_key_env: VariableName | None = key_in(None)
    num_ctx: int | None = Field(
        None,
        ge=64,
        description="tokens that a prompt and its reply may have together; null leaves it to the "
        "host, and what the host tells of it is used to see prompts that were cut",
    )
    think: bool | Literal["low", "medium", "high"] | None = Field(
        None, description="whether a model thinks first; null sends nothing, so the host decides"
    )


class BedrockTarget(RemoteTarget):
    """Amazon Bedrock's Converse API, through `boto3`, which finds credentials by itself."""

    engine: Literal["bedrock"] = Field(description="Amazon Bedrock's Converse API")
    region: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="such as us-east-1")
    base_url: str | None = address_in("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "the region's")
    api_key_env: None = Field(None, description="nothing: boto3 finds credentials")
    headers: dict[str, str] = Field({}, max_length=0, description="none: boto3 writes them")


#: The entry of a target with an API of its own.
NativeTarget = ResponsesTarget | AnthropicTarget | GeminiTarget | OllamaTarget | BedrockTarget
