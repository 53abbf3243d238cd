"""Which parameters a host refuses: each that will be sent is tried, and all are named.

    a body that is refused -> the least that is answered -> each parameter over it, by itself
                                                         -> those that are refused only together

Nothing is left out by itself, for that would change what is sampled without a word; where the
target's entry says `auto_omit: true`, what is left out is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from harness.targets.answers import Completion
from harness.targets.bodies import Bodies
from harness.targets.pace import OVERLOADED
from harness.targets.problems import PROBLEMS, Refused

#: Asks for one small answer by a body.
Ask = Callable[[dict[str, Any]], Awaitable[Completion | Refused]]
#: Statuses below 500 that do not come of what a body holds.
_OTHER: Final = frozenset((401, 402, 403, 404, 408, 409, 425, 429))


class Refusal(NamedTuple):
    """A parameter that a host refuses, and its words; ``extra``: it stands in `extra_body`."""

    name: str
    reason: str
    extra: bool = False


class Found(NamedTuple):
    """What a host refuses.

    ``limit`` is what it calls the limit of an answer's length, where that is not what was sent ("":
    it takes none). ``together`` are parameters of which one has to go; ``least`` is why it refuses
    even a body without parameters.
    """

    refused: list[Refusal] = []
    limit: str | None = None
    together: list[str] = []
    least: Refused | None = None


class Entry(NamedTuple):
    """What the lines `omit` and `rename` of a target's entry say."""

    omit: tuple[str, ...]
    rename: Mapping[str, str]

    def lines(self, before: Entry) -> list[str]:
        """What is to be written, where it is not what stands there."""
        omit, rename = ", ".join(self.omit), ", ".join(f"{k}: {v}" for k, v in self.rename.items())
        said = []
        if self.omit != before.omit:
            said.append(f"omit: [{omit}]")
        if self.rename != before.rename:
            said.append(f"rename: {{{rename}}}")
        return said


def concerns(refused: Refused) -> bool:
    """Whether a refusal may come of what the body holds."""
    if broken(refused):
        return True
    if refused.status is None:
        return False
    if refused.status == 404:  # OpenRouter says so where no provider takes all parameters
        return "parameter" in refused.reason.lower()
    return 400 <= refused.status < 500 and refused.status not in _OTHER


def broken(refused: Refused) -> bool:
    """Whether a server may break on what it is sent, or may just be broken.

    It answers with a status from 500 up that is not of overload, or with an error that tells none.
    """
    if refused.status is None:
        return refused.problem._replace(fate="retry") == PROBLEMS["told"]
    return refused.status >= 500 and refused.status not in OVERLOADED


async def find(ask: Ask, bodies: Bodies, sent: Mapping[str, Any], hello: dict[str, Any]) -> Found:
    """Find what a host refuses of a body that it refused.

    ``sent`` are its parameters by truename's names, ``hello`` is its prompt.
    """
    given = bodies.renamed(sent)
    at = bodies.called("max_tokens")
    few = given.get(at)
    limits = (
        [{name: few} for name in dict.fromkeys((at, *bodies.limits))] if few is not None else []
    )
    least: dict[str, Any] = {}
    first: Refused | None = None
    for extra in (False, True) if bodies.extra_body else (False,):
        for limit in (*limits, {}):
            least = bodies.fixed(extra=not extra) | limit | hello
            if isinstance(answer := await _asked(ask, least), Completion):
                found = await _over(ask, bodies, sent, least, extra=extra)
                if first is None or at in limit or few is None:
                    return found
                refused = [Refusal("max_tokens", first.reason), *found.refused]
                return found._replace(refused=refused, limit=next(iter(limit), ""))
            first = first or answer
    return Found(least=first)


async def _over(
    ask: Ask,
    bodies: Bodies,
    sent: Mapping[str, Any],
    least: dict[str, Any],
    *,
    extra: bool,
) -> Found:
    """Try each parameter over the least that is answered; ``extra``: those of `extra_body` too."""
    others = {name: {bodies.called(name): value} for name, value in sent.items()}
    passed = {"max_tokens", *bodies.omit, *bodies.extra_body}
    others = {name: part for name, part in others.items() if not passed & {name, *part}}
    wanted: list[tuple[str, dict[str, Any], bool]] = [(n, p, False) for n, p in others.items()]
    if extra:
        wanted += [(name, {name: value}, True) for name, value in bodies.extra_body.items()]
    answers = await asyncio.gather(*(_asked(ask, least | part) for _, part, _ in wanted))
    refused = [
        Refusal(name, answer.reason, of_extra)
        for (name, _, of_extra), answer in zip(wanted, answers, strict=True)
        if isinstance(answer, Refused)
    ]
    gone = {one.name for one in refused}
    kept = [(name, part) for name, part, _ in wanted if name not in gone]
    return Found(refused, None, await _together(ask, least, kept))


async def _together(
    ask: Ask, least: dict[str, Any], kept: Sequence[tuple[str, dict[str, Any]]]
) -> list[str]:
    """Parameters that are refused only together, of which it is enough to leave out one."""
    if len(kept) < 2 or isinstance(await _asked(ask, _all(least, kept)), Completion):
        return []
    without = [[one for one in kept if one is not left] for left in kept]
    answers = await asyncio.gather(*(_asked(ask, _all(least, some)) for some in without))
    return [
        name
        for (name, _), answer in zip(kept, answers, strict=True)
        if isinstance(answer, Completion)
    ]


def _all(least: dict[str, Any], parts: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    body = dict(least)
    for _, part in parts:
        body |= part
    return body


async def _asked(ask: Ask, body: dict[str, Any]) -> Completion | Refused:
    """An answer, or a refusal; a broken server is asked twice, for that may pass."""
    answer = await ask(body)
    if isinstance(answer, Refused) and broken(answer):
        answer = await ask(body)
    return answer


def mended(found: Found, before: Entry) -> Entry:
    """What the entry says once all that is refused is left out, or called as the host calls it."""
    gone = [one.name for one in found.refused if not one.extra]
    gone += found.together[-1:]
    rename = {name: to for name, to in before.rename.items() if name not in gone}
    if found.limit:
        gone.remove("max_tokens")
        if found.limit != "max_tokens":
            rename["max_tokens"] = found.limit
    return Entry(tuple(dict.fromkeys((*before.omit, *gone))), rename)


def changes(before: Entry, after: Entry) -> str:
    """What is sent otherwise than the entry says, for people."""
    omitted = [name for name in after.omit if name not in before.omit]
    said = [f"left out, for the host refuses them: {', '.join(omitted)}"] if omitted else []
    said += [
        f"{name} is sent as {after.rename.get(name, name)}"
        for name in dict.fromkeys((*before.rename, *after.rename))
        if name not in omitted and after.rename.get(name) != before.rename.get(name)
    ]
    return "; ".join(said)
