"""What the model really saw: rendered chat templates, and prompts proved to hold no system text.

A chat template is a Jinja2 program that came with the model or from a host: untrusted code. It is
rendered by a process under limits (`harness.guarded`), in an immutable sandbox with the extensions
that `transformers` gives it (``raise_exception``, ``strftime_now``, ``tojson``, loop controls,
trimmed blocks). A template that passed a limit is not tried again.

How the bare prompt is made, and why it is a proof. Let ``R(m)`` be the template's text for messages
``m``. The text of a user turn that is not the first one, ``R([q', a, q]) - R([q', a])``, shows what
a user turn looks like when nothing can be injected before it. The bare prompt is the
beginning-of-sequence token (if the template writes one) and that turn alone. It is accepted only if
``R([q])`` ends with the very same turn: then what stands between is exactly what the template
injects, and it is kept as evidence.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from harness.errors import RenderError, TargetError
from harness.guarded import NotRendered, rendered

MAX_TEMPLATE_CHARACTERS = 400_000
Message = dict[str, str]
#: Templates that passed a limit, by digest, and what is said of them.
_STOPPED: Final[dict[str, str]] = {}


class Bare(NamedTuple):
    """A prompt without system text, and what the template would have injected ("" if nothing)."""

    prompt: str
    injected: str


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template with its special tokens.

    Parameters
    ----------
    source : the Jinja2 text.
    bos_token, eos_token : as the tokenizer writes them ("" if it has none).
    date : the day that ``strftime_now`` tells, so that a rendering can be repeated.
    """

    source: str
    bos_token: str = ""
    eos_token: str = ""
    date: datetime.date = datetime.date(2026, 1, 1)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()

    def render(self, messages: Sequence[Message], *, reply_follows: bool = True) -> str:
        """The text that the model sees for ``messages``.

        Raises
        ------
        RenderError
            The template is broken, refuses the messages, reaches for Python internals, or takes
            more time or memory than it may.
        """
        if len(self.source) > MAX_TEMPLATE_CHARACTERS:
            raise RenderError(
                f"the chat template has {len(self.source)} characters; "
                f"{MAX_TEMPLATE_CHARACTERS} is the most"
            )
        digest = self.sha256
        if digest in _STOPPED:
            raise RenderError(_STOPPED[digest])
        try:
            text: str = rendered(
                "chat",
                source=self.source,
                date=self.date.isoformat(),
                messages=[dict(m) for m in messages],
                reply_follows=reply_follows,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
            )
        except NotRendered as problem:
            error = f"{problem.error}: " if problem.error else ""
            said = f"the model's chat template cannot be rendered: {error}{problem.said}"
            if problem.problem in (None, "memory"):
                _STOPPED[digest] = said
            raise RenderError(said) from None
        return text

    def passes_a_limit(self) -> str | None:
        """Why nobody should render the template, found out on some plain conversations."""
        system, asked, said = (
            {"role": role, "content": role} for role in ("system", "user", "assistant")
        )
        for messages in ([asked], [system, asked], [asked, said, asked]):
            with suppress(RenderError):
                self.render(messages)
        return _STOPPED.get(self.sha256)

    def bare(self, question: str) -> Bare:
        """The prompt of the bare arm, and what the template would have injected.

        The head of this module says how.

        Raises
        ------
        RenderError
            The template does not let the proof be given; the arm is then unsupported.
        """
        asked = {"role": "user", "content": question}
        before = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
        opening = self.render(before, reply_follows=False)
        whole = self.render([*before, asked])
        first = self.render([asked])
        if not whole.startswith(opening):
            raise RenderError(
                "the bare prompt cannot be proved: the template rewrites earlier turns"
            )
        turn = whole[len(opening) :]
        if question.strip() not in turn or not first.endswith(turn):
            raise RenderError(
                "the bare prompt cannot be proved: "
                "the template writes a first user turn unlike a later one"
            )
        start = self.bos_token if self.bos_token and first.startswith(self.bos_token) else ""
        if start and turn.startswith(start):
            start = ""
        return Bare(start + turn, first[len(start) : len(first) - len(turn)])


def template_from_folder(folder: Path) -> ChatTemplate:
    """The chat template of a Hugging Face folder.

    It stands in `chat_template.jinja`, else in `tokenizer_config.json`.
    """
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        separate = folder / "chat_template.jinja"
        source = separate.read_text("utf-8") if separate.is_file() else config.get("chat_template")
    except (OSError, ValueError) as problem:
        raise TargetError(
            f"cannot read the tokenizer's settings: {problem}",
            where=str(folder),
            next="give a folder that holds tokenizer_config.json",
        ) from None
    if isinstance(source, list):  # several named templates: the one called "default"
        source = next((t.get("template") for t in source if t.get("name") == "default"), None)
    if not isinstance(source, str):
        raise TargetError(
            "the folder holds no chat template", where=str(folder), next="add chat_template.jinja"
        )
    return ChatTemplate(
        source, _token_text(config.get("bos_token")), _token_text(config.get("eos_token"))
    )


def _token_text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
