"""How a reply ended, by what its host says: whole, cut, ended by a filter, or broken off.

`FINISHES` has the reasons that are known, in small letters, with where they are said:

    OpenAI      chat completions: stop, length, content_filter, tool_calls, function_call
                (https://platform.openai.com/docs/api-reference/chat/object)
    DeepSeek    also insufficient_system_resource
                (https://api-docs.deepseek.com/api/create-chat-completion)
    OpenRouter  also error (https://openrouter.ai/docs/api/reference/overview)
    vLLM        also abort; SGLang gives an object, {"type": "abort", "message": ...}
    Gemini      candidates' FinishReason (https://ai.google.dev/api/generate-content)
    Anthropic   stop_reason, also as proxies hand it on, pause_turn among them
                (https://docs.anthropic.com/en/api/messages)
    Responses   of an answer that is not complete: max_output_tokens, max_messages, content_filter,
                steered (the type IncompleteDetails of the `openai` package)
    Zhipu       sensitive, network_error, model_context_window_exceeded
    Bedrock     Converse's stopReason: guardrail_intervened, content_filtered

A reason that is not in it says nothing against the reply, for hosts have many words for a whole
one; one that is missing does where the reply has all the tokens that it may have.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from harness.targets import received
from harness.targets.protocol import Status

Broken = Literal["truncated", "filtered", "failed"]
_CUT: Final = ("length", "max_tokens", "max_output_tokens", "model_length", "continuation")
_CONTEXT: Final = ("model_context_window_exceeded", "max_messages", "steered", "pause_turn")
_FILTERS: Final = ("content_filter", "content_filtered", "guardrail_intervened", "sensitive")
_GEMINI: Final = (
    *("safety", "recitation", "blocklist", "prohibited_content", "spii", "language"),
    *("model_armor", "image_safety", "escalation", "pup_limited_disabled"),
)
_BROKEN: Final = (
    *("error", "abort", "insufficient_system_resource", "network_error"),
    *("other", "malformed_function_call", "cancelled", "malformed_response"),
    *("unexpected_tool_call", "too_many_tool_calls", "missing_thought_signature"),
)
#: What each known reason makes of a reply that is not whole.
FINISHES: Final[dict[str, Broken]] = {
    **dict.fromkeys((*_CUT, *_CONTEXT), "truncated"),
    # a model's own refusal is a whole reply; Anthropic's `refusal` is a classifier that cuts it off
    **dict.fromkeys((*_FILTERS, *_GEMINI, "refusal"), "filtered"),
    **dict.fromkeys(_BROKEN, "failed"),
}
_SAID: Final[dict[Status, str]] = {
    "filtered": "the host's filter ended the reply",
    "failed": "the host broke off the reply",
}
#: Characters that are kept of a reason.
LONGEST: Final = 300


class Ended(NamedTuple):
    """The status of a reply, and why it is none that counts, where its finish tells that."""

    status: Status
    error: str | None = None


def named(reason: Any) -> str | None:
    """A finish reason as text; an object's type, with its message."""
    if isinstance(reason, dict):
        kind, message = received.text(reason.get("type")), received.text(reason.get("message"))
        if kind:
            return (f"{kind}: {message}" if message else kind)[:LONGEST]
    found = received.text(reason)
    return found and found[:LONGEST]


def ended(
    text: str | None, finish: str | None, tokens: int | None = None, most: int | None = None
) -> Ended:
    """Status first, verdict second: a reply that is empty or not whole is no answer.

    ``tokens`` are those of the reply, of ``most`` that it may have, where both are known.
    """
    kind = (finish or "").partition(":")[0].strip().lower()
    if (known := FINISHES.get(kind)) is not None:
        return Ended(known, f"{_SAID[known]}: {finish}" if known in _SAID else None)
    if not kind and tokens is not None and most is not None and tokens >= most:
        return Ended("truncated")
    return Ended("ok" if text and not text.isspace() else "empty")
