"""A block of samples as a row of the database, and a stored block as one row a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from harness.campaign import Trial
from harness.journal.checksums import checksum, summed
from harness.journal.schema import trials
from harness.journal.text import clean, to_json
from harness.targets import Booked, Context, Reply, Response

_OK = '["ok"]'
_contexts = msgspec.json.Decoder(Context)
decode_replies = msgspec.json.Decoder(list[Reply]).decode
#: What a sample's row has of its block, by the same name.
_SHARED = (
    *("trial", "target", "arm", "probe", "language", "question", "messages"),
    *("first", "prompt_tokens", "model", "fingerprint", "provider", "response_id"),
    *("attempts", "seconds", "raw", "saved"),
)


class Sampled(NamedTuple):
    """A block of samples of a trial, and what it cost."""

    trial: Trial
    response: Response
    booked: Booked


def trial_row(run: int, trial: Trial) -> dict[str, Any]:
    """A trial as a row of the table `trials`."""
    row = {
        "run": run,
        "position": trial.position,
        "trial": trial.key,
        "target": trial.target,
        "arm": trial.arm.label,
        "probe": trial.probe,
        "language": trial.language,
        "question": trial.question,
        "messages": to_json(trial.messages),
    }
    return summed(trials, row)


def context_key(context: Context) -> str:
    """The same context has the same key."""
    return hashlib.sha256(to_json(context).encode()).hexdigest()[:32]


def response_row(run: int, done: Sampled, context: str, saved: str) -> tuple[Any, ...]:
    """A block as a row of the table `responses`, in the order of its columns."""
    response, replies = done.response, done.response.replies
    lost = (0, 0, 0)
    if not response.whole:
        failed, unsupported = response.having("failed"), response.having("unsupported")
        lost = failed, unsupported, response.having("truncated")
    row = (
        done.trial.position,
        replies[0].index,
        len(replies),
        to_json(replies),
        context,
        clean(response.model),
        clean(response.fingerprint),
        clean(response.provider),
        clean(response.response_id),
        response.prompt_tokens,
        response.completion_tokens,
        response.seed,
        clean(response.raw),
        _OK if response.attempts == ("ok",) else to_json(response.attempts),
        round(float(response.seconds), 6),
        *map(int, done.booked),
        *lost,
        saved,
    )
    return run, *row, checksum(row)


def samples_of(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A stored block, with its trial and context, as one row a sample."""
    context = _contexts.decode(row["content"])
    shared = {name: row[name] for name in _SHARED}
    shared |= {
        "rendered_prompt": context.rendered_prompt,
        "rendered_tokens": context.rendered_tokens,
        "injected_text": context.injected_text,
        "template_sha256": context.template_sha256,
        "prompt_source": context.prompt_source,
        "rendered_date": context.rendered_date,
        "expected_prompt": context.expected_prompt,
        "expected_tokens": context.expected_tokens,
        "expected_injected": context.expected_injected,
        "sent": to_json(context.sent),
    }
    for reply in decode_replies(row["replies"]):
        yield shared | {
            "sample": reply.index,
            "status": reply.status,
            "text": reply.text,
            "reasoning": reply.reasoning,
            "finish_reason": reply.finish_reason,
            "error": reply.error,
            "completion_tokens": reply.completion_tokens,
            "seed": row["seed"] if reply.seed is None else reply.seed,
        }
