"""Answers: what a run's replies to one-word questions are, in an order fixed beforehand.

The order is drawn by a seed, round by round (each question once, then each a second time), and
holds whichever answers come first: what a stopping rule reads must not depend on who is quick.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.campaign import Plan
from harness.journal import Journal
from harness.lineup.references import Reference
from harness.lineup.words import Word, word_of
from harness.targets import Reply

#: Replies that were cut still hold their first word.
_READABLE = ("ok", "truncated")


class Answered(NamedTuple):
    """One reply: its cell, its word (None: it holds none), and the prompt's tokens if known."""

    cell: str
    word: Word | None
    prompt_tokens: int | None = None


def order(plan: Plan, target: str, seed: int = 0) -> list[tuple[int, int]]:
    """(position, number) of every sample of a target, round by round, shuffled by the seed."""
    draw = random.Random(f"order {seed}")
    positions = list(plan.positions(target))
    rounds = max((plan.samples(position) for position in positions), default=0)
    found = []
    for number in range(rounds):
        some = [position for position in positions if number < plan.samples(position)]
        draw.shuffle(some)
        found += [(position, number) for position in some]
    return found


def read(reply: Reply, cell: str) -> Answered:
    """What a reply answers."""
    return Answered(cell, word_of(reply.text) if reply.status in _READABLE else None)


def cell_of(plan: Plan, position: int) -> str:
    """The cell of a trial: its language and question."""
    trial = plan.trial(position)
    return f"{trial.language}:{trial.question}"


def answers_of(journal: Journal, plan: Plan, target: str, seed: int = 0) -> list[Answered]:
    """A target's answers that the journal holds, in the order that was fixed beforehand."""
    held: dict[tuple[str, int], Answered] = {}
    for row in journal.rows():
        if row["target"] == target:
            cell = f"{row['language']}:{row['question']}"
            word = word_of(row["text"]) if row["status"] in _READABLE else None
            tokens = row["prompt_tokens"] if row["status"] in _READABLE else None
            held[cell, row["sample"]] = Answered(cell, word, tokens)
    keys = ((cell_of(plan, position), number) for position, number in order(plan, target, seed))
    return [held[key] for key in keys if key in held]


def reference_of(
    answers: Iterable[Answered], *, model: str, host: str, date: str, arm: str
) -> Reference:
    """Answers of a known model as a reference."""
    cells: dict[str, Counter[str]] = {}
    tokens: dict[str, Counter[int]] = {}
    asked = answered = direct = 0
    for one in answers:
        asked += 1
        if one.prompt_tokens is not None:
            tokens.setdefault(one.cell, Counter())[one.prompt_tokens] += 1
        if one.word is not None:
            answered += 1
            direct += one.word.direct
            cells.setdefault(one.cell, Counter())[one.word.word] += 1
    return Reference(
        model=model,
        host=host,
        date=date,
        arm=arm,
        asked=asked,
        answered=answered,
        direct=direct,
        cells={cell: dict(sorted(counts.items())) for cell, counts in sorted(cells.items())},
        prompt_tokens={
            cell: counts.most_common(1)[0][0] for cell, counts in sorted(tokens.items())
        },
    )


def words(answers: Iterable[Answered]) -> Iterator[tuple[str, str]]:
    """(cell, word) of the answers that hold a word."""
    return ((one.cell, one.word.word) for one in answers if one.word is not None)
