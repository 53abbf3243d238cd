"""`truename inspect`: all that can be learned of what a target puts before a question.

There are three sources, from proof to hearsay: the chat template itself (`injected.py`); the host's
count of prompt tokens, compared with what was sent (`counts.py`); and what the model says when
asked to repeat it (`recited.py`). `findings.py` holds what was found.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.campaign import (
    EmbeddedTarget,
    EndpointTarget,
    Message,
    NativeTarget,
    RemoteTarget,
    Sampling,
    Settings,
    VllmTarget,
    parse_arm,
    questions,
)
from harness.errors import RenderError, TargetError
from harness.exposure.counts import TURNS, Counted, account, probes, text_of
from harness.exposure.findings import Inspection, told
from harness.exposure.injected import (
    QUESTION,
    SYSTEM,
    Count,
    Injection,
    identities_in,
    injection,
    said_in,
    stands,
)
from harness.exposure.patience import WITHIN_S, Course
from harness.exposure.recited import agreement, runs_of, without
from harness.targets import (
    ChatTemplate,
    Request,
    Response,
    counter,
    model_of,
    open_target,
    template_from_folder,
)

if TYPE_CHECKING:
    from harness.targets.endpoint import Endpoint
    from harness.targets.native import Native

LANGUAGES: Final = ("en", "zh", "pt", "es")


def inspect(
    settings: Settings | Path,
    samples: int = 3,
    within_s: float = WITHIN_S,
) -> Inspection:
    """Inspect a target.

    Of a file its template is examined; of an endpoint the host's own routes, its counts, and what
    its model recites, as far as that goes in ``within_s`` seconds.

    Raises
    ------
    TargetError
        The file or the host cannot be used.
    """
    if isinstance(settings, Path):
        return _file(settings)
    if isinstance(settings, RemoteTarget):
        return asyncio.run(of_endpoint(settings, samples, within_s))
    if isinstance(settings, VllmTarget):
        return _file(Path(model_of(settings)), settings.name)
    return asyncio.run(_embedded(settings))


def _file(folder: Path, name: str | None = None) -> Inspection:
    if not folder.is_dir():
        raise TargetError(
            "there is no such folder",
            where=str(folder),
            next="give a folder with tokenizer_config.json, a GGUF file, lab:NAME, "
            "or a URL with --model",
        )
    template = template_from_folder(folder)
    found = injection(template, counter(folder))
    sha256 = template.sha256
    return told(Inspection(name or folder.name, injection=found, template_sha256=sha256))


async def _embedded(settings: EmbeddedTarget) -> Inspection:
    least = {"workers": 1, "slots": 1, "context": 512}
    target = open_target(settings.model_copy(update=least))
    try:
        can = await target.preflight()
        template = target.template
        return told(
            Inspection(
                Path(settings.model).name,
                list(can.notes),
                await asyncio.to_thread(injection, template, target.count),
                template_sha256=template.sha256,
            )
        )
    finally:
        await target.close()


async def of_endpoint(
    settings: EndpointTarget | NativeTarget, samples: int, within_s: float = WITHIN_S
) -> Inspection:
    """Inspect an endpoint; ``samples`` of each request to repeat what stands before it."""
    target, found, course = open_target(settings), Inspection(settings.name), Course(within_s)
    try:
        async with course.within_its_time():
            await _asked(target, found, course, samples)
        found.cut = course.cut
        return told(found)
    finally:
        await target.close()


async def _asked(
    target: Endpoint | Native, found: Inspection, course: Course, samples: int
) -> None:
    """Ask everything; what was found stands in ``found``, also where it is given up."""
    folder = getattr(target.settings, "tokenizer", None)
    await target.preflight(Sampling(max_tokens=256))
    course.done += 1
    count = counter(Path(folder).expanduser()) if folder else None
    course.begins("asking what the host shows of its prompt", 1)
    await _shown(target, found)
    course.done += 1
    if target.expected is not None:
        found.expected = await asyncio.to_thread(injection, target.expected, count)
    await _billed(target, found, count, course)
    if samples:
        await _recited(target, found, samples, course)


async def _shown(target: Endpoint | Native, found: Inspection) -> None:
    """What the host's own routes show: the prompt it makes of a question, or its template."""
    user: Message = {"role": "user", "content": QUESTION}
    absent = await target.rendered([user])
    template = target.shown
    if template is not None:
        found.template_sha256 = template.sha256
        found.injection = await asyncio.to_thread(injection, template)
    if absent is not None and QUESTION in absent and not _makes(found.injection, absent):
        system = await target.rendered([{"role": "system", "content": SYSTEM}, user])
        found.injection = _seen(absent, system)
    if found.injection is not None and found.injection.injected:
        tokens = await target.tokenize(found.injection.injected)
        found.injection.tokens = None if tokens is None else len(tokens)


def _makes(known: Injection | None, absent: str) -> bool:
    """Whether the known template makes this prompt, or has a problem that is reported instead."""
    if known is None:
        return False
    return known.problem is not None or known.absent.strip() == absent.strip()


def _seen(absent: str, system: str | None) -> Injection:
    """What stands before the question in prompts that a host made."""
    head = absent.partition(QUESTION)[0]
    said = [line for line in said_in(head) if len(line.split()) > 1]  # one word may name a role
    when = stands(said, system or "")
    names = identities_in(head)
    return Injection(head if said else "", when, absent, system, [], names=names)


async def _billed(
    target: Endpoint | Native, found: Inspection, count: Count | None, course: Course
) -> None:
    """Prompt tokens by the host's own count.

    Questions and system messages have several lengths; each is asked twice. Where the first system
    message is refused, no further one is sent.
    """
    template, refused = target.expected, False

    async def one(k: int, s: int | None) -> Counted:
        nonlocal refused
        messages: list[Message] = [{"role": "user", "content": text_of(k)}]
        if s is not None:
            messages.insert(0, {"role": "system", "content": text_of(s)})
        expected = _expected(template, count, messages)
        if s is not None and refused:
            return Counted(k, s, None, expected)
        try:
            tokens, cached = await target.prompt_tokens(messages)
        except Exception as problem:  # a refused system role is no finding
            if s is None:
                raise TargetError(
                    f"the host does not answer: {problem}",
                    where=target.settings.name,
                    next="mend the target's entry and inspect again",
                ) from None
            refused = True
            return Counted(k, s, None, expected)
        finally:
            course.done += 1
        return Counted(k, s, tokens, expected, cached)

    async def conversation(words: Sequence[int]) -> Counted:
        messages = _exchanges(words)
        expected = _expected_of_turns(template, count, messages)
        try:
            tokens, cached = await target.prompt_tokens(messages)
        except Exception:  # a host that takes one question alone: no finding
            tokens, cached = None, 0
        finally:
            course.done += 1
        return Counted(sum(words), None, tokens, expected, cached, TURNS)

    drawn = probes(secrets.randbits(32))  # so that no host knows them beforehand
    wanted = [(k, s) for k in drawn.questions for s in drawn.systems]
    course.begins("comparing counts of prompt tokens", 2 * len(wanted) + 4)
    first = next(pair for pair in wanted if pair[1] is not None)
    found.counts.append(await one(*first))
    for lengths in ([pair for pair in wanted if pair != first], wanted):
        found.counts += await asyncio.gather(*(one(*pair) for pair in lengths))
        both = (drawn.questions, drawn.questions[::-1])
        found.counts += await asyncio.gather(*map(conversation, both))
    usable = [c for c in found.counts if not (c.system is not None and c.reported is None)]
    found.account = account(usable)


def _expected(
    template: ChatTemplate | None, count: Count | None, messages: Sequence[Message]
) -> int | None:
    """Tokens of the messages alone, with the claimed model's template and tokenizer.

    What that template injects by itself does not count.
    """
    if template is None or count is None:
        return None
    try:
        if messages[0]["role"] == "system":
            return count(template.render(messages))
        return count(template.bare(messages[-1]["content"]).prompt)
    except RenderError:
        return None


def _exchanges(words: Sequence[int]) -> list[Message]:
    """A conversation of texts of so many words, a question first and last."""
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text_of(n)} for at, n in enumerate(words)]


def _expected_of_turns(
    template: ChatTemplate | None, count: Count | None, messages: Sequence[Message]
) -> int | None:
    """As `_expected`, of a conversation: its last question, and what the others add to it."""
    last = _expected(template, count, messages[-1:])
    if template is None or count is None or last is None:
        return None
    try:
        whole, alone = (count(template.render(some)) for some in (messages, messages[-1:]))
    except RenderError:
        return None
    return None if whole is None or alone is None else last + whole - alone


async def _recited(
    target: Endpoint | Native, found: Inspection, samples: int, course: Course
) -> None:
    """Ask the model, in several ways and languages, to repeat what stands before."""
    asked = [
        (f"{language}/{question.id}", question.text)
        for language in LANGUAGES
        for question in questions("extraction", language, {})
    ]
    course.begins("asking the model to repeat what stands before", len(asked))

    async def answered(key: str, text: str) -> Response:
        answer = await target.sample(_to_repeat(key, text, samples))
        course.done += 1
        return answer

    answers = await asyncio.gather(*(answered(*one) for one in asked))
    own = runs_of(text for _, text in asked)
    replies = [
        (key, without(reply.text, own))
        for (key, _), answer in zip(asked, answers, strict=True)
        for reply in answer.replies
        if reply.text
    ]
    found.replies = len(replies)
    found.recited = agreement(replies)


def _to_repeat(key: str, text: str, samples: int) -> Request:
    sampling, arm = Sampling(max_tokens=256, temperature=1.0, seed=None), parse_arm("absent")
    bound = 64 + len(text.encode())
    user: Message = {"role": "user", "content": text}
    return Request(key, arm, (user,), sampling, range(samples), bound)
