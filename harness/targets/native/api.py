"""What a native API is to truename: where it is, what is sent, what is read, what it lacks.

    messages, sampling -> a body      `prompt`, `fixed`, `names`, put together by `NativeBodies`
    an answer's bytes  -> Completion  `read`, after which every API is read as one

A name of `names` with dots stands within objects: `generationConfig.topP`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from harness.campaign import Message, NativeTarget, Sampling
from harness.errors import TargetError
from harness.targets import received
from harness.targets.addresses import Addresses
from harness.targets.answers import Completion, Usage
from harness.targets.bodies import Bodies
from harness.targets.protocol import Request
from harness.targets.received import Unreadable

#: Parameters that change nothing at these values: an API that lacks them is sent none.
NEUTRAL: Final[Mapping[str, Any]] = {
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "stop": [],
}


class Counting(NamedTuple):
    """A free route that counts the tokens of a prompt: address, body, the field of the answer."""

    url: str
    body: dict[str, Any]
    field: str


class Api:
    """One API, as the entry of a target wants it."""

    #: truename's names of parameters, and their places in a body; others the API does not have.
    names: ClassVar[Mapping[str, str]]
    #: Values that are the API's own, so that they are not sent: newer models refuse the parameter.
    own: ClassVar[Mapping[str, Any]] = {}
    #: Tokens that small requests may take beyond their answer.
    ahead = 0

    def __init__(self, settings: NativeTarget) -> None:
        self.model = settings.model

    def at(self, url: str) -> Addresses:
        """What a base_url means."""
        raise NotImplementedError

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The part of a body that holds the prompt."""
        raise NotImplementedError

    def fixed(self) -> dict[str, Any]:
        """What every body holds beside parameters and prompt."""
        raise NotImplementedError

    def read_object(self, found: dict[str, Any]) -> Completion:
        """An answer's object as a completion; without choices where it holds an error."""
        raise NotImplementedError

    def counting(self, at: Addresses, messages: Sequence[Message]) -> Counting | None:
        """The route that counts tokens for nothing, where the API has one."""
        return None

    def read(self, body: bytes) -> Completion | str:
        """A completion of an answer's bytes, or what is wrong with them."""
        found = received.json_of(body)
        if isinstance(found, Unreadable):
            return found.reason
        if (read := received.sole(found)) is None:
            return f"the answer is no JSON object: {body[:80]!r}"
        return self.read_object(read)

    def lacking(self, sampling: Sampling) -> list[str]:
        """Parameters that the campaign wants and the API does not have, though they matter."""
        said = sampling.model_dump()
        return [n for n, least in NEUTRAL.items() if n not in self.names and said[n] != least]

    def notes(self, sampling: Sampling) -> list[str]:
        """What is not sent because the API has no place for it."""
        wanted = ["presence_penalty", "frequency_penalty"]
        wanted += ["seed"] if sampling.seed is not None else []
        absent = [name for name in wanted if name not in self.names]
        own = [f"{n} {value:g}" for n, value in self.own.items() if getattr(sampling, n) == value]
        said = [f"the API has no {', '.join(absent)}: none is sent"] if absent else []
        return said + ([f"not sent, for it is the API's own: {', '.join(own)}"] if own else [])


class NativeBodies(Bodies):
    """The bodies of one target: parameters at their places, those that the API lacks left out."""

    limits = ()

    def __init__(
        self, settings: NativeTarget, api: Api, extra_body: dict[str, Any] | None = None
    ) -> None:
        super().__init__(settings, extra_body)
        self.api = api

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        return self.api.prompt(messages)

    def chat(self, request: Request, samples: int, seed: int | None) -> dict[str, Any]:
        return self.fields(request.sampling, samples, seed) | self.prompt(request.messages)

    def called(self, name: str) -> str:
        return self.api.names.get(name, name)

    def small(
        self,
        sampling: Sampling,
        asked: dict[str, Any],
        max_tokens: int = 16,
        samples: int = 1,
        seed: int | None = None,
    ) -> dict[str, Any]:
        return super().small(sampling, asked, max_tokens + self.api.ahead, samples, seed)

    def fixed(self, *, extra: bool) -> dict[str, Any]:
        return self.api.fixed() | (self.extra_body if extra else {})

    def fields(self, sampling: Sampling, samples: int, seed: int | None) -> dict[str, Any]:
        given = self.renamed(self.parameters(sampling, samples, seed))
        return given | self.fixed(extra=True)

    def parameters(self, sampling: Sampling, samples: int, seed: int | None) -> dict[str, Any]:
        every, own = super().parameters(sampling, samples, seed), self.api.own
        known = {name: value for name, value in every.items() if name in self.api.names}
        return {n: value for n, value in known.items() if n not in own or own[n] != value}

    def renamed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {self.called(k): v for k, v in parameters.items() if k not in self.omit}

    def placed(self, body: dict[str, Any]) -> dict[str, Any]:
        """A body with its dotted names within objects; what the entry's `extra_body` says wins."""
        made = {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in body.items()
            if "." not in name
        }
        for name, value in body.items():
            if "." in name:
                outer, _, inner = name.partition(".")
                made.setdefault(outer, {}).setdefault(inner, value)
        return made


def refuse_lacking(api: Api, sampling: Sampling, settings: NativeTarget) -> None:
    """Refuse a campaign that wants what the API does not have.

    Raises
    ------
    TargetError
        A parameter would be left out without a word, though it changes what is sampled.
    """
    if lacking := [name for name in api.lacking(sampling) if name not in settings.omit]:
        line = ", ".join([*settings.omit, *lacking])
        raise TargetError(
            f"the API has no {', '.join(lacking)}, and the campaign's sampling sets it",
            where=f"target {settings.name}",
            next=f"take it out of `sampling`, or write 'omit: [{line}]' into the target's entry: "
            "then it is not sent",
        )


def usage_of(prompt: Any, completion: Any, *more: Any) -> Usage:
    """Tokens of a prompt, with ``more`` that are counted beside it, and of a completion."""
    counted = received.count(prompt)
    if counted is not None:
        counted += sum(received.count(one) or 0 for one in more)
    return Usage(received.count(counted), received.count(completion))


def texts(found: Any, field: str = "text") -> str | None:
    """The texts of a list's objects, together; None where there are none."""
    parts = found if isinstance(found, list) else []
    said = [part[field] for part in parts if isinstance(part, dict) and part.get(field)]
    return "\n\n".join(map(str, said)) or None


def system_and_rest(messages: Sequence[Message]) -> tuple[str | None, Sequence[Message]]:
    """The system message, which these APIs want apart, and the others."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"], messages[1:]
    return None, messages
