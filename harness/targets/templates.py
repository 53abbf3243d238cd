"""What the model really saw: rendered chat templates.

A chat template is a Jinja2 program that came with the model or from a host: untrusted code. It is
rendered by a process under limits (`harness.guarded`), in an immutable sandbox with what
`transformers` gives it (``raise_exception``, ``strftime_now``, ``tojson``, loop controls,
``{% generation %}``, trimmed blocks). A template that passed a limit is not tried again. How a
prompt is proved to hold no system text stands in `bare.py`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from harness.errors import RenderError, TargetError
from harness.guarded import NotRendered, rendered
from harness.targets.bare import Bare, Message, proved

MAX_TEMPLATE_CHARACTERS = 400_000
#: Templates that passed a limit, by digest, and what is said of them.
_STOPPED: Final[dict[str, str]] = {}


class Refusal(RenderError):
    """A template does not take these messages, and says why."""


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template with its special tokens.

    Parameters
    ----------
    source : the Jinja2 text.
    bos_token, eos_token : as the tokenizer writes them ("" if it has none).
    date : the day that ``strftime_now`` tells; None is today, in UTC.
    """

    source: str
    bos_token: str = ""
    eos_token: str = ""
    date: datetime.date | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def dated(self) -> datetime.date | None:
        """The day that a rendering tells now; None where the template asks for none."""
        if "strftime_now" not in self.source:
            return None
        return self.date or datetime.datetime.now(datetime.UTC).date()

    def of_today(self) -> ChatTemplate:
        """The same template, whose day does not change any more."""
        return self if self.dated == self.date else replace(self, date=self.dated)

    def render(self, messages: Sequence[Message], *, reply_follows: bool = True) -> str:
        """The text that the model sees for ``messages``.

        A template that leaves a text out is given content as a list of parts, as servers do.

        Raises
        ------
        Refusal
            The template does not take these messages.
        RenderError
            The template is broken, reaches for Python internals, or takes more time or memory
            than it may.
        """
        if len(self.source) > MAX_TEMPLATE_CHARACTERS:
            raise RenderError(
                f"the chat template has {len(self.source)} characters; "
                f"{MAX_TEMPLATE_CHARACTERS} is the most"
            )
        plain = self._rendered([dict(m) for m in messages], reply_follows)
        last = str(messages[-1].get("content", "")).strip()
        if last in plain:
            return plain
        with suppress(RenderError):
            parts = self._rendered([_in_parts(m) for m in messages], reply_follows)
            return parts if last in parts else plain
        return plain

    def _rendered(self, messages: list[dict[str, Any]], reply_follows: bool) -> str:
        """The text for messages as they are."""
        digest, date = self.sha256, self.dated or datetime.date.min
        if digest in _STOPPED:
            raise RenderError(_STOPPED[digest])
        try:
            text: str = rendered(
                "chat",
                source=self.source,
                date=date.isoformat(),
                messages=messages,
                reply_follows=reply_follows,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
            )
        except NotRendered as problem:
            if problem.problem == "refused":
                raise Refusal(f"the model's chat template refuses this: {problem.said}") from None
            error = f"{problem.error}: " if problem.error else ""
            said = f"the model's chat template cannot be rendered: {error}{problem.said}"
            if problem.problem in (None, "memory"):
                _STOPPED[digest] = said
            raise RenderError(said) from None
        return text

    def refused_system(self, messages: Sequence[Message]) -> str | None:
        """Why the template refuses the system message that ``messages`` begin with, in its words.

        None where there is none, or it is taken, or the template refuses the rest as well.
        """
        if messages[0]["role"] != "system":
            return None
        try:
            self.render(messages)
        except Refusal as refusal:
            with suppress(RenderError):
                self.render(messages[1:])
                return refusal.what
        except RenderError:
            return None
        return None

    def problem(self) -> str | None:
        """Why the template renders no plain question; None where it does."""
        try:
            self.render([{"role": "user", "content": "user"}])
        except RenderError as problem:
            return problem.what
        return None

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
        """The prompt of the bare arm, and what the template would have injected (`bare.proved`).

        Raises
        ------
        RenderError
            The template does not let the proof be given; the arm is then unsupported.
        """

        def render(messages: list[Message], reply_follows: bool) -> str:
            return self.render(messages, reply_follows=reply_follows)

        return proved(render, question, self.bos_token, self.eos_token)


def _in_parts(message: Message) -> dict[str, Any]:
    return message | {"content": [{"type": "text", "text": message.get("content", "")}]}


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


def counter(folder: Path) -> Callable[[str], int] | None:
    """Counts tokens as the folder's own tokenizer does; None where there is none.

    Raises
    ------
    TargetError
        Its `tokenizer.json` cannot be read.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as problem:  # tokenizers raises bare exceptions
        raise TargetError(
            f"cannot read the tokenizer: {problem}",
            where=str(path),
            next="give a folder whose tokenizer.json is whole, or none",
        ) from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _token_text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
