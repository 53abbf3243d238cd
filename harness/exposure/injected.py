"""What a chat template puts before a question: which text, on which condition, naming whom.

A template is untrusted code: it is rendered by a process under limits (`harness.guarded`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from harness.errors import RenderError
from harness.scoring import finder, normalize
from harness.targets import ChatTemplate

QUESTION: Final = "Who are you?"
SYSTEM: Final = "Answer in one short sentence."
#: Characters that are kept of what a template writes.
KEPT: Final = 20_000
Count = Callable[[str], int | None]
_MARKS: Final = re.compile(r"<[^<>\n]{1,40}>|\[/?[A-Z_]{2,20}\]")
_ROLES: Final = re.compile(r"^\W*(?:system|developer|user|human|assistant)\W*$", re.IGNORECASE)
_WORD: Final = re.compile(r"\w")


class Injection(msgspec.Struct):
    """What a chat template puts before a question.

    ``when`` says on which condition; ``lines`` are the template's own, around the text. Where
    ``empty_turn`` is set, all that is injected is a system turn without a word in it.
    """

    injected: str
    when: str
    absent: str
    system: str | None
    lines: list[str]
    problem: str | None = None
    tokens: int | None = None
    names: list[str] = []
    empty_turn: bool = False


def injection(template: ChatTemplate, count: Count | None = None) -> Injection:
    """Examine a template: what it injects, when, in how many tokens, and whom that names.

    A template that passes the limits is reported, not waited for.
    """
    found = examine(template)
    found.names = identities_in(found.injected)
    if count is not None and found.problem is None:
        found.tokens = _tokens(found, count)
    return found


def _not_known(problem: str) -> Injection:
    return Injection("", "not known", "", None, [], problem)


def _tokens(found: Injection, count: Count) -> int | None:
    """Tokens of the injected text, where it stands."""
    whole = count(found.absent)
    rest = count(found.absent.replace(found.injected, "", 1))
    return None if whole is None or rest is None else whole - rest


def identities_in(text: str) -> list[str]:
    """Families and makers of the book that a text names."""
    mentions = [m for m in finder().find(normalize(text)) if not m.weak]
    return list(dict.fromkeys(name for m in mentions for name in (m.family, m.maker) if name))


def examine(template: ChatTemplate) -> Injection:
    """Render a template with and without a system message, and compare."""
    user = {"role": "user", "content": QUESTION}
    try:
        absent = template.render([user])
    except RenderError as problem:
        return _not_known(problem.what)
    try:
        system = template.render([{"role": "system", "content": SYSTEM}, user])
    except RenderError:
        system = None
    injected = _injected(template, absent)
    said = said_in(injected)
    when = stands(said, system or "")
    core = max(said, key=len, default="")
    if core and system is None:
        when += "; the template refuses system messages"
    return Injection(
        injected[:KEPT],
        when,
        absent[:KEPT],
        None if system is None else system[:KEPT],
        _lines(template.source, core),
        empty_turn=is_empty_turn(injected),
    )


def _injected(template: ChatTemplate, absent: str) -> str:
    try:
        return template.bare(QUESTION).injected
    except RenderError:
        head = absent.partition(QUESTION)[0].removeprefix(template.bos_token)
        return head if len(head.split()) > 4 else ""  # a role's marks, or words


def stands(said: Sequence[str], system: str) -> str:
    """When injected lines stand before a question, by a prompt with a system message."""
    if not said:
        return "never"
    always = [line for line in said if line in system]
    if len(always) == len(said):
        return "always, before any system message"
    if always:
        return "in part always, and as a whole where no system message is sent"
    return "where no system message is sent"


def said_in(injected: str) -> list[str]:
    """The lines of an injected text that hold words, without marks and names of turns."""
    lines = [line.strip() for line in _MARKS.sub("\n", injected).splitlines()]
    return [line for line in lines if _WORD.search(_ROLES.sub("", line))]


def is_empty_turn(injected: str) -> bool:
    """Whether an injected text is the marks of a turn, and nothing is said in it."""
    return bool(injected.strip()) and not said_in(injected)


def _lines(source: str, core: str) -> list[str]:
    """The template's lines around the text that it injects: the condition stands there."""
    if not core:
        return []
    starts = (source.find(core[:size]) for size in (len(core), 40, 20))
    at = next((start for start in starts if start >= 0), -1)
    if at < 0:
        return []
    lines = [*source[:at].splitlines()[-3:], source[at:].splitlines()[0]]
    return [line.strip()[:300] for line in lines]
