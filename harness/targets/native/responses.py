"""OpenAI's Responses API: `POST /responses`, after the types of the `openai` package.

A system prompt is the field `instructions`, or the first item of `input`. There are no `n`, seed,
stop, penalties and no fingerprint. Nothing is stored (`store: false`), and a prompt that is too
long is refused, never cut (`truncation: disabled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.campaign import Message, ResponsesTarget
from harness.targets import received
from harness.targets.addresses import Addresses, addresses
from harness.targets.answers import Choice, Completion, Said
from harness.targets.native.api import Api, Counting, system_and_rest, texts, usage_of

ROUTE = "/responses"
#: States of an answer that is over.
_OVER = ("completed", "incomplete", "failed")


class Responses(Api):
    """The API behind one target."""

    names = {
        "max_tokens": "max_output_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
    }

    def __init__(self, settings: ResponsesTarget) -> None:
        super().__init__(settings)
        self.settings = settings

    def at(self, url: str) -> Addresses:
        return addresses(url, (ROUTE,))._replace(route=ROUTE)

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        system, rest = system_and_rest(messages)
        if system is None or self.settings.system == "message":
            return {"input": list(messages)}
        return {"instructions": system, "input": list(rest)}

    def fixed(self) -> dict[str, Any]:
        fields = {"model": self.model, "store": False, "truncation": "disabled", **self._effort()}
        return fields

    def _effort(self) -> dict[str, Any]:
        effort = self.settings.reasoning_effort
        return {"reasoning": {"effort": effort}} if effort else {}

    def counting(self, at: Addresses, messages: Sequence[Message]) -> Counting:
        body = {"model": self.model, **self.prompt(messages), **self._effort()}
        return Counting(f"{at.base}{ROUTE}/input_tokens{at.query}", body, "input_tokens")

    def read_object(self, found: dict[str, Any]) -> Completion:
        usage = found.get("usage")
        used = usage if isinstance(usage, dict) else {}
        items = found.get("output")
        choices = []
        if isinstance(items, list) and found.get("status") != "failed":
            choices = [_choice(found, [item for item in items if isinstance(item, dict)])]
        return Completion(
            choices,
            received.text(found.get("model")),
            id=received.text(found.get("id")),
            usage=usage_of(used.get("input_tokens"), used.get("output_tokens")),
            error=found.get("error"),
        )


def _choice(found: dict[str, Any], items: list[dict[str, Any]]) -> Choice:
    messages = [item for item in items if item.get("type") == "message"]
    final = [item for item in messages if item.get("phase") == "final_answer"] or messages
    content = [part for item in final for part in _list(item.get("content"))]
    thought = [
        said
        for item in items
        if item.get("type") == "reasoning"
        for said in (texts(item.get("content")) or texts(item.get("summary")),)
        if said
    ]
    # what is said on the way to a final answer is no answer
    thought += [
        said
        for item in messages
        if item not in final
        for said in (texts(item.get("content")),)
        if said
    ]
    said = Said(content or None, reasoning_content="\n\n".join(thought) or None)
    probable = any(isinstance(part, dict) and part.get("logprobs") for part in content)
    return Choice(said, finish_reason=_finish(found), logprobs=probable or None)


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found] if found else []


def _finish(found: dict[str, Any]) -> str | None:
    """Why it ended: the state, or the reason why the answer is not complete."""
    status, details = received.text(found.get("status")), found.get("incomplete_details")
    if status == "incomplete" and isinstance(details, dict):
        return received.text(details.get("reason")) or "error: incomplete"
    if status in _OVER or status is None:
        return status
    return f"error: the answer is {status}"
