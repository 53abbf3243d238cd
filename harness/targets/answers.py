"""What is read of an answer: its choices and usage, whatever else it holds and wherever it errs.

`read_completion` makes a `Completion` of bytes, `replies` makes samples of a completion; `joined`
and `fill` put parts together where a host gives fewer samples at a time than were asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from harness.targets import received
from harness.targets.protocol import Reply, Response, status_of
from harness.targets.quirks import REASONING_FIELDS
from harness.targets.reasoning import split_reasoning
from harness.targets.received import MOST_TOKENS, Unreadable, count, json_of
from harness.targets.spending import Booked

NO_CHOICE: Final = "the answer holds fewer choices than asked for, so this sample has none"

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class Said(msgspec.Struct, gc=False):
    """The message of a chat choice."""

    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None


class Choice(msgspec.Struct, gc=False):
    """One sample: a chat choice has a message, a raw completion a text."""

    message: Said | None = None
    text: Any = None
    finish_reason: str | None = None


class Usage(msgspec.Struct, gc=False):
    """Tokens that the host counted."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: Any = None

    @property
    def uncounted(self) -> int:
        """Cached tokens that are missing among the prompt's.

        The API counts cached tokens among the prompt's; hosts that leave them out report fewer
        tokens than are cached.
        """
        details = self.prompt_tokens_details
        cached = count(details.get("cached_tokens")) if isinstance(details, dict) else None
        if cached is None or self.prompt_tokens is None or cached <= self.prompt_tokens:
            return 0
        return cached


class Completion(msgspec.Struct, gc=False):
    """What is read of an answer, whatever else it holds."""

    choices: list[Choice] | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    provider: str | None = None
    id: str | None = None
    usage: Usage | None = None


_read = msgspec.json.Decoder(Completion).decode


def read_completion(body: bytes) -> Completion | str:
    """A chat or text completion, or what is wrong with the bytes.

    Fields of other types than said, and counts of tokens that nobody can have had, count as
    missing.
    """
    found = json_of(body, _read)
    return _lenient(json_of(body)) if isinstance(found, Unreadable) else found


def _lenient(found: Any) -> Completion | str:
    if isinstance(found, Unreadable):
        return found.reason
    if not isinstance(found, dict):
        return "the answer is no JSON object"
    listed = found.get("choices")
    choices = listed if isinstance(listed, list) else []
    return Completion(
        [_choice(choice) for choice in choices if isinstance(choice, dict)],
        received.text(found.get("model")),
        received.text(found.get("system_fingerprint")),
        received.text(found.get("provider")),
        received.text(found.get("id")),
        _usage(found.get("usage")),
    )


def _choice(found: dict[str, Any]) -> Choice:
    message, said = found.get("message"), None
    if isinstance(message, dict):
        reasoning = (message.get(field) for field in REASONING_FIELDS)
        said = Said(message.get("content"), received.text(message.get("refusal")), *reasoning)
    return Choice(said, found.get("text"), received.text(found.get("finish_reason")))


def _usage(found: Any) -> Usage:
    if not isinstance(found, dict):
        return Usage()
    return Usage(
        count(found.get("prompt_tokens")),
        count(found.get("completion_tokens")),
        found.get("prompt_tokens_details"),
    )


def content_text(content: Any) -> str | None:
    """The text of a message's content, which some hosts send in parts; None stays None."""
    if isinstance(content, list):
        parts = (part.get("text", "") for part in content if isinstance(part, dict))
        return "".join(received.text(part) or "" for part in parts)
    return received.text(content)


def replies(answer: Completion, indices: Sequence[int]) -> list[Reply]:
    """The samples of some numbers; those beyond the answer's choices fail."""
    choices, usage = answer.choices or [], answer.usage
    # the host counts the tokens of all choices together
    tokens = usage.completion_tokens if usage and len(choices) == 1 else None
    return [
        _reply(choices[place], index, tokens)
        if place < len(choices)
        else Reply(index, "failed", error=NO_CHOICE)
        for place, index in enumerate(indices)
    ]


def _reply(choice: Choice, index: int, tokens: int | None) -> Reply:
    message, finish, reasoning = choice.message, choice.finish_reason, None
    if message is None:
        text = content_text(choice.text)
    else:
        text = message.content
        if type(text) is not str:
            text = message.refusal or None if text is None else content_text(text)
        found = message.reasoning_content or message.reasoning or message.thinking
        if found:
            reasoning = received.text(found)
    if reasoning is None and text:
        reasoning, text = split_reasoning(text)
    return Reply(index, status_of(text, finish), text, reasoning, finish, None, tokens)


def joined(parts: Sequence[Response]) -> Response:
    """Responses to one sample each as the response to all of them."""
    first = parts[0]
    for part in parts:
        for reply in part.replies:
            reply.seed = part.seed
    first.replies = [reply for part in parts for reply in part.replies]
    completion = [part.completion_tokens for part in parts]
    first.completion_tokens = None if None in completion else sum(c or 0 for c in completion)
    first.raw = "\n".join(part.raw or "" for part in parts)
    first.whole = all(part.whole for part in parts)
    first.booked = functools.reduce(Booked.plus, [part.booked for part in parts])
    first.attempts = tuple(attempt for part in parts for attempt in part.attempts)
    first.seconds = max(part.seconds for part in parts)
    return first


def without_choice(response: Response) -> list[int]:
    """The places of samples for which the answer held no choice."""
    return [place for place, reply in enumerate(response.replies) if reply.error == NO_CHOICE]


def fill(response: Response, places: Sequence[int], again: Response) -> None:
    """Put the samples of a further call where they were missing."""
    for place, reply in zip(places, again.replies, strict=True):
        reply.seed = again.seed
        response.replies[place] = reply
    response.attempts += again.attempts
    response.booked = response.booked.plus(again.booked)
    response.completion_tokens = _sum(response.completion_tokens, again.completion_tokens)
    response.raw = f"{response.raw}\n{again.raw}"


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
