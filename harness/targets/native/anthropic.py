"""Anthropic's Messages API: `POST /v1/messages`, after the types of the `anthropic` package.

A system prompt is the field `system`. There are no `n`, seed and penalties. Newer models take no
`temperature` and `top_p`, and the package's types have them no more: at 1, which is the API's own,
they are not sent, and the preflight finds out whether a model takes others. Cached tokens are
counted beside `input_tokens` and are added here. Thinking stands in blocks of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.campaign import AnthropicTarget, Message
from harness.targets import received
from harness.targets.addresses import Addresses, addresses
from harness.targets.answers import Choice, Completion, Said
from harness.targets.native.api import Api, Counting, system_and_rest, usage_of

ROUTE = "/messages"


class Anthropic(Api):
    """The API behind one target."""

    names = {
        "max_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "stop": "stop_sequences",
    }

    own = {"temperature": 1.0, "top_p": 1.0}

    def __init__(self, settings: AnthropicTarget) -> None:
        super().__init__(settings)
        self.budget = settings.thinking_budget
        self.ahead = settings.thinking_budget or 0

    def at(self, url: str) -> Addresses:
        found = addresses(url, ("/v1/messages", "/v1"))
        return found._replace(base=f"{found.base}/v1", route=ROUTE)

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        system, rest = system_and_rest(messages)
        return {"messages": list(rest)} | ({} if system is None else {"system": system})

    def fixed(self) -> dict[str, Any]:
        return {"model": self.model, **self._thinking()}

    def _thinking(self) -> dict[str, Any]:
        if self.budget is None:
            return {}
        if self.budget == 0:
            return {"thinking": {"type": "disabled"}}
        return {"thinking": {"type": "enabled", "budget_tokens": self.budget}}

    def counting(self, at: Addresses, messages: Sequence[Message]) -> Counting:
        body = {"model": self.model, **self.prompt(messages), **self._thinking()}
        return Counting(f"{at.base}{ROUTE}/count_tokens{at.query}", body, "input_tokens")

    def read_object(self, found: dict[str, Any]) -> Completion:
        usage = found.get("usage")
        used = usage if isinstance(usage, dict) else {}
        cached = ("cache_creation_input_tokens", "cache_read_input_tokens")
        blocks = found.get("content")
        choices = []
        if isinstance(blocks, list | str):
            choices = [Choice(Said(blocks or None), finish_reason=_finish(found))]
        return Completion(
            choices,
            received.text(found.get("model")),
            id=received.text(found.get("id")),
            usage=usage_of(
                used.get("input_tokens"), used.get("output_tokens"), *(used.get(n) for n in cached)
            ),
            error=found.get("error"),
        )


def _finish(found: dict[str, Any]) -> str | None:
    """Why it ended; of a refusal also which policy says so."""
    reason, details = received.text(found.get("stop_reason")), found.get("stop_details")
    category = details.get("category") if isinstance(details, dict) else None
    return f"{reason}: {category}" if reason and category else reason
