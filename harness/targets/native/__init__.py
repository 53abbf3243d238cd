"""APIs of makers' own: each a room with what is sent, what is read and what the API cannot do.

`api.py` says what a room holds, `target.py` asks any of them over the wire of all endpoints. Rooms:
`responses.py` (OpenAI), `anthropic.py`, `gemini.py`, and `ollama.py`, whose host shows more of its
model (`ollama_host.py`); `bedrock.py` (Amazon) goes through `boto3`.
"""

from __future__ import annotations

from harness.campaign import (
    AnthropicTarget,
    BedrockTarget,
    GeminiTarget,
    NativeTarget,
    OllamaTarget,
)
from harness.targets.native.anthropic import Anthropic
from harness.targets.native.gemini import Gemini
from harness.targets.native.ollama_host import OllamaHost
from harness.targets.native.responses import Responses
from harness.targets.native.target import Native
from harness.targets.pace import Pace

__all__ = ["Native", "open_native"]


def open_native(settings: NativeTarget, pace: Pace | None = None) -> Native:
    """The target of an entry."""
    if isinstance(settings, AnthropicTarget):
        return Native(settings, Anthropic(settings), pace)
    if isinstance(settings, GeminiTarget):
        return Native(settings, Gemini(settings), pace)
    if isinstance(settings, BedrockTarget):
        from harness.targets.native.bedrock import BedrockHost

        return BedrockHost(settings, pace)
    if isinstance(settings, OllamaTarget):
        return OllamaHost(settings, pace)
    return Native(settings, Responses(settings), pace)
