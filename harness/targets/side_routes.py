"""What a server says of itself beside the API, and small requests that tell what it can do.

llama.cpp has /props, /apply-template and /tokenize; vLLM a render route, /tokenize and /detokenize.
A host that has none of them answers with None, never with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from harness.campaign import Message
from harness.targets import received
from harness.targets.bodies import write
from harness.targets.host import Host
from harness.targets.problems import PROBLEMS, Refused
from harness.targets.transport import Answer

#: How often a host is asked what it can do, and the pause between, where the connection is lost.
SIDE_ATTEMPTS: Final = 3
SIDE_PAUSE_S: Final = 0.3


class SideRoutes:
    """The routes of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.llama = False

    async def properties(self) -> dict[str, Any]:
        """What llama.cpp's server says of its model; nothing of other hosts."""
        found = await self._get("/props") or {}
        self.llama = bool(found.get("default_generation_settings"))
        return found

    async def works(self, url: str, body: dict[str, Any], field: str | None = None) -> bool:
        """Whether a small request brings a choice, and the choice holds a field."""
        aside, sent = self.host.pace.aside, write(body)
        try:
            got = await _kept_at(lambda: aside(lambda: self.host.wire.post(url, sent)))
        except Refused:
            return False
        if (answer := received.object_of(got.body)) is None:
            return False
        listed = answer.get("choices")
        choice = listed[0] if isinstance(listed, list) and listed else None
        return isinstance(choice, dict) and (field is None or bool(choice.get(field)))

    async def tokenize(self, text: str) -> list[int] | None:
        """Tokens by the server's own tokenizer (vLLM and llama.cpp have /tokenize), or None."""
        asked: dict[str, Any]
        if self.llama:
            asked = {"content": text, "add_special": False, "parse_special": True}
        else:
            model = self.host.settings.model
            asked = {"model": model, "prompt": text, "add_special_tokens": False}
        tokens = await self._field("/tokenize", asked, "tokens")
        return received.tokens(tokens)

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of some messages, where it shows that.

        llama.cpp shows it by /apply-template, vLLM by its render route (else /tokenize) and
        /detokenize.
        """
        shown = await self._field("/apply-template", {"messages": list(messages)}, "prompt")
        if isinstance(shown, str):
            return shown
        model = self.host.settings.model
        asked = {"model": model, "messages": list(messages)}
        found = await self._field("/v1/chat/completions/render", asked, "token_ids")
        if not isinstance(found, list):
            found = await self._field("/tokenize", asked, "tokens")
        if not (tokens := received.tokens(found)):
            return None
        text = await self._field("/detokenize", {"model": model, "tokens": tokens}, "prompt")
        return received.text(text) if text else None

    async def _field(self, route: str, body: dict[str, Any], field: str) -> Any:
        """One field of a route's answer, or None."""
        url, sent = self.host.root + route, write(body)
        return (await _object(lambda: self.host.wire.post(url, sent)) or {}).get(field)

    async def _get(self, route: str) -> dict[str, Any] | None:
        url = self.host.root + route
        return await _object(lambda: self.host.wire.get(url))


async def _object(send: Callable[[], Awaitable[Answer]]) -> dict[str, Any] | None:
    """The JSON object that a route brings, or None where the server has no such route."""
    try:
        return received.object_of((await _kept_at(send)).body)
    except Refused:
        return None


async def _kept_at(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """What a small request brings; a lost connection is no answer, so it is asked again."""
    for _ in range(SIDE_ATTEMPTS - 1):
        try:
            return await send()
        except Refused as refused:
            if refused.problem not in (PROBLEMS["reset"], PROBLEMS["body"]):
                raise
        await asyncio.sleep(SIDE_PAUSE_S)
    return await send()
