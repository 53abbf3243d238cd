"""A model behind Ollama: what its host shows of it, and raw prompts made of what it shows.

    /api/show      its file: template, system prompt, messages, parameters, quantisation
    /api/ps        of models that are loaded: digest, and the context that they have
    /api/tags      the digest, where nothing is loaded
    /api/chat      with `_debug_render_only`: the prompt that it makes of messages, unasked

The template is one of Go, which is not rendered here. The arm `bare` is proved on prompts that the
host itself makes (`harness/targets/bare.py`), and sent by `/api/generate` with `raw: true`, which
puts nothing before it but the sequence's first mark. Versions that render nothing have no `bare`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from harness.campaign import Message, OllamaTarget, Sampling
from harness.errors import RenderError
from harness.targets import bare, received
from harness.targets.bodies import write
from harness.targets.native.ollama import ROUTE, Ollama
from harness.targets.native.target import Asked, Native
from harness.targets.pace import Pace
from harness.targets.preflight import HELLO
from harness.targets.problems import Refused
from harness.targets.protocol import Capabilities, Context, Request
from harness.targets.spending import BudgetReached

NOT_SHOWN: Final = (
    "this version of Ollama does not show the prompts that it makes, so no raw prompt can be "
    "proved to hold no system text: update it"
)
#: Characters that a note tells of a text of the model's file, and prompts that are kept.
TOLD: Final = 200
KEPT: Final = 4096


class OllamaHost(Native):
    """One model behind Ollama."""

    def __init__(self, settings: OllamaTarget, pace: Pace | None = None) -> None:
        self.ollama = Ollama(settings)
        super().__init__(settings, self.ollama, pace)
        self.shows = False
        self.template_sha256: str | None = None
        self._prompts: dict[str, str] = {}

    async def preflight(self, sampling: Sampling | None = None) -> Capabilities:
        """As of every native API, and what the host says of its model. Raises the same."""
        can = await super().preflight(sampling)
        shown, loaded, listed = (
            await self._told("/api/show", {"model": self.settings.model}),
            _of_model(await self._told("/api/ps"), self.settings.model),
            _of_model(await self._told("/api/tags"), self.settings.model),
        )
        parameters = received.text(shown.get("parameters")) or ""
        self.ollama.context = (
            self.ollama.settings.num_ctx
            or received.count(loaded.get("context_length"))
            or _number(parameters, "num_ctx")
        )
        self.shows = await self._made_by_host(HELLO["messages"]) is not None
        template = received.text(shown.get("template"))
        self.template_sha256 = _sha256(template) if template else None
        self.can = replace(
            can,
            version=_version(shown, loaded or listed),
            raw_completions=self.shows,
            template_seen=bool(template),
            template_sha256=self.template_sha256,
            notes=(*can.notes, *_notes(shown, parameters, self.ollama.context)),
        )
        return self.can

    def no_bare(self) -> str | None:
        return None if self.shows else NOT_SHOWN

    async def made(self, request: Request, samples: int, seed: int | None) -> Asked:
        """A chat with the prompt that the host shows of it, or a raw prompt.

        Raises
        ------
        RenderError
            The bare prompt cannot be proved.
        """
        known: dict[str, Any] = {"template_sha256": self.template_sha256}
        sent = self.context(request, samples).sent
        if request.arm.kind != "bare":
            if (prompt := await self._prompt(request.messages)) is not None:
                known |= {"rendered_prompt": prompt, "prompt_source": "shown"}
            return Asked(
                self.host.at.chat, self.bodies.chat(request, samples, seed), Context(sent, **known)
            )
        made = await self._bare(request.messages[-1]["content"])
        known |= {"rendered_prompt": made.prompt, "prompt_source": "sent"}
        body = self.bodies.fields(request.sampling, samples, seed)
        body |= {"prompt": made.prompt, "raw": True}
        for fields in (body, sent):
            fields.pop("think", None)  # it is for templates, which are left out here
        context = Context(sent | {"raw": True}, injected_text=made.injected, **known)
        return Asked(self._at("/api/generate"), body, context)

    async def _bare(self, question: str) -> bare.Bare:
        """The bare prompt of a question, of prompts that the host makes. Raises `RenderError`."""
        asked: Message = {"role": "user", "content": question}
        wanted = ([asked], [*bare.EARLIER, asked], bare.EARLIER, [bare.SYSTEM, asked])
        shown = {json.dumps(messages): await self._prompt(messages) for messages in wanted}

        def render(messages: list[Message], reply_follows: bool) -> str:
            found = shown.get(json.dumps(messages)) if reply_follows else None
            if found is None:
                raise RenderError("the bare prompt cannot be proved: the host does not show it")
            return found

        return bare.proved(render, question, "", "")

    async def _prompt(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of messages, asked once."""
        key = json.dumps(list(messages))
        if not self.shows or key in self._prompts:
            return self._prompts.get(key)
        if (found := await self._made_by_host(messages)) is not None:
            if len(self._prompts) >= KEPT:
                self._prompts.clear()
            self._prompts[key] = found
        return found

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """The prompt that the host makes of some messages, where it shows that."""
        return await self._prompt(messages)

    async def _made_by_host(self, messages: Sequence[Message]) -> str | None:
        """A prompt as the host shows it; versions that show none answer instead, with a token."""
        body = self.bodies.small(self.sampling, self.bodies.prompt(messages), max_tokens=1)
        asked = self.bodies.placed(body) | {"_debug_render_only": True}
        shown = (await self._told(ROUTE, asked)).get("_debug_info")
        return received.text(shown.get("rendered_template")) if isinstance(shown, dict) else None

    async def _told(self, route: str, asked: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a route says; nothing where it is not there."""
        wire, url = self.host.wire, self._at(route)
        ask = functools.partial(wire.get, url)
        if asked is not None:
            ask = functools.partial(wire.post, url, write(asked))
        try:
            got = await self.host.pace.aside(ask, lambda _: (0, 0), 64, 1)
        except (Refused, BudgetReached):
            return {}
        return received.object_of(got.body) or {}

    def _at(self, route: str) -> str:
        return f"{self.host.at.base}{route}{self.host.at.query}"


def _of_model(listed: dict[str, Any], model: str) -> dict[str, Any]:
    """What a list of models says of one; without a tag the name means the latest."""
    models = listed.get("models")
    names = {model, model if ":" in model else f"{model}:latest"}
    for one in models if isinstance(models, list) else []:
        if isinstance(one, dict) and names & {one.get("model"), one.get("name")}:
            return one
    return {}


def _version(shown: dict[str, Any], listed: dict[str, Any]) -> str | None:
    """What is served: digest and quantisation."""
    details = shown.get("details")
    level = details.get("quantization_level") if isinstance(details, dict) else None
    digest = received.text(listed.get("digest"))
    return received.name(" ".join(part for part in (digest, received.text(level)) if part) or None)


def _notes(shown: dict[str, Any], parameters: str, context: int | None) -> list[str]:
    """What the model's file does to prompts and sampling, and who else answers."""
    notes = []
    if system := received.text(shown.get("system")):
        notes.append(
            "the model's file holds a system prompt, which is put before a question that has none: "
            f"{_short(system)}"
        )
    if isinstance(own := shown.get("messages"), list) and own:
        notes.append(f"the model's file puts {len(own)} messages of its own before every question")
    if parameters.strip():
        said = "; ".join(" ".join(line.split()) for line in parameters.splitlines() if line.strip())
        notes.append(f"the model's file sets parameters, those that are sent aside: {_short(said)}")
    if whose := received.name(shown.get("remote_host")):
        model = received.name(shown.get("remote_model"))
        notes.append(f"the host hands requests on to {whose}, model {model}")
    if context is None:
        notes.append("the host does not tell its context: write num_ctx, so that cuts are seen")
    return notes


def _short(text: str) -> str:
    return text if len(text) <= TOLD else f"{text[:TOLD]} ..."


def _number(parameters: str, name: str) -> int | None:
    """A whole number among a file's parameters, a line each."""
    for line in parameters.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name:
            return received.count(received.count_said(words[1]))
    return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
