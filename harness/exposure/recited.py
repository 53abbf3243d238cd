"""What a model says when asked to repeat what stands before: a passage that its replies agree on.

Models also invent such prompts: this is hearsay, and counts only where several ways of asking bring
the same words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from harness.scoring import words

Run = tuple[str, ...]
#: Words of a run that makes a reply a repetition of its request.
OWN: Final = 4
#: Words that a passage has at most.
LONGEST: Final = 400


class Recited(NamedTuple):
    """What samples agree on: a passage, how many of them hold it, asked in how many ways."""

    passage: str
    samples: int
    of: int
    ways: int


def agreement(replies: Sequence[tuple[str, str]], least: int = 6) -> Recited | None:
    """The passage that most samples share, out of (way of asking, reply).

    It is grown from the run of ``least`` words that most ways of asking, then most samples, bring;
    None where no two ways of asking bring the same words. Words of the requests themselves must be
    taken out before (`without`).
    """
    holders: dict[Run, set[int]] = defaultdict(set)
    for number, (_, text) in enumerate(replies):
        for run in _runs(text, least):
            holders[run].add(number)
    if not holders:
        return None

    def support(run: Run) -> tuple[int, int]:
        return len({replies[number][0] for number in holders[run]}), len(holders[run])

    best = max(holders, key=lambda run: (*support(run), run))
    ways, samples = support(best)
    if ways < 2:
        return None
    enough = max(2, samples // 2)
    common = {run: len(found) for run, found in holders.items() if len(found) >= enough}
    return Recited(" ".join(_grown(best, common)), samples, len(replies), ways)


def _runs(text: str, length: int) -> list[Run]:
    said = words(text)
    return [tuple(said[at : at + length]) for at in range(len(said) - length + 1)]


def _grown(start: Run, common: dict[Run, int]) -> list[str]:
    """A run with what most samples say after it, then before it."""
    passage, shared = list(start), len(start) - 1
    for forward in (True, False):
        while len(passage) < LONGEST:
            edge = tuple(passage[-shared:] if forward else passage[:shared])
            following = [run for run in common if (run[:-1] if forward else run[1:]) == edge]
            if not following:
                break
            run = min(following, key=lambda run: (-common[run], run))
            passage = [*passage, run[-1]] if forward else [run[0], *passage]
    return passage


def runs_of(requests: Iterable[str]) -> set[Run]:
    """The runs of words that stand in requests."""
    return {run for text in requests for run in _runs(text, OWN)}


def without(text: str, own: set[Run]) -> str:
    """A reply without runs that stand in a request: a model that repeats that recites nothing."""
    said = words(text)
    starts = [at for at, run in enumerate(_runs(text, OWN)) if run in own]
    drop = {at + i for at in starts for i in range(OWN)}
    return " ".join("|" if at in drop else word for at, word in enumerate(said))
