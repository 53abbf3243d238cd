"""What is sent: bodies that hold every sampling parameter.

What a host refuses is named in the target's `omit` or `rename`, or left out as its `auto_omit`
allows (`parameters.py`), never without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from harness.campaign import EndpointTarget, Message, RemoteTarget, Sampling
from harness.targets.protocol import Request

#: Tokens of an answer whose words do not matter.
FEW: Final = 16

write = msgspec.json.Encoder().encode


class Bodies:
    """The bodies of one target, as its entry wants them.

    ``extra_body`` is the entry's own with the contents of its variables; without it their names
    stay, as in what is kept of a body.
    """

    def __init__(self, settings: RemoteTarget, extra_body: dict[str, Any] | None = None) -> None:
        self.settings = settings
        self.extra_body = settings.extra_body if extra_body is None else extra_body
        self.omit: tuple[str, ...] = tuple(settings.omit)
        self.rename: Mapping[str, str] = {}
        self.provider: dict[str, Any] | None = None
        if isinstance(settings, EndpointTarget):
            self.rename, self.provider = settings.rename, settings.provider

    #: What the limit of an answer's length may be called.
    limits: tuple[str, ...] = ("max_tokens", "max_completion_tokens")

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The part of a body that holds the prompt."""
        return {"messages": list(messages)}

    def called(self, name: str) -> str:
        """What this host calls a parameter."""
        return self.rename.get(name, name)

    def placed(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body as it is written: each parameter at its place."""
        return body

    def chat(self, request: Request, samples: int, seed: int | None) -> dict[str, Any]:
        return {**self.fields(request.sampling, samples, seed), "messages": request.messages}

    def raw(
        self, request: Request, samples: int, seed: int | None, prompt: str | list[int] | None
    ) -> dict[str, Any]:
        """A raw completion: the prompt as tokens where they are known, else as text."""
        return {**self.fields(request.sampling, samples, seed), "prompt": prompt}

    def small(
        self,
        sampling: Sampling,
        asked: dict[str, Any],
        max_tokens: int = FEW,
        samples: int = 1,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """A body with few tokens and the parameters that every request will have."""
        few = sampling.model_copy(update={"max_tokens": max_tokens})
        return self.fields(few, samples, seed) | asked

    def fields(self, sampling: Sampling, samples: int, seed: int | None) -> dict[str, Any]:
        """The body but for the prompt."""
        given = self.renamed(self.parameters(sampling, samples, seed))
        return {"model": self.settings.model} | given | self.fixed(extra=True)

    def fixed(self, *, extra: bool) -> dict[str, Any]:
        """What every body holds beside parameters; ``extra``: with what the entry adds."""
        fields = {"model": self.settings.model} | (self.extra_body if extra else {})
        return fields | ({"provider": self.provider} if self.provider else {})

    def parameters(self, sampling: Sampling, samples: int, seed: int | None) -> dict[str, Any]:
        """Each parameter that a request has, by truename's names, also those that are left out."""
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
        return parameters

    def renamed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as this host calls them, less those that it refuses."""
        if not self.rename and not self.omit:
            return dict(parameters)
        return {self.rename.get(k, k): v for k, v in parameters.items() if k not in self.omit}
