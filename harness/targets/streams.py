"""Event streams that nobody asked for: put together again as the one answer that was meant.

Some servers stream whatever they are asked (`text/event-stream`): an answer comes as events, each a
piece of it, and ends with `[DONE]`. Comments and names of events are passed over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from harness.targets.quirks import REASONING_FIELDS
from harness.targets.received import BOM, Unreadable, count, json_of

_LINES: Final = re.compile(rb"\r\n|\n|\r")
#: Lines that may stand before the first event, and how far is looked.
_BEFORE: Final = (b":", b"event:", b"id:", b"retry:")
_LOOKED: Final = 4096
_DONE: Final = b"[DONE]"
#: What is told of an answer once.
_NAMES: Final = ("id", "model", "system_fingerprint", "provider")
#: Choices and events that are put together at most.
_MOST: Final = 1024
_EVENTS: Final = 200_000


def is_stream(body: bytes) -> bool:
    """Whether a body begins as an event stream does."""
    for line in _LINES.split(body[:_LOOKED].removeprefix(BOM)):
        if line.strip() and not line.startswith(_BEFORE):
            return line.startswith(b"data:")
    return False


def completion_of(body: bytes) -> dict[str, Any] | Unreadable:
    """The answer that an event stream tells piece by piece."""
    made: dict[str, Any] = {}
    choices: dict[int, _Pieces] = defaultdict(_Pieces)
    done = False
    for number, event in enumerate(_events(body.removeprefix(BOM))):
        if number == _EVENTS:
            return Unreadable(f"the event stream has more than {_EVENTS:,} events")
        said = event.strip()
        if said == _DONE or said.startswith(b":"):  # comments that a proxy took for events
            done = done or said == _DONE
            continue
        found = json_of(event)
        if not isinstance(found, dict):
            return Unreadable(f"an event of the stream is no JSON object: {event[:80]!r}")
        made |= {name: found[name] for name in _NAMES if found.get(name) and name not in made}
        made |= {name: found[name] for name in ("usage", "error") if found.get(name)}
        listed = found.get("choices")
        for place, choice in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(choice, dict) and (at := _place(choice, place)) is not None:
                choices[at].take(choice)
    whole = done or (bool(choices) and all(pieces.finish for pieces in choices.values()))
    if not whole and "error" not in made:
        return Unreadable(f"the event stream broke off: {body[-80:]!r}")
    return made | {"choices": [choices[at].choice() for at in sorted(choices)]}


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event; lines of data that are events of their own are told apart."""
    held: list[bytes] = []
    for line in [*_LINES.split(body), b""]:
        if line.startswith(b"data:"):
            held.append(line[5:].removeprefix(b" "))
        elif not line and held:
            whole = b"\n".join(held)
            yield from held if isinstance(json_of(whole), Unreadable) else [whole]
            held = []


def _place(choice: dict[str, Any], place: int) -> int | None:
    at = count(choice.get("index", place))
    return at if at is not None and at < _MOST else None


class _Pieces:
    """One choice, as far as it was told."""

    def __init__(self) -> None:
        self.finish: Any = None
        self.error: Any = None
        self._said: dict[str, list[Any]] = defaultdict(list)
        self._whole: dict[str, Any] = {}

    def take(self, choice: dict[str, Any]) -> None:
        self.finish = choice.get("finish_reason") or self.finish
        self.error = choice.get("error") or self.error
        delta = choice.get("delta")
        if isinstance(delta, dict):
            for name in ("content", "refusal", *REASONING_FIELDS):
                if delta.get(name):
                    self._said[name].append(delta[name])
        if isinstance(choice.get("message"), dict):
            self._whole = choice["message"]
        if choice.get("text"):
            self._said["text"].append(choice["text"])

    def choice(self) -> dict[str, Any]:
        """The choice as an answer that is not streamed has it."""
        said = {name: _joined(pieces) for name, pieces in self._said.items()}
        made = {"finish_reason": self.finish, "error": self.error}
        if "text" in said:
            return made | {"text": said["text"]}
        return made | {"message": self._whole | said}


def _joined(pieces: list[Any]) -> Any:
    """Pieces of text as text, others as the parts of one content."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    parts: list[Any] = []
    for piece in pieces:
        parts += piece if isinstance(piece, list) else [piece]
    return parts
