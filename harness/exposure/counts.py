"""Hidden prompts by the tokens that a host bills: its counts compared with what was sent.

With the claimed model's template and tokenizer the comparison is exact; without them the counts of
several lengths are compared with one another.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

#: Words of the question, and of the system message (None: none was sent).
Lengths = tuple[int, int | None]


class Counted(NamedTuple):
    """One request whose prompt tokens were reported.

    ``words`` are the question's, ``system`` those of the system message (None: none was sent).
    """

    words: int
    system: int | None
    reported: int | None
    expected: int | None = None
    cached: int = 0

    @property
    def difference(self) -> int | None:
        """Tokens that were counted beyond those expected."""
        if self.reported is None or self.expected is None:
            return None
        return self.reported + self.cached - self.expected


class Account(NamedTuple):
    """What the counts say.

    ``tokens`` lies between ``low`` and ``high`` where something is hidden.
    """

    finding: Literal["clean", "hidden", "nonsense", "other tokenizer", "not known"]
    sentence: str
    tokens: int | None = None
    low: int | None = None
    high: int | None = None


#: Requests to count: lengths of the question, and of the system message.
QUESTIONS: Final = (1, 9, 33, 97)
SYSTEMS: Final = (None, 1, 25)
#: Counts differ by the marks of beginning and end, which hosts count or not; a prompt is longer.
CONVENTION: Final = 2
#: Tokens that a template writes for a system turn beside its text, and for a whole exchange: at
#: least and at most, over published templates.
SYSTEM_TURN: Final = (0, 8)
EXCHANGE: Final = 45


def text_of(words_wanted: int) -> str:
    """So many equal words: with any tokenizer their count grows by the same tokens for each."""
    return " ".join(["word"] * words_wanted)


def account(counts: Sequence[Counted]) -> Account:
    """Judge reported prompt tokens: exactly where ``expected`` is known, else by differences.

    By differences, with r(k, s) tokens for k words under a system message of s words: r must be
    linear in k and in s, and ``r(0, none) - r(0, 0) = hidden - (system turn)``. A hidden prompt
    that stands always is only seen when longer than any template's own marks.
    """
    if any(c.reported is None for c in counts):
        return Account("not known", "the host reports no prompt tokens for some requests")
    by: dict[Lengths, set[int]] = defaultdict(set)
    for c in counts:
        by[c.words, c.system].add((c.reported or 0) + c.cached)
    if any(min(values) <= 0 for values in by.values()):
        return _nonsense("the host reports no tokens, or fewer, for prompts that hold words")
    if any(len(values) > 1 for values in by.values()):
        return _nonsense("the host reports other counts for the same prompt: they cannot be used")
    reported = {lengths: next(iter(values)) for lengths, values in by.items()}
    expected = {(c.words, c.system): c.expected for c in counts}
    known = {lengths: n for lengths, n in expected.items() if n is not None}
    return _exact(reported, known) if len(known) == len(expected) else _differences(reported)


def _nonsense(sentence: str) -> Account:
    return Account("nonsense", sentence)


def _hidden(tokens: int, sentence: str) -> Account:
    return Account("hidden", sentence, tokens, tokens - CONVENTION, tokens + CONVENTION)


def _exact(reported: dict[Lengths, int], expected: dict[Lengths, int]) -> Account:
    over = {lengths: reported[lengths] - expected[lengths] for lengths in reported}
    absent = [n for (_, system), n in over.items() if system is None]
    given = [n for (_, system), n in over.items() if system is not None]
    if _spread(absent) > CONVENTION or _spread(given) > CONVENTION:
        return _other_tokens(reported, expected)
    bare, more = round(statistics.median(absent)), round(statistics.median(given)) if given else 0
    if bare < -CONVENTION or more < -CONVENTION:
        return _nonsense(f"the host reports {-min(bare, more)} tokens fewer than the prompt has")
    if bare <= CONVENTION and more <= CONVENTION:
        sentence = "the counts are those of the prompts that were sent: nothing is hidden"
        return Account("clean", sentence, 0, 0, CONVENTION)
    if more <= CONVENTION:
        return _hidden(
            bare,
            f"where no system message is sent, {bare} tokens stand before the question "
            "that were not sent",
        )
    if bare <= CONVENTION:
        return _hidden(more, f"with a system message, {more} tokens are added that were not sent")
    return _hidden(
        bare,
        f"{bare} tokens stand before every question that were not sent "
        f"({more} beside a system message)",
    )


def _spread(values: Sequence[int]) -> int:
    return max(values) - min(values) if values else 0


def _other_tokens(reported: dict[Lengths, int], expected: dict[Lengths, int]) -> Account:
    """Counts that differ by more the longer a prompt is, or at random."""
    slope, _ = statistics.linear_regression(
        [float(n) for n in expected.values()], [float(reported[lengths]) for lengths in expected]
    )
    if abs(slope - 1) > 0.1:
        return Account(
            "other tokenizer",
            f"the host counts {slope:.2f} tokens where the claimed model's tokenizer counts one: "
            "another tokenizer, or an estimate",
        )
    return _nonsense(
        "the counts differ from the claimed tokenizer's by another number for each length"
    )


def _differences(reported: dict[Lengths, int]) -> Account:
    starts: dict[int | None, float] = {}
    for system in {system for _, system in reported}:
        start = _without_words(sorted((k, n) for (k, s), n in reported.items() if s == system))
        if start is None:
            return _nonsense(
                "the counts do not grow by whole tokens a word: they are estimated, or invented"
            )
        starts[system] = start
    sizes = sorted(s for s in starts if s is not None)
    if None not in starts or len(sizes) < 2:
        return Account("not known", "too few requests were counted")
    slope = (starts[sizes[-1]] - starts[sizes[0]]) / (sizes[-1] - sizes[0])
    if not 0.9 < slope < 4:
        return _nonsense("system messages are not counted as what they are")
    given = starts[sizes[0]] - slope * sizes[0]
    return _ahead(round(starts[None] - given), given)


def _without_words(counted: Sequence[tuple[int, int]]) -> float | None:
    """Tokens of an exchange without words, out of (words, tokens).

    None where the tokens do not grow by the same whole number for each word.
    """
    slopes = {(b - a) / (y - x) for (x, a), (y, b) in itertools.pairwise(counted)}
    slope = max(slopes)
    if slope - min(slopes) > 0.01 or not 0.9 < slope < 4 or abs(slope - round(slope)) > 0.01:
        return None
    words, tokens = counted[0]
    return tokens - slope * words


def _ahead(ahead: int, given: float) -> Account:
    """Judge what stands before a question only without a system message, and what stands always."""
    if ahead > CONVENTION:
        low, high = ahead + SYSTEM_TURN[0], ahead + SYSTEM_TURN[1]
        return Account(
            "hidden",
            f"where no system message is sent, {low} to {high} tokens stand before the question "
            "that were not sent",
            (low + high) // 2,
            low,
            high,
        )
    if given > EXCHANGE:
        low, high = math.ceil(given - EXCHANGE), math.ceil(given)
        return Account(
            "hidden",
            f"{low} to {high} tokens stand before every question that were not sent",
            round(given - EXCHANGE / 2),
            low,
            high,
        )
    unseen = max(0, round(given))
    return Account(
        "clean",
        "nothing is seen to be hidden; without the claimed model's tokenizer, "
        f"up to {SYSTEM_TURN[1]} tokens that stand only without a system message, "
        f"and up to {unseen} that stand always, would not be seen",
        0,
        0,
        unseen,
    )


def table(found: Account, counts: Sequence[Counted]) -> list[dict[str, Any]]:
    """Requests and counts, a row each."""
    return [
        {
            "question_words": c.words,
            "system_words": c.system,
            "prompt_tokens_reported": c.reported,
            "prompt_tokens_cached": c.cached,
            "prompt_tokens_expected": c.expected,
            "difference": c.difference,
            "finding": found.finding,
        }
        for c in counts
    ]
