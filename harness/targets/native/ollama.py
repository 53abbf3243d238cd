"""Ollama's own API: `POST /api/chat`, and `/api/generate` for raw prompts.

Written after the types of the `ollama` package and Ollama's `api/types.go`. A model's file may set
a system prompt, messages and parameters of its own, so all that changes what is sampled is sent:
what the campaign says, and `top_k`, `min_p` and `repeat_penalty` at values that change nothing.
Prompts are never cut (`truncate: false`) and never shifted out of the context (`shift: false`):
older versions do not know these fields, and are seen to have done so by their counts of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from harness.campaign import Message, OllamaTarget
from harness.targets import received
from harness.targets.addresses import Addresses, addresses
from harness.targets.answers import Choice, Completion, Said
from harness.targets.native.api import Api, usage_of

ROUTE: Final = "/api/chat"
#: Samplers that the campaign does not name, at values at which they do nothing.
OFF: Final = {"options.top_k": 0, "options.min_p": 0.0, "options.repeat_penalty": 1.0}


class Ollama(Api):
    """The API behind one target."""

    names = {
        "max_tokens": "options.num_predict",
        "temperature": "options.temperature",
        "top_p": "options.top_p",
        "presence_penalty": "options.presence_penalty",
        "frequency_penalty": "options.frequency_penalty",
        "stop": "options.stop",
        "seed": "options.seed",
    }

    def __init__(self, settings: OllamaTarget) -> None:
        super().__init__(settings)
        self.settings = settings
        #: Tokens of the context, once they are known: the entry's, or those that the host tells.
        self.context = settings.num_ctx

    def at(self, url: str) -> Addresses:
        found = addresses(url, (ROUTE, "/api/generate", "/api", "/v1"))
        return found._replace(route=ROUTE)

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        return {"messages": list(messages)}

    def fixed(self) -> dict[str, Any]:
        fields = {"model": self.model, "stream": False, "truncate": False, "shift": False, **OFF}
        if self.settings.num_ctx is not None:
            fields["options.num_ctx"] = self.settings.num_ctx
        return fields if self.settings.think is None else fields | {"think": self.settings.think}

    def read_object(self, found: dict[str, Any]) -> Completion:
        message = found.get("message")
        said = message if isinstance(message, dict) else found
        content = said.get("response") if said is found else said.get("content")
        usage = usage_of(found.get("prompt_eval_count"), found.get("eval_count"))
        choices = []
        if content is not None:
            finish = self._finish(found, usage.prompt_tokens, usage.completion_tokens)
            choices = [Choice(Said(content, thinking=said.get("thinking")), finish_reason=finish)]
        return Completion(
            choices, received.text(found.get("model")), usage=usage, error=found.get("error")
        )

    def _finish(self, found: dict[str, Any], prompt: int | None, reply: int | None) -> str | None:
        """Why it ended; a prompt that did not stay whole before the model is no prompt of ours."""
        if not found.get("done"):
            return "error: the answer is not done"
        most = self.context
        if most is not None and prompt is not None:
            if prompt >= most:
                return f"error: the prompt was cut to the context of {most} tokens; raise num_ctx"
            if prompt + (reply or 0) > most:
                return f"error: the prompt was shifted out of {most} tokens; raise num_ctx"
        return received.text(found.get("done_reason"))
