"""What was found of one target: the verdict in sentences, and the files that carry the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

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
    """What was found of one target; ``verdict`` says it in short.

    ``injection`` is of a template or prompt that the target itself shows, ``expected`` of the
    folder that the user named as the claimed model's; ``cut`` says where it was given up.
    """

    target: str
    verdict: list[str] = []
    injection: Injection | None = None
    expected: Injection | None = None
    template_sha256: str | None = None
    account: Account | None = None
    counts: list[Counted] = []
    recited: Recited | None = None
    replies: int = 0
    cut: str | None = None

    @property
    def unknown(self) -> list[str]:
        """What could not be found out, by a sentence each; none where it was.

        A template that cannot be read, an inspection that was given up, or neither a template nor
        counts that can be used: recitals alone are hearsay.
        """
        said = [self.cut] if self.cut else []
        if self.injection is not None and self.injection.problem:
            said.append("the chat template cannot be read")
        counted = self.account is not None and self.account.finding in ("clean", "hidden")
        if self.injection is None and not counted and not self.cut:
            said.append("the host shows no template, and its counts of prompt tokens say nothing")
        return said


def told(found: Inspection) -> Inspection:
    """An inspection with its verdict."""
    found.verdict += _sentences(found)
    return found


def _sentences(found: Inspection) -> Iterator[str]:
    if found.injection is not None:
        yield _of_template(found.injection)
    if found.expected is not None:
        yield _of_expected(found.expected, found.account)
    if found.account is not None:
        yield f"By prompt tokens: {found.account.sentence}."
    if found.replies:
        yield f"Asked to repeat what stands before: {_agreed(found.recited)}. {CAUTION}"
    if found.unknown:
        yield f"It could not be found out: {'; '.join(found.unknown)}."


def _of_template(injection: Injection) -> str:
    if injection.problem:
        return f"The chat template cannot be examined: {injection.problem}."
    if not injection.injected:
        return "The chat template injects nothing before a question."
    if injection.empty_turn:
        return "The chat template writes an empty system turn before a question, and no text in it."
    size = f" ({injection.tokens} tokens)" if injection.tokens is not None else ""
    names = "It names no identity of the book."
    if injection.names:
        names = f"It names {', '.join(injection.names)}."
    return f"The chat template injects text {injection.when}{size}. {names}"


def _of_expected(expected: Injection, account: Account | None) -> str:
    """What the named folder lets expect, and whether the host's own count agrees."""
    if expected.problem:
        return f"The template of the named folder cannot be examined: {expected.problem}."
    size = "" if expected.tokens is None else f" ({expected.tokens} tokens)"
    text = f"text {expected.when}{size}" if expected.injected else "nothing before a question"
    names = f" It names {', '.join(expected.names)}." if expected.names else ""
    said = f"By the named folder, the claimed model's template injects {text}.{names}"
    return f"{said} {EXPECTED[agreement(expected, account)]}"


Agreement = Literal["agrees", "contradicted", "not known"]
EXPECTED: Final[dict[Agreement, str]] = {
    "agrees": "That is an expectation; the host's own count agrees with it.",
    "contradicted": "That is an expectation, and it is contradicted by the host's own count.",
    "not known": "That is an expectation; no count of the host says whether it is so here.",
}


def agreement(expected: Injection, account: Account | None) -> Agreement:
    """Whether the tokens that the host adds to a question are those that were expected."""
    if account is None or account.low is None or account.high is None:
        return "not known"
    tokens = expected.tokens if expected.injected else 0
    if tokens is None:
        return "not known"
    return "agrees" if account.low <= tokens <= account.high else "contradicted"


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
