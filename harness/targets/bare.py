"""A prompt that provably holds no system text, made by comparing what a template writes.

Let ``R(m)`` be the template's text for messages ``m``; q is the question, q' and a are an exchange
before it. Two arguments, the first where it can be given:

**By the later turn.** ``R([q', a, q])`` less ``R([q', a])`` is a user turn that is not the first
one: nothing can be injected before it. It is accepted only if ``R([q])`` ends with the very same
turn; what stands before that there is what the template injects.

**By comparison**, for templates that write a last assistant turn otherwise than an earlier one
(with reasoning, or an end of their own), so that ``R([q', a])`` begins no ``R([q', a, q])``.
Between a and q stand the end of the assistant's turn and the beginning of the user's. Where that
end stops is known by prompts that no reply follows: ``R([q])`` and ``R([q', a])`` show what ends a
turn. Where these do not show it (a template that ends no last answer, or always asks for a reply),
the beginning is what stands before both questions alike, in whole marks, less the marks that stand
first behind an answer or a question. What is left must stand before q in ``R([q])`` too, and all
from there on must be the same in both. So the turn is again one that was written where nothing can
be injected, and again what stands before it in ``R([q])`` is the injected text.

In both nothing may be put between the question and the beginning of the reply, as an earlier
question shows it, and a turn has to begin as an earlier one does (q' in ``R([q', a, q])``): some
templates put a system text into the last user turn, or behind it. And both believe that a template
adds nothing to *every* user turn: what it writes into each of them is part of the model's turn as
far as anyone can see, and stays.

Sequence marks (``<s>``, ``[gMASK]<sop>``) begin every prompt: they stay, and are no injected text.
A mark is one if it stands once in a conversation of several turns, names no role, begins the prompt
with a system message too, and is followed by another mark, not by a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from harness.errors import RenderError

Message = dict[str, str]
#: Renders messages; the second argument says whether a reply follows.
Render = Callable[[list[Message], bool], str]
MARK: Final = re.compile(r"\[gMASK\](?:sop)?|<[^<>\s]{1,60}>|\[/?[A-Za-z_]{2,30}\]")
_ROLE: Final = re.compile(r"sys|developer|user|assistant|human|model|role|inst", re.IGNORECASE)
#: An exchange before the question, of words that no template writes.
EARLIER: Final[list[Message]] = [
    {"role": "user", "content": "qzkwx"},
    {"role": "assistant", "content": "azkwx"},
]
SYSTEM: Final[Message] = {"role": "system", "content": "szkwx"}


class Bare(NamedTuple):
    """A prompt without system text, what the template would have injected ("" if nothing), how."""

    prompt: str
    injected: str
    proof: Literal["later turn", "comparison"]


class _Seen(NamedTuple):
    """What the arguments rest on: the question first, and after an exchange."""

    question: str
    first: str
    later: str


def proved(render: Render, question: str, bos: str, eos: str) -> Bare:
    """The bare prompt of a question.

    Raises
    ------
    RenderError
        Neither argument can be given.
    """
    asked: Message = {"role": "user", "content": question}
    seen = _Seen(question.strip(), render([asked], True), render([*EARLIER, asked], True))
    turn, proof = _later_turn(render, seen), "later turn"
    if turn is None:
        turn, proof = _compared(render, seen, eos), "comparison"
    if not _as_an_earlier(seen, turn):
        raise RenderError(
            "the bare prompt cannot be proved: "
            "the template writes a last user turn unlike an earlier one"
        )
    if _between_question_and_reply(seen, turn):
        raise RenderError(
            "the bare prompt cannot be proved: "
            "the template puts a turn between the last question and the reply"
        )
    before = seen.first[: len(seen.first) - len(turn)]
    start = "" if bos and turn.startswith(bos) else _marks(render, seen, before, asked, bos)
    return Bare(
        start + turn,
        before[len(start) :],
        "later turn" if proof == "later turn" else "comparison",
    )


def _later_turn(render: Render, seen: _Seen) -> str | None:
    """The turn by the first argument; None where that does not hold."""
    try:
        opening = render(EARLIER, False)
    except RenderError:
        return None
    turn = seen.later[len(opening) :]
    begun = seen.later.startswith(opening) and seen.question in turn
    return turn if begun and seen.first.endswith(turn) else None


def _compared(render: Render, seen: _Seen, eos: str) -> str:
    """The turn by the second argument."""
    said = EARLIER[1]["content"]
    at, asked_at = seen.first.rfind(seen.question), seen.later.rfind(seen.question)
    said_at = seen.later.rfind(said, 0, max(asked_at, 0))
    if min(at, asked_at, said_at) < 0:
        raise RenderError("the bare prompt cannot be proved: the template rewrites earlier turns")
    between, before = seen.later[said_at + len(said) : asked_at], seen.first[:at]
    rest = seen.first[at:]
    user_end = seen.later.partition(EARLIER[0]["content"])[2]
    openings = _openings(between, set(_ends(render, eos)))
    for opening in (*openings, _by_marks(between, before, user_end)):
        if opening and before.endswith(opening) and seen.later.endswith(opening + rest):
            return opening + rest
    raise RenderError(
        "the bare prompt cannot be proved: "
        "the template writes a first user turn unlike a later one, or its beginning is not seen"
    )


def _ends(render: Render, eos: str) -> Iterator[str]:
    """What ends a turn, by prompts that no question follows; with and without the text's own end.

    After an answer the beginning of a further reply is taken off, where a question shows it.
    """
    asked = EARLIER[0]
    replied = ""
    with suppress(RenderError):
        alone, followed = render([asked], False), render([asked], True)
        replied = followed.removeprefix(alone) if followed.startswith(alone) else ""
    for messages, follows in (([asked], False), (EARLIER, False), (EARLIER, True)):
        with suppress(RenderError):
            _, found, end = render(messages, follows).rpartition(messages[-1]["content"])
            if found:
                yield end.removesuffix(replied) if follows else end
                if eos:
                    yield end.removesuffix(eos)


def _openings(between: str, ends: set[str]) -> Iterator[str]:
    """What may begin a user's turn, of what stands between an answer and the next question."""
    known = sorted((end for end in ends if end.strip()), key=lambda end: (-len(end), end))
    openings = [between[len(end) :] for end in known if between.startswith(end)]
    openings += [between.rpartition(end)[2] for end in known if end in between]
    yield from (opening for opening in openings if opening.strip())


def _by_marks(between: str, before: str, user_end: str) -> str:
    """The longest end, in whole marks, of what stands before both questions; "" where none is.

    What ends a turn, the first mark behind what was said, is no beginning of one.
    """
    opening: list[str] = []
    one, other = _units(between), _units(before)
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        opening.insert(0, mine)
    ends = {units[0] for text in (between, user_end) if (units := _units(text))}
    while opening and (opening[0] in ends or not MARK.fullmatch(opening[0])):
        del opening[0]
    return "".join(opening)


def _units(text: str) -> list[str]:
    """A text as marks and what stands between them."""
    units, at = [], 0
    for mark in MARK.finditer(text):
        units += [text[at : mark.start()], mark[0]] if mark.start() > at else [mark[0]]
        at = mark.end()
    return [*units, text[at:]] if at < len(text) else units


def _as_an_earlier(seen: _Seen, turn: str) -> bool:
    """Whether the turn begins as one does that is not the last: no text is put into the last."""
    opening = turn[: turn.rfind(seen.question)]
    earlier = seen.later.partition(EARLIER[0]["content"])[0]
    return earlier.rstrip().endswith(opening.rstrip())  # a question may begin with spaces


def _between_question_and_reply(seen: _Seen, turn: str) -> bool:
    """Whether words stand behind the question before the reply's beginning comes.

    What follows an earlier question is that beginning: where the last one is followed by something
    else first, and by the same only then, a turn was put between.
    """
    earlier = seen.later.partition(EARLIER[0]["content"])[2]
    usual = _units(earlier.partition(EARLIER[1]["content"])[0].lstrip())
    behind = _units(turn[turn.rfind(seen.question) + len(seen.question) :].lstrip())
    while usual and behind and usual[0] == behind[0]:
        del usual[0], behind[0]
    before, found, _ = "".join(behind).partition("".join(usual).strip() or "\0")
    return bool(found and MARK.sub("", before).strip())


def _marks(render: Render, seen: _Seen, before: str, asked: Message, bos: str) -> str:
    """The sequence marks that a prompt begins with."""
    at = len(bos) if bos and before.startswith(bos) else 0
    if at == len(before):
        return before
    told = None
    with suppress(RenderError):
        told = render([SYSTEM, asked], True)
    while mark := MARK.match(before, at):
        word, rest = mark[0], before[mark.end() :]
        elsewhere = told is not None and not told.startswith(before[: mark.end()])
        if seen.later.count(word) != 1 or _ROLE.search(word) or elsewhere:
            break
        if rest and not MARK.match(rest):
            break
        at = mark.end()
    return before[:at]
