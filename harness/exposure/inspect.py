"""`truename inspect`: everything that can be learned of what a target puts before a question, with the evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd

from harness.campaign import (
    EmbeddedTarget,
    EndpointTarget,
    Message,
    Sampling,
    VllmTarget,
    questions,
)
from harness.errors import RenderError, TargetError
from harness.exposure import evidence as exposure
from harness.exposure.evidence import Account, Count, Counted, Injection, Recited
from harness.scoring import words
from harness.tables import write_bytes, write_csv
from harness.targets import ChatTemplate, template_from_folder
from harness.targets.endpoint import Endpoint

LANGUAGES: Final = ("en", "zh", "pt", "es")
CAUTION: Final = "Models invent such prompts: agreement is a hint, and no single recital is a fact."


class Inspection(msgspec.Struct):
    """What was found of one target; ``verdict`` says it in short."""

    target: str
    verdict: list[str] = []
    injection: Injection | None = None
    template_sha256: str | None = None
    account: Account | None = None
    counts: list[Counted] = []
    recited: Recited | None = None
    replies: int = 0


def inspect(
    settings: EmbeddedTarget | VllmTarget | EndpointTarget | Path, samples: int = 3
) -> Inspection:
    """Inspect a target: the template of a file, and for an endpoint the host's own routes, its counts, and what its model recites.

    Raises
    ------
    TargetError
        The file or the host cannot be used.
    """
    if isinstance(settings, Path):
        return _file(settings)
    if isinstance(settings, EndpointTarget):
        return asyncio.run(of_endpoint(settings, samples))
    if isinstance(settings, VllmTarget):
        from harness.targets.vllm import model_of

        return _file(Path(model_of(settings)), settings.name)
    return asyncio.run(_embedded(settings))


def _file(folder: Path, name: str | None = None) -> Inspection:
    if not folder.is_dir():
        raise TargetError(
            "there is no such folder",
            where=str(folder),
            next="give a folder with tokenizer_config.json, a GGUF file, lab:NAME, or a URL with --model",
        )
    template = template_from_folder(folder)
    return _told(
        Inspection(
            name or folder.name,
            injection=exposure.injection(template, counter(folder)),
            template_sha256=template.sha256,
        )
    )


def counter(folder: Path) -> Count | None:
    """Counts tokens as the folder's own tokenizer does; None where there is none."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


async def _embedded(settings: EmbeddedTarget) -> Inspection:
    from harness.targets.embedded import Embedded

    target = Embedded(settings.model_copy(update={"workers": 1, "slots": 1, "context": 512}))
    try:
        can = await target.preflight()
        template = target.template
        found = Inspection(
            Path(settings.model).name,
            injection=await asyncio.to_thread(exposure.injection, template, target.count),
            template_sha256=template.sha256,
        )
        found.verdict = list(can.notes)
        return _told(found)
    finally:
        await target.close()


async def of_endpoint(settings: EndpointTarget, samples: int) -> Inspection:
    """Inspect an endpoint; ``samples`` of each request to repeat what stands before it."""
    target = Endpoint(settings)
    try:
        await target.preflight(Sampling(max_tokens=256))
        found = Inspection(settings.name)
        count = counter(Path(settings.tokenizer).expanduser()) if settings.tokenizer else None
        await _shown(target, found)
        await _billed(target, found, count)
        if samples:
            await _recited(target, found, samples)
        return _told(found)
    finally:
        await target.close()


async def _shown(target: Endpoint, found: Inspection) -> None:
    """What the host's own routes show: the prompt that it makes of a question, or at least its template."""
    user: Message = {"role": "user", "content": exposure.QUESTION}
    absent = await target.rendered([user])
    template = target.template
    if template is not None:
        found.template_sha256 = template.sha256
        found.injection = await asyncio.to_thread(exposure.injection, template)
    if absent is not None and exposure.QUESTION in absent:
        head = absent.partition(exposure.QUESTION)[0]
        known = found.injection
        if known is None or (known.problem is None and known.absent.strip() != absent.strip()):
            system = await target.rendered([{"role": "system", "content": exposure.SYSTEM}, user])
            core = exposure.said_in(head)
            when = (
                "never"
                if not core
                else "always, before any system message"
                if system and core in system
                else "where no system message is sent"
            )
            found.injection = Injection(
                head if core else "", when, absent, system, [], names=exposure.identities_in(head)
            )
    if found.injection is not None and found.injection.injected:
        tokens = await target.tokenize(found.injection.injected)
        found.injection.tokens = None if tokens is None else len(tokens)


async def _billed(target: Endpoint, found: Inspection, count: Count | None) -> None:
    """Prompt tokens by the host's own count, for questions and system messages of several lengths, twice each."""
    template = target.template if count is not None else None

    async def one(k: int, s: int | None) -> Counted:
        messages: list[Message] = [{"role": "user", "content": exposure.text_of(k)}]
        if s is not None:
            messages.insert(0, {"role": "system", "content": exposure.text_of(s)})
        expected = _expected(template, count, messages)
        try:
            tokens, cached = await target.prompt_tokens(messages)
        except Exception as problem:  # a refused system role is no finding
            if s is None:
                raise TargetError(
                    f"the host does not answer: {problem}",
                    where=target.settings.name,
                    next="mend the target's entry and inspect again",
                ) from None
            return Counted(k, s, None, expected)
        return Counted(k, s, tokens, expected, cached)

    for _ in range(2):
        found.counts += await asyncio.gather(
            *(one(k, s) for k in exposure.QUESTIONS for s in exposure.SYSTEMS)
        )
    usable = [c for c in found.counts if not (c.system is not None and c.reported is None)]
    found.account = exposure.account(usable)


def _expected(
    template: ChatTemplate | None, count: Count | None, messages: Sequence[Message]
) -> int | None:
    """Tokens of the messages alone, with the claimed model's template and tokenizer, and without what that template injects by itself."""
    if template is None or count is None:
        return None
    try:
        text = (
            template.render(messages)
            if messages[0]["role"] == "system"
            else template.bare(messages[-1]["content"]).prompt
        )
    except RenderError:
        return None
    return count(text)


async def _recited(target: Endpoint, found: Inspection, samples: int) -> None:
    """Ask the model to repeat what stands before, in several ways and languages, and see what its replies agree on."""
    from harness.campaign import parse_arm
    from harness.targets import Request

    sampling, arm = Sampling(max_tokens=256, temperature=1.0, seed=None), parse_arm("absent")
    asked = [
        (f"{language}/{q.id}", q.text)
        for language in LANGUAGES
        for q in questions("extraction", language, {})
    ]
    requests = [
        Request(
            key,
            arm,
            ({"role": "user", "content": text},),
            sampling,
            range(samples),
            64 + len(text.encode()),
        )
        for key, text in asked
    ]
    answers = await asyncio.gather(*(target.sample(request) for request in requests))
    own = {
        tuple(words(text)[at : at + 4]) for _, text in asked for at in range(len(words(text)) - 3)
    }
    replies = [
        (key, _without(reply.text, own))
        for (key, _), answer in zip(asked, answers, strict=True)
        for reply in answer.replies
        if reply.text
    ]
    found.replies = len(replies)
    found.recited = exposure.agreement(replies)


def _without(text: str, own: set[tuple[str, ...]]) -> str:
    """A reply without runs of four words that stand in a request: a model that repeats the request recites nothing."""
    said = words(text)
    drop = {
        at + i for at in range(len(said) - 3) if tuple(said[at : at + 4]) in own for i in range(4)
    }
    return " ".join("|" if at in drop else word for at, word in enumerate(said))


def _told(found: Inspection) -> Inspection:
    i = found.injection
    if i is not None:
        if i.problem:
            found.verdict.append(f"The chat template cannot be examined: {i.problem}.")
        elif not i.injected:
            found.verdict.append("The chat template injects nothing before a question.")
        else:
            names = (
                f" It names {', '.join(i.names)}."
                if i.names
                else " It names no identity of the book."
            )
            size = f" ({i.tokens} tokens)" if i.tokens is not None else ""
            found.verdict.append(f"The chat template injects text {i.when}{size}.{names}")
    if found.account is not None:
        found.verdict.append(f"By prompt tokens: {found.account.sentence}.")
    if found.replies:
        r = found.recited
        agreed = (
            "no two ways of asking bring the same words"
            if r is None
            else f'{r.samples} of {r.of} replies to {r.ways} ways of asking hold "{r.passage[:300]}"'
        )
        found.verdict.append(f"Asked to repeat what stands before: {agreed}. {CAUTION}")
    return found


def write(found: Inspection, folder: Path) -> list[Path]:
    """The table of counts as CSV, and everything as JSON, which the report of a run shows."""
    stem = f"inspect-{''.join(c if c.isalnum() or c in '-_.' else '-' for c in found.target)}"
    made = [folder / f"{stem}.json"]
    write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1), made[0])
    if found.account is not None:
        frame = pd.DataFrame(exposure.evidence(found.account, found.counts))
        for name in (
            "system_words",
            "prompt_tokens_reported",
            "prompt_tokens_expected",
            "difference",
        ):
            frame[name] = frame[name].astype("Int64")
        write_csv(frame, folder / f"{stem}.csv")
        made.append(folder / f"{stem}.csv")
    return made
