"""Entries of targets: what a campaign says of each, by engine; native APIs stand in `native.py`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from harness.campaign.yamlfiles import Strict

Role = Literal["suspect", "donor", "base", "control"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]


class Price(Strict):
    """Money per million tokens, in the currency that `budget.money` counts in."""

    prompt: float = Field(ge=0, description="a million prompt tokens")
    completion: float = Field(ge=0, description="a million tokens of replies")


class _Target(Strict):
    name: Name = Field(description="what tables and reports call it")
    role: Role = Field(
        description="what it is in the campaign: the model in question, the one that it may be, "
        "what both may be built on, or kin to nobody"
    )
    identity: str | None = Field(
        None, description="the identity that the target is presented as, by id of the book"
    )
    price: Price | None = Field(None, description="so that money is counted and capped")


class EmbeddedTarget(_Target):
    """llama.cpp in this process, on a GGUF file or a lab model."""

    engine: Literal["embedded"] = Field(description="llama.cpp in this process")
    model: str = Field(description="path of a GGUF file, or lab:NAME")
    context: int = Field(
        2048, ge=64, description="tokens that a prompt and its reply may have together"
    )
    slots: int = Field(
        4,
        ge=1,
        le=256,
        description=(
            "samples of one question that a worker decodes in lockstep, a context each: "
            "more is faster and takes more memory"
        ),
    )
    workers: int = Field(2, ge=1, le=64, description="copies of the model, one thread group each")
    threads: int = Field(1, ge=1, le=256, description="threads of each worker")


class VllmTarget(_Target):
    """vLLM: the offline engine in this process, or with `serve: true` a server of our own."""

    engine: Literal["vllm"] = Field(description="vLLM")
    model: str = Field(description="a Hugging Face folder, a hub id, or lab:NAME")
    serve: bool = Field(False, description="start `vllm serve` and speak with it over HTTP")
    python: str | None = Field(
        None, description="with serve: the interpreter that has vLLM, if not this one"
    )
    dtype: str = Field("auto", description="as vLLM names it: auto, bfloat16, float16, float32")
    max_model_len: int | None = Field(
        None, ge=64, description="longest prompt with its reply, in tokens; null: the model's own"
    )
    enforce_eager: bool = Field(False, description="capture no CUDA graphs: starts sooner, slower")
    start_timeout_s: float = Field(
        600, gt=0, description="with serve: seconds that the server may take to start"
    )
    arguments: list[str] = Field([], description="further arguments for the server")
    options: dict[str, Any] = Field({}, description="further arguments for vllm.LLM")
    concurrency: int = Field(16, ge=1, le=4096, description="requests in flight at most")


def address_in(variable: str, whose: str) -> Any:
    """The field of a host's address."""
    return Field(None, description=f"default: the variable {variable}, else {whose} own")


def key_in(variable: str | None) -> Any:
    """The field that names the variable of a key."""
    return Field(variable, description="name of the variable that holds the key; null sends none")


class RemoteTarget(_Target):
    """What every target that is asked over HTTP has, whichever API it speaks."""

    engine: str
    base_url: str | None
    model: str = Field(description="the model's name at the host")
    api_key_env: VariableName | None
    headers: dict[str, str] = Field(
        {}, description="extra headers; '$NAME' is read from the environment"
    )
    extra_body: dict[str, Any] = Field(
        {}, description="further fields of each body; '$NAME' is read from the environment"
    )
    omit: list[str] = Field(
        [], description="parameters that this host refuses; never dropped by themselves"
    )
    auto_omit: bool = Field(
        False,
        description="leave parameters out that the host is seen to refuse; the report tells which",
    )
    concurrency: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="requests in flight at most, begun with; null finds the level by itself",
    )
    requests_per_minute: float | None = Field(
        None, gt=0, description="never more than so many; what the host says binds too"
    )
    tokens_per_minute: float | None = Field(
        None, gt=0, description="the same, of tokens of prompts and replies"
    )
    timeout_s: float = Field(120, gt=0, description="seconds that one request may take")
    max_reply_mb: float = Field(
        8, gt=0, le=1024, description="a longer reply is cut, and the sample fails"
    )

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not re.match(r"^https?://[^\s/]+", url):
            raise ValueError(
                "a base_url starts with http:// or https://, such as https://api.example.com/v1"
            )
        return url.rstrip("/")


class EndpointTarget(RemoteTarget):
    """Any OpenAI-compatible endpoint."""

    engine: Literal["endpoint"] = Field(description="an OpenAI-compatible host")
    base_url: str | None = address_in("OPENAI_BASE_URL", "OpenAI's")
    api_key_env: VariableName | None = key_in("OPENAI_API_KEY")
    provider: dict[str, Any] | None = Field(
        None, description="provider pinning, sent as the body field `provider`"
    )
    providers: list[str] | None = Field(
        None,
        min_length=1,
        description="an aggregator's hosts, by their tags (`deepinfra/fp8`): each becomes a target "
        "of its own, NAME-deepinfra-fp8, that is pinned to it and counted apart",
    )
    rename: dict[str, str] = Field(
        {},
        description="parameters that this host calls otherwise, "
        "such as max_tokens: max_completion_tokens",
    )
    tokenizer: str | None = Field(
        None,
        description="folder with tokenizer_config.json of the claimed model; "
        "allows the bare arm where the host has raw completions",
    )
    samples_per_request: int = Field(
        16,
        ge=1,
        le=128,
        description="samples that one request carries (`n`) where the host gives them",
    )
