"""What was found of one target: the verdict in sentences, and the files that carry the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from harness.exposure import counts
from harness.exposure.counts import Account, Counted
from harness.exposure.injected import Injection
from harness.exposure.recited import Recited

CAUTION: Final = "Models invent such prompts: agreement is a hint, and no single recital is a fact."
_WHOLE_NUMBERS: Final = (
    "system_words",
    "prompt_tokens_reported",
    "prompt_tokens_expected",
    "difference",
)


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


def told(found: Inspection) -> Inspection:
    """An inspection with its verdict."""
    found.verdict += _sentences(found)
    return found


def _sentences(found: Inspection) -> Iterator[str]:
    if found.injection is not None:
        yield _of_template(found.injection)
    if found.account is not None:
        yield f"By prompt tokens: {found.account.sentence}."
    if found.replies:
        yield f"Asked to repeat what stands before: {_agreed(found.recited)}. {CAUTION}"


def _of_template(injection: Injection) -> str:
    if injection.problem:
        return f"The chat template cannot be examined: {injection.problem}."
    if not injection.injected:
        return "The chat template injects nothing before a question."
    size = f" ({injection.tokens} tokens)" if injection.tokens is not None else ""
    names = "It names no identity of the book."
    if injection.names:
        names = f"It names {', '.join(injection.names)}."
    return f"The chat template injects text {injection.when}{size}. {names}"


def _agreed(recited: Recited | None) -> str:
    if recited is None:
        return "no two ways of asking bring the same words"
    r = recited
    return f'{r.samples} of {r.of} replies to {r.ways} ways of asking hold "{r.passage[:300]}"'


def write(found: Inspection, folder: Path) -> list[Path]:
    """The table of counts as CSV, and everything as JSON, which the report of a run shows."""
    # imported here, for the process that examines a template comes through this wing's door too
    import pandas as pd

    from harness.tables import write_bytes, write_file

    stem = f"inspect-{''.join(c if c.isalnum() or c in '-_.' else '-' for c in found.target)}"
    made = [folder / f"{stem}.json"]
    write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1), made[0])
    if found.account is not None:
        frame = pd.DataFrame(counts.table(found.account, found.counts))
        for name in _WHOLE_NUMBERS:
            frame[name] = frame[name].astype("Int64")
        write_file(frame, folder / f"{stem}.csv")
        made.append(folder / f"{stem}.csv")
    return made
