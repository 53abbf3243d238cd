"""What a server says of itself beside the API, and small requests that tell what it can do.

llama.cpp has /props, /apply-template and /tokenize; vLLM a render route, /tokenize and /detokenize.
A host that has none of them answers with None, never with an error. A route that is not there is
asked once: whoever needs it meanwhile waits for the first answer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from harness.campaign import Message
from harness.targets import received
from harness.targets.answers import Choice
from harness.targets.bodies import write
from harness.targets.host import Host
from harness.targets.pace import OVERLOADED
from harness.targets.problems import PROBLEMS, Refused
from harness.targets.transport import Answer

T = TypeVar("T")
#: How often a host is asked what it can do, and the pause between, where the connection is lost.
SIDE_ATTEMPTS: Final = 3
SIDE_PAUSE_S: Final = 0.3
#: What a route that is not there, or not for us, answers; others may be of one request alone.
MISSING: Final = frozenset((401, 403, 404, 405, 410, 501))
#: Answers without what was asked for, before any with it, until a route counts as missing.
FRUITLESS: Final = 3


class _Route:
    """What is known of one route: how often it was asked in vain, and whether it ever answered."""

    def __init__(self) -> None:
        self.first = asyncio.Lock()
        self.answers, self.in_vain = False, 0

    @property
    def missing(self) -> bool:
        return not self.answers and self.in_vain >= FRUITLESS


class SideRoutes:
    """The routes of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.llama = False
        self._known: dict[str, _Route] = defaultdict(_Route)

    async def properties(self) -> dict[str, Any]:
        """What llama.cpp's server says of its model; nothing of other hosts."""
        url = self.host.at.beside("/props")
        found = await _object(lambda: self.host.wire.get(url))
        known = found if isinstance(found, dict) else {}
        self.llama = bool(known.get("default_generation_settings"))
        return known

    async def choice(self, url: str, body: dict[str, Any]) -> Choice | Refused:
        """The choice that a small request brings, or why there is none."""
        sent = write(body)
        try:
            answer = await _kept_at(lambda: self.host.aside(url, sent))
        except Refused as refused:
            return refused
        return (answer.choices or [Choice()])[0]

    async def tokenize(self, text: str) -> list[int] | None:
        """Tokens by the server's own tokenizer (vLLM and llama.cpp have /tokenize), or None."""
        asked: dict[str, Any]
        if self.llama:
            asked = {"content": text, "add_special": False, "parse_special": True}
        else:
            model = self.host.settings.model
            asked = {"model": model, "prompt": text, "add_special_tokens": False}
        return await self._field("/tokenize", asked, "tokens", received.tokens)

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of some messages, where it shows that.

        llama.cpp shows it by /apply-template, vLLM by its render route (else /tokenize) and
        /detokenize.
        """
        asked: dict[str, Any] = {"messages": list(messages)}
        if (shown := await self._field("/apply-template", asked, "prompt", _text)) is not None:
            return shown
        model = self.host.settings.model
        asked = {"model": model, **asked}
        read = received.tokens
        tokens = await self._field("/v1/chat/completions/render", asked, "token_ids", read)
        if tokens is None and not self.llama:
            tokens = await self._field("/tokenize", asked, "tokens", read, "of messages")
        if not tokens:
            return None
        asked = {"model": model, "tokens": tokens}
        return await self._field("/detokenize", asked, "prompt", _text) or None

    async def _field(
        self,
        route: str,
        body: dict[str, Any],
        field: str,
        read: Callable[[Any], T | None],
        use: str = "",
    ) -> T | None:
        """One field of a route's answer, or None; ``use`` is what the route is asked for."""
        url, sent = self.host.at.beside(route), write(body)
        known = self._known[route + use]
        if known.answers:
            found = await _object(lambda: self.host.wire.post(url, sent))
            return read(found.get(field)) if isinstance(found, dict) else None
        async with known.first:
            if known.missing:
                return None
            found = await _object(lambda: self.host.wire.post(url, sent))
            value = read(found.get(field)) if isinstance(found, dict) else None
            if value is not None:
                known.answers = True
            elif not (isinstance(found, Refused) and found.status in OVERLOADED):
                known.in_vain += FRUITLESS if _is_missing(found) else 1
            return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_missing(found: dict[str, Any] | Refused | None) -> bool:
    """Whether an answer says that a route is not there, and will not be."""
    if not isinstance(found, Refused):
        return found is None  # no JSON: a page for people
    return found.status in MISSING or found.problem is PROBLEMS["timeout"]


async def _object(send: Callable[[], Awaitable[Answer]]) -> dict[str, Any] | Refused | None:
    """The JSON object that a route brings, None where it is none, or why there is no answer."""
    try:
        return received.object_of((await _kept_at(send)).body)
    except Refused as refused:
        return refused


async def _kept_at(send: Callable[[], Awaitable[T]]) -> T:
    """What a small request brings; a lost connection is no answer, so it is asked again."""
    for _ in range(SIDE_ATTEMPTS - 1):
        try:
            return await send()
        except Refused as refused:
            if refused.problem not in (PROBLEMS["reset"], PROBLEMS["body"]):
                raise
        await asyncio.sleep(SIDE_PAUSE_S)
    return await send()
