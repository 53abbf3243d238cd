"""Hidden prompts by the tokens that a host bills: its counts compared with what was sent.

With the claimed model's template and tokenizer the comparison is exact; without them the counts of
several lengths are compared with one another. Lengths are drawn by a seed and share no divisor, so
that a host that rounds its counts is seen to round, and is not told to hide what it rounds up.
Counts say how many tokens there are, not where: what stands always may stand before the question or
after it. A second design asks the same with exchanges before the question (`TURNS`): what stands
with each question, as what a host puts after it, is then counted that often, and what stands once
in a conversation is counted once; and a host that rounds each message is told from one that rounds
the whole. At the very beginning or at the very end, counts cannot tell.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

#: Words of the question, and of the system message (None: none was sent).
Lengths = tuple[int, int | None]


class Counted(NamedTuple):
    """One request whose prompt tokens were reported.

    ``words`` are the question's, ``system`` those of the system message (None: none was sent);
    with more ``turns`` than one, ``words`` are those of all turns, questions and answers.
    """

    words: int
    system: int | None
    reported: int | None
    expected: int | None = None
    cached: int = 0
    turns: int = 1

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


class Probes(NamedTuple):
    """Words of the questions, and of the system messages (None: none is sent)."""

    questions: tuple[int, ...]
    systems: tuple[int | None, ...]


#: Questions of different lengths, and words of the longest.
LENGTHS: Final = 5
LONGEST: Final = 120
#: Words of the short and of the long system message, at least and at most.
SHORT: Final = (1, 9)
LONG: Final = (20, 40)
#: Questions of the conversation in the second design; between them stand answers.
TURNS: Final = 3
#: Tokens by which counts of one prompt may differ and still be used.
JITTER: Final = 12
#: Counts differ by the marks of beginning and end, which hosts count or not; a prompt is longer.
CONVENTION: Final = 2
#: Tokens that a template writes for a system turn beside its text, and for a whole exchange: at
#: least and at most, over published templates.
SYSTEM_TURN: Final = (0, 8)
EXCHANGE: Final = 45


def probes(seed: int) -> Probes:
    """Lengths drawn by a seed.

    They share no divisor two by two, and leave different remainders by 8 and by 16, so that a count
    that is rounded to 2, 4, 8, 16 ... tokens steps at other lengths than they do.
    """
    draw = random.Random(seed)
    questions: list[int] = []
    while len(questions) < LENGTHS:
        fresh = draw.randint(1, LONGEST)
        if all(math.gcd(fresh, k) == 1 and (fresh - k) % 8 for k in questions):
            questions.append(fresh)
        elif not draw.randrange(200):  # nothing may be left that fits
            questions.clear()
    return Probes(tuple(sorted(questions)), (None, draw.randint(*SHORT), draw.randint(*LONG)))


def text_of(words_wanted: int) -> str:
    """So many equal words: with any tokenizer their count grows by the same tokens for each."""
    return " ".join(["word"] * words_wanted)


def account(counts: Sequence[Counted]) -> Account:
    """Judge reported prompt tokens: exactly where ``expected`` is known, else by differences.

    Where counts are rounded, or those of one prompt differ a little, tokens are hidden only if more
    are counted than that explains.

    By differences, with r(k, s) tokens for k words under a system message of s words: r must be
    linear in k and in s, and ``r(0, none) - r(0, 0) = hidden - (system turn)``. A hidden prompt
    that stands always is only seen when longer than any template's own marks. Counts of more turns
    than one, where there are any, say whether it stands with each question.
    """
    longer = [c for c in counts if c.turns > 1 and c.reported is not None]
    found = _account([c for c in counts if c.turns == 1])
    if not longer or found.finding not in ("clean", "hidden"):
        return found
    return _with_turns(found, [c for c in counts if c.turns == 1], longer)


def _with_turns(found: Account, short: Sequence[Counted], longer: Sequence[Counted]) -> Account:
    """What was found, and how much of it stands with each question of a conversation."""
    over = [c.difference for c in longer]
    alone = [c.difference for c in short if c.system is None]
    if any(one is None for one in (*over, *alone)):
        said = (
            "without the claimed model's tokenizer it is not known what stands with each question"
        )
        return found._replace(sentence=f"{found.sentence}; {said}") if found.tokens else found
    more, less = ([one for one in some if one is not None] for some in (over, alone))
    each = (statistics.median(more) - statistics.median(less)) / (TURNS - 1)
    step = max(1, _step((c.reported or 0) + c.cached for c in (*short, *longer)))
    doubt = CONVENTION + max(_spread(more), _spread(less)) / (TURNS - 1)
    # rounded message by message, each of an exchange's two counts up to a step more
    by_message = step > 1 and doubt < each <= 2 * (step - 1)
    if by_message:
        said = f"each message seems to be rounded to {step} tokens by itself, or to get some more"
        return found._replace(sentence=f"{found.sentence}; {said}")
    if each > doubt:
        said = (
            f"{each:.0f} tokens that were not sent come with each further question of a "
            "conversation, as what is put after it does"
        )
        low, high = round(each - doubt), round(each + doubt)
        if found.finding == "clean":
            return Account("hidden", f"{found.sentence}; but {said}", round(each), low, high)
        return found._replace(sentence=f"{found.sentence}; {said}")
    if found.finding == "hidden":
        said = "they stand once in a conversation, and not with each question"
        return found._replace(sentence=f"{found.sentence}; {said}")
    return found


def _account(counts: Sequence[Counted]) -> Account:
    """What requests of one turn say."""
    if any(c.reported is None for c in counts):
        return Account("not known", "the host reports no prompt tokens for some requests")
    by: dict[Lengths, set[int]] = defaultdict(set)
    for c in counts:
        by[c.words, c.system].add((c.reported or 0) + c.cached)
    if any(min(values) <= 0 for values in by.values()):
        return _nonsense("the host reports no tokens, or fewer, for prompts that hold words")
    expected = {(c.words, c.system): c.expected for c in counts}
    known = {lengths: n for lengths, n in expected.items() if n is not None}
    jitter = max(_spread(list(values)) for values in by.values())
    if jitter and (jitter > JITTER or len(known) < len(expected) or _drops(counts)):
        return _nonsense("the host reports other counts for the same prompt: they cannot be used")
    if jitter:
        return _noisy(by, known, jitter)
    reported = {lengths: next(iter(values)) for lengths, values in by.items()}
    return _exact(reported, known) if len(known) == len(expected) else _differences(reported)


def _drops(counts: Sequence[Counted]) -> bool:
    """Whether a prompt that was asked before is counted as shorter: a cache that is not told of."""
    asked: dict[Lengths, list[int]] = defaultdict(list)
    for c in counts:
        asked[c.words, c.system].append((c.reported or 0) + c.cached)
    return all(later < first for first, *rest in asked.values() for later in rest)


def _step(reported: Iterable[int]) -> int:
    """The number of tokens that counts are rounded to; 1 where they are not, 0 if all are equal."""
    values = sorted(reported)
    return math.gcd(*(value - values[0] for value in values))


def _nonsense(sentence: str) -> Account:
    return Account("nonsense", sentence)


def _hidden(tokens: int, sentence: str) -> Account:
    return Account("hidden", sentence, tokens, tokens - CONVENTION, tokens + CONVENTION)


def _exact(reported: dict[Lengths, int], expected: dict[Lengths, int]) -> Account:
    over = {lengths: reported[lengths] - expected[lengths] for lengths in reported}
    absent = [n for (_, system), n in over.items() if system is None]
    given = [n for (_, system), n in over.items() if system is not None]
    if _spread(absent) > CONVENTION or _spread(given) > CONVENTION:
        step = _step(reported.values())
        if max(_spread(absent), _spread(given)) < step:
            return _within(absent, given, step - 1, f"the host rounds its counts to {step} tokens")
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
        f"{bare} tokens are counted with every question that were not sent, before it or after it "
        f"({more} beside a system message)",
    )


def _noisy(by: Mapping[Lengths, set[int]], expected: Mapping[Lengths, int], jitter: int) -> Account:
    """Counts of one prompt that differ by some tokens: the least of all is the surest."""
    over = [(s, n - expected[k, s]) for (k, s), values in by.items() for n in values]
    absent = [n for system, n in over if system is None]
    given = [n for system, n in over if system is not None]
    step = _step(n for values in by.values() for n in values)
    if max(_spread(absent), _spread(given)) > 2 * jitter + step:
        return _nonsense("the host reports other counts for the same prompt: they cannot be used")
    # some requests show a part of what the noise may be
    doubt = 2 * max(_spread(absent), _spread(given), jitter + step - 1)
    return _within(absent, given, doubt, f"the host's counts of one prompt differ by {jitter}")


def _within(absent: Sequence[int], given: Sequence[int], doubt: int, why: str) -> Account:
    """Judge tokens counted beyond those sent, of which up to ``doubt`` may be the count's own.

    The most that was counted, less that, is surely there; the least, and that, is the most.
    """
    low, high = max(absent) - doubt, min(absent) + doubt
    more = max(given) - doubt if given else 0
    if low < -CONVENTION - 2 * doubt:
        return _nonsense(f"the host reports {-high} tokens or more too few")
    if max(low, more) <= CONVENTION:
        unseen = max(0, high)
        sentence = (
            f"{why}; nothing is seen to be hidden, and up to {unseen} tokens would not be seen"
        )
        return Account("clean", sentence, 0, 0, unseen)
    if low <= CONVENTION:
        low, high = more, min(given) + doubt
        said = f"with a system message, {low} to {high} tokens are added that were not sent"
    elif more <= CONVENTION:
        said = (
            f"where no system message is sent, {low} to {high} tokens stand before the question "
            "that were not sent"
        )
    else:
        said = (
            f"{low} to {high} tokens are counted with every question that were not sent, "
            "before it or after it"
        )
    return Account("hidden", f"{why}; {said}", (low + high) // 2, low, high)


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


class _Start(NamedTuple):
    """Tokens of an exchange without words, at least and at most."""

    low: int
    high: int


def _differences(reported: dict[Lengths, int]) -> Account:
    step = _step(reported.values())
    by_system: dict[int | None, list[tuple[int, int]]] = defaultdict(list)
    for (words, system), tokens in reported.items():
        by_system[system].append((words, tokens))
    if None not in by_system or len(by_system) < 3:
        return Account("not known", "too few requests were counted")
    slopes = _tokens_of_a_word(list(by_system.values()), step)
    if not slopes:
        return _nonsense(
            "the counts do not grow by whole tokens a word: they are estimated, or invented"
        )
    found = [_with_slope(by_system, slope, step) for slope in slopes]
    # where more than one number of tokens a word fits, the one that hides nothing is believed
    return next((account for account in found if account.finding == "clean"), found[0])


def _with_slope(
    by_system: Mapping[int | None, Sequence[tuple[int, int]]], slope: int, step: int
) -> Account:
    """What the counts say where each word has so many tokens."""
    starts = {system: _start(counted, slope, step) for system, counted in by_system.items()}
    none = starts.pop(None)
    low = max(start.low - slope * (system or 0) for system, start in starts.items())
    high = min(start.high - slope * (system or 0) for system, start in starts.items())
    if low > high:
        return _nonsense("system messages are not counted as what they are")
    rounded = "" if none.low == none.high else f"the host rounds its counts to {step} tokens; "
    return _ahead(none.low - high, none.high - low, (low, high), rounded)


def _rest(counted: Sequence[tuple[int, int]], slope: int) -> list[int]:
    """Tokens beside those of the words."""
    return [tokens - slope * words for words, tokens in counted]


def _tokens_of_a_word(by_system: Sequence[Sequence[tuple[int, int]]], step: int) -> list[int]:
    """The whole numbers of tokens by which counts may grow with each word, the best first.

    Where counts are rounded to a step, each lies above the true one, or below, by less than that.
    """
    off = {slope: max(_spread(_rest(some, slope)) for some in by_system) for slope in (1, 2, 3)}
    exact = [slope for slope in off if off[slope] == 0]
    return exact or sorted((s for s in off if s < step > off[s]), key=lambda s: off[s])


def _start(counted: Sequence[tuple[int, int]], slope: int, step: int) -> _Start:
    rest = _rest(counted, slope)
    doubt = step - 1 if _spread(rest) else 0
    return _Start(max(rest) - doubt, min(rest) + doubt)


def _ahead(low: int, high: int, given: tuple[int, int], rounded: str) -> Account:
    """Judge what stands before a question only without a system message, and what stands always.

    ``low`` to ``high`` tokens more than with one; ``given`` is an exchange with a system message.
    """
    if low > CONVENTION:
        low, high = low + SYSTEM_TURN[0], high + SYSTEM_TURN[1]
        return Account(
            "hidden",
            f"{rounded}where no system message is sent, {low} to {high} tokens stand before the "
            "question that were not sent",
            (low + high) // 2,
            low,
            high,
        )
    if given[0] > EXCHANGE:
        least, most = given[0] - EXCHANGE, given[1]
        return Account(
            "hidden",
            f"{rounded}{least} to {most} tokens are counted with every question that were not "
            "sent, before it or after it",
            (least + most) // 2 if rounded else given[0] - EXCHANGE // 2,
            least,
            most,
        )
    unseen, only = max(0, given[1]), SYSTEM_TURN[1] + max(0, high)
    return Account(
        "clean",
        f"{rounded}nothing is seen to be hidden; without the claimed model's tokenizer, "
        f"up to {only} tokens that stand only without a system message, "
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
            "turns": c.turns,
            "prompt_tokens_reported": c.reported,
            "prompt_tokens_cached": c.cached,
            "prompt_tokens_expected": c.expected,
            "difference": c.difference,
            "finding": found.finding,
        }
        for c in counts
    ]
