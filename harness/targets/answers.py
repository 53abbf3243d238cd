"""What is read of an answer: its choices and usage, whatever else it holds and wherever it errs.

`read_completion` makes a `Completion` of bytes, `replies` makes samples of a completion; `joined`
and `fill` put parts together where a host gives fewer samples at a time than were asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from harness.targets import contents, received, streams
from harness.targets.finishes import ended, named
from harness.targets.inner_errors import told
from harness.targets.protocol import Reply, Response
from harness.targets.quirks import REASONING_FIELDS
from harness.targets.reasoning import split_reasoning
from harness.targets.received import MOST_TOKENS, Unreadable, count, json_of
from harness.targets.spending import Booked

NO_CHOICE: Final = "the answer holds fewer choices than asked for, so this sample has none"
ALL_REASONING: Final = "all that came stands in the field for reasoning, and nothing in the content"

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class Said(msgspec.Struct, gc=False):
    """The message of a chat choice."""

    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    reasoning_details: Any = None


class Choice(msgspec.Struct, gc=False):
    """One sample: a chat choice has a message (some hosts say delta), a raw completion a text."""

    message: Said | None = None
    delta: Said | None = None
    text: Any = None
    finish_reason: str | None = None
    error: Any = None
    logprobs: Any = None


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
    error: Any = None


_read = msgspec.json.Decoder(Completion).decode


def read_completion(body: bytes) -> Completion | str:
    """A chat or text completion, or what is wrong with the bytes.

    Fields of other types than said, and counts of tokens that nobody can have had, count as
    missing.
    """
    found = json_of(body, _read)
    if not isinstance(found, Unreadable):
        return found
    return _lenient(streams.completion_of(body) if streams.is_stream(body) else json_of(body), body)


def _lenient(read: Any, body: bytes) -> Completion | str:
    if isinstance(read, Unreadable):
        return read.reason
    if (found := received.sole(read)) is None:
        return f"the answer is no JSON object: {body[:80]!r}"
    listed = found.get("choices")
    choices = listed if isinstance(listed, list) else []
    return Completion(
        [_choice(choice) for choice in choices if isinstance(choice, dict)],
        received.text(found.get("model")),
        received.text(found.get("system_fingerprint")),
        received.text(found.get("provider")),
        received.text(found.get("id")),
        _usage(found.get("usage")),
        found.get("error"),
    )


def _choice(found: dict[str, Any]) -> Choice:
    finish, error = named(found.get("finish_reason")), found.get("error")
    said = _said(found.get("message")), _said(found.get("delta"))
    return Choice(*said, found.get("text"), finish, error, found.get("logprobs"))


def _said(message: Any) -> Said | None:
    if isinstance(message, str):
        return Said(message)
    if not isinstance(message, dict):
        return None
    reasoning = (message.get(field) for field in REASONING_FIELDS)
    return Said(message.get("content"), received.text(message.get("refusal")), *reasoning)


def _usage(found: Any) -> Usage:
    if not isinstance(found, dict):
        return Usage()
    return Usage(
        count(found.get("prompt_tokens")),
        count(found.get("completion_tokens")),
        found.get("prompt_tokens_details"),
    )


def replies(answer: Completion, indices: Sequence[int], most: int | None = None) -> list[Reply]:
    """The samples of some numbers, of ``most`` tokens each; those beyond the answer's choices fail.

    The host counts the tokens of all choices together: of several each is only known where all
    together have as many as they may.
    """
    choices, usage = answer.choices or [], answer.usage
    tokens, used = None, usage.completion_tokens if usage else None
    if used is not None and (len(choices) == 1 or (most and used == most * len(choices))):
        tokens = used // len(choices)
    return [
        _reply(choices[place], index, tokens, most)
        if place < len(choices)
        else Reply(index, "failed", error=NO_CHOICE)
        for place, index in enumerate(indices)
    ]


def _reply(choice: Choice, index: int, tokens: int | None, most: int | None) -> Reply:
    said, finish, reasoning = choice.message, named(choice.finish_reason), None
    if choice.delta is not None and (said is None or said.content is None):
        said = choice.delta
    content = choice.text if said is None else said.content
    text, odd = content, None
    if type(content) is not str:
        text, reasoning, odd = contents.read(content)
    if said is not None:
        text = said.refusal or None if text is None else text
        reasoning = _thought(said) or reasoning
    if text:
        thought, text = split_reasoning(text)
        reasoning = reasoning or thought
    elif reasoning:
        reasoning, text = _within(reasoning, text)
    if choice.error and (wrong := told(choice.error)) is not None:
        return Reply(index, "failed", text, reasoning, finish, wrong.reason, tokens)
    if odd and not text:
        return Reply(index, "failed", text, reasoning, finish, odd, tokens)
    status, why = ended(text, finish, tokens, most)
    if reasoning and status == "empty":
        why = why or ALL_REASONING
    return Reply(index, status, text, reasoning, finish, why, tokens)


def _thought(said: Said) -> str | None:
    """The reasoning of a message, where a field of its own holds it."""
    found = said.reasoning_content or said.reasoning or said.thinking or said.reasoning_details
    if not found or type(found) is str:
        return found or None
    read = contents.read(found)
    return read.reasoning or read.text


def _within(reasoning: str, text: str | None) -> tuple[str | None, str | None]:
    """Reasoning and text, of what a host sent as reasoning alone; marks may part them."""
    thought, rest = split_reasoning(reasoning)
    return (thought, rest) if thought and rest else (reasoning, text)


def joined(parts: Sequence[Response]) -> Response:
    """Responses to one sample each as the response to all of them."""
    first = parts[0]
    for part in parts:
        for reply in part.replies:
            reply.seed = part.seed
    first.replies = [reply for part in parts for reply in part.replies]
    completion = [part.completion_tokens for part in parts]
    first.completion_tokens = None if None in completion else sum(c or 0 for c in completion)
    first.raw = _lines(part.raw for part in parts)
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
    response.raw = _lines((response.raw, again.raw))


def _lines(raw: Iterable[str | None]) -> str | None:
    """What several answers brought; None where none brought anything."""
    came = [part for part in raw if part]
    return "\n".join(came) if came else None


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
