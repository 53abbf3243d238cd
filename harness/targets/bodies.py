"""What is sent: bodies that hold every sampling parameter.

What a host refuses is named in the target's `omit` or `rename`, never dropped by itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.campaign import EndpointTarget, Sampling
from harness.targets.protocol import Request

write = msgspec.json.Encoder().encode


class Bodies:
    """The bodies of one target, as its entry wants them.

    ``extra_body`` is the entry's own with the contents of its variables; without it their names
    stay, as in what is kept of a body.
    """

    def __init__(self, settings: EndpointTarget, extra_body: dict[str, Any] | None = None) -> None:
        self.settings = settings
        self.extra_body = settings.extra_body if extra_body is None else extra_body

    def chat(self, request: Request, samples: int, seed: int | None) -> dict[str, Any]:
        return {**self.fields(request.sampling, samples, seed), "messages": request.messages}

    def raw(
        self, request: Request, samples: int, seed: int | None, prompt: str | list[int] | None
    ) -> dict[str, Any]:
        """A raw completion: the prompt as tokens where they are known, else as text."""
        return {**self.fields(request.sampling, samples, seed), "prompt": prompt}

    def small(
        self, sampling: Sampling, asked: dict[str, Any], max_tokens: int = 16
    ) -> dict[str, Any]:
        """A body with few tokens and the parameters that every request will have."""
        few = sampling.model_copy(update={"max_tokens": max_tokens})
        return self.fields(few, 1, None) | asked

    def fields(self, sampling: Sampling, samples: int, seed: int | None) -> dict[str, Any]:
        """The body but for the prompt."""
        parameters: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        if sampling.stop:
            parameters["stop"] = list(sampling.stop)
        if seed is not None:
            parameters["seed"] = seed
        if samples > 1:
            parameters["n"] = samples
        fields = {
            "model": self.settings.model,
            **self._renamed(parameters),
            **self.extra_body,
        }
        if self.settings.provider:
            fields["provider"] = self.settings.provider
        return fields

    def _renamed(self, parameters: dict[str, Any]) -> dict[str, Any]:
        rename, omit = self.settings.rename, self.settings.omit
        if not rename and not omit:
            return parameters
        return {rename.get(k, k): v for k, v in parameters.items() if k not in omit}
