"""Google's Gemini API: `POST /v1beta/models/MODEL:generateContent`, after `google-genai`'s types.

A system prompt is the field `systemInstruction`. `candidateCount` is n, where the model gives it.
Thoughts count beside the answer's tokens and within `maxOutputTokens`: they may leave no text. A
prompt that is blocked brings no candidate; that is told, and not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from harness.campaign import GeminiTarget, Message
from harness.targets import received
from harness.targets.addresses import Addresses, addresses
from harness.targets.answers import Choice, Completion, Said
from harness.targets.native.api import Api, Counting, system_and_rest, usage_of

#: Versions of the API that may stand at the end of a base_url.
_VERSIONS = ("/v1beta", "/v1alpha", "/v1")
#: What the API calls the roles of messages.
_ROLES = {"user": "user", "assistant": "model"}


class Gemini(Api):
    """The API behind one target."""

    names = {
        "max_tokens": "generationConfig.maxOutputTokens",
        "temperature": "generationConfig.temperature",
        "top_p": "generationConfig.topP",
        "presence_penalty": "generationConfig.presencePenalty",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "stop": "generationConfig.stopSequences",
        "seed": "generationConfig.seed",
        "n": "generationConfig.candidateCount",
    }

    def __init__(self, settings: GeminiTarget) -> None:
        super().__init__(settings)
        self.settings = settings
        self.ahead = max(settings.thinking_budget or 0, 0)
        named = settings.model if "/" in settings.model else f"models/{settings.model}"
        self.named = named

    def at(self, url: str) -> Addresses:
        found = addresses(url, ())
        base = found.base if found.base.endswith(_VERSIONS) else f"{found.base}/v1beta"
        return found._replace(base=base, route=f"/{quote(self.named)}:generateContent")

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        system, rest = system_and_rest(messages)
        contents = [
            {"role": _ROLES[one["role"]], "parts": [{"text": one["content"]}]} for one in rest
        ]
        said = {"contents": contents}
        return said if system is None else said | {"systemInstruction": _said(system)}

    def fixed(self) -> dict[str, Any]:
        budget, thoughts = self.settings.thinking_budget, self.settings.include_thoughts
        config: dict[str, Any] = {} if budget is None else {"thinkingBudget": budget}
        if thoughts:
            config["includeThoughts"] = True
        return {"generationConfig.thinkingConfig": config} if config else {}

    def counting(self, at: Addresses, messages: Sequence[Message]) -> Counting:
        # with a system prompt the whole request is counted, which then names the model
        body = {"generateContentRequest": {"model": self.named, **self.prompt(messages)}}
        return Counting(f"{at.base}/{quote(self.named)}:countTokens{at.query}", body, "totalTokens")

    def read_object(self, found: dict[str, Any]) -> Completion:
        usage = found.get("usageMetadata")
        used = usage if isinstance(usage, dict) else {}
        listed = found.get("candidates")
        candidates = [c for c in listed if isinstance(c, dict)] if isinstance(listed, list) else []
        made, thought = (
            received.count(used.get(name))
            for name in ("candidatesTokenCount", "thoughtsTokenCount")
        )
        completion = None if made is None and thought is None else (made or 0) + (thought or 0)
        return Completion(
            [_choice(candidate) for candidate in candidates] or _blocked(found),
            received.text(found.get("modelVersion")),
            id=received.text(found.get("responseId")),
            usage=usage_of(used.get("promptTokenCount"), completion),
            error=found.get("error"),
        )


def _said(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def _choice(candidate: dict[str, Any]) -> Choice:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    finish = received.text(candidate.get("finishReason"))
    if message := candidate.get("finishMessage"):
        finish = f"{finish}: {message}"
    probable = candidate.get("avgLogprobs") or candidate.get("logprobsResult")
    return Choice(Said(parts or None), finish_reason=finish, logprobs=probable)


def _blocked(found: dict[str, Any]) -> list[Choice]:
    """The one outcome of a prompt that was blocked."""
    feedback = found.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if not reason:
        return []
    return [Choice(Said(), finish_reason=f"content_filter: the prompt was blocked ({reason})")]
