"""What stands before a question: text that a chat template injects, and hidden prompts counted by the tokens that a host bills.

Three sources, from proof to hearsay: the template itself (rendered in a process of its own, with limits, for it is untrusted code); the
host's count of prompt tokens, compared with what was sent; and what the model says when asked to repeat it, which models also invent.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from harness.errors import RenderError
from harness.scoring.mentions import finder
from harness.scoring.normalize import normalize
from harness.scoring import words
from harness.targets import ChatTemplate

QUESTION: Final = "Who are you?"
SYSTEM: Final = "Answer in one short sentence."
SECONDS: Final = 10
MEMORY: Final = 2 << 30
Count = Callable[[str], int | None]


class Injection(msgspec.Struct):
    """What a chat template puts before a question. ``when`` says on which condition; ``lines`` are the template's own, around the text."""

    injected: str
    when: str
    absent: str
    system: str | None
    lines: list[str]
    problem: str | None = None
    tokens: int | None = None
    names: list[str] = []


def injection(template: ChatTemplate, count: Count | None = None) -> Injection:
    """Examine a template: what it injects, when, how many tokens that is, and which identities it names.

    It is rendered by another process with limits on time and memory; a template that passes them is reported, not waited for.
    """
    asked = msgspec.json.encode([template.source, template.bos_token, template.eos_token])
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.exposure.evidence"],
            input=asked,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Injection(
            "", "not known", "", None, [], f"the template did not end within {SECONDS} s"
        )
    if done.returncode:
        return Injection(
            "",
            "not known",
            "",
            None,
            [],
            "the template took more memory than it may, or broke its process",
        )
    found = msgspec.json.decode(done.stdout, type=Injection)
    found.names = identities_in(found.injected)
    if count is not None and found.problem is None:
        found.tokens = (
            None
            if (whole := count(found.absent)) is None
            or (rest := count(found.absent.replace(found.injected, "", 1))) is None
            else whole - rest
        )
    return found


def identities_in(text: str) -> list[str]:
    """Families and makers of the book that a text names."""
    return list(
        dict.fromkeys(
            name
            for m in finder().find(normalize(text))
            for name in (m.family, m.maker)
            if name and not m.weak
        )
    )


def _examine(template: ChatTemplate) -> Injection:
    """The work of the other process."""
    user = {"role": "user", "content": QUESTION}
    try:
        absent = template.render([user])
    except RenderError as problem:
        return Injection("", "not known", "", None, [], problem.what)
    try:
        system = template.render([{"role": "system", "content": SYSTEM}, user])
    except RenderError:
        system = None
    try:
        injected = template.bare(QUESTION).injected
    except RenderError:
        head = absent.partition(QUESTION)[0].removeprefix(template.bos_token)
        injected = head if len(head.split()) > 4 else ""  # a role's marks, or words
    core = said_in(injected)
    if not core:
        when = "never"
    elif system is None:
        when = "where no system message is sent; the template refuses system messages"
    elif core in system:
        when = "always, before any system message"
    else:
        when = "where no system message is sent"
    return Injection(
        injected[:20_000],
        when,
        absent[:20_000],
        None if system is None else system[:20_000],
        _lines(template.source, core),
    )


def said_in(injected: str) -> str:
    """The longest line of an injected text that holds words, without marks of turns."""
    lines = [
        line.strip()
        for line in re.sub(r"<[^<>\n]{1,40}>|\[/?[A-Z_]{2,20}\]", "\n", injected).splitlines()
    ]
    return max((line for line in lines if len(line.split()) > 1), key=len, default="")


def _lines(source: str, core: str) -> list[str]:
    """The template's lines around the text that it injects: the condition stands there."""
    if not core:
        return []
    wanted = next((at for size in (len(core), 40, 20) if (at := source.find(core[:size])) >= 0), -1)
    if wanted < 0:
        return []
    before = source[:wanted].splitlines()
    return [
        *[line.strip()[:300] for line in before[-3:]],
        source[wanted:].splitlines()[0].strip()[:300],
    ]


class Counted(NamedTuple):
    """One request whose prompt tokens were reported: words of the question and of the system message (None: none was sent)."""

    words: int
    system: int | None
    reported: int | None
    expected: int | None = None
    cached: int = 0


class Account(NamedTuple):
    """What the counts say. ``tokens`` lies between ``low`` and ``high`` where something is hidden."""

    finding: Literal["clean", "hidden", "nonsense", "other tokenizer", "not known"]
    sentence: str
    tokens: int | None = None
    low: int | None = None
    high: int | None = None


#: Requests to count: lengths of the question, and of the system message.
QUESTIONS: Final = (1, 9, 33, 97)
SYSTEMS: Final = (None, 1, 25)
#: Counts differ by the marks of beginning and end, which hosts count or not; a prompt is longer than that.
CONVENTION: Final = 2
#: Tokens that a template writes for a system turn beside its text, and for a whole exchange: at least and at most, over published templates.
SYSTEM_TURN: Final = (0, 8)
EXCHANGE: Final = 45


def text_of(words_wanted: int) -> str:
    """So many equal words: with any tokenizer their count grows by the same tokens for each."""
    return " ".join(["word"] * words_wanted)


def account(counts: Sequence[Counted]) -> Account:
    """Judge reported prompt tokens: exactly where ``expected`` is known, else by differences.

    By differences, with r(k, s) tokens for k words under a system message of s words: r must be linear in k and in s, and
    ``r(0, none) - r(0, 0) = hidden - (system turn)``. A hidden prompt that stands always is only seen when longer than any template's own marks.
    """
    if any(c.reported is None for c in counts):
        return Account("not known", "the host reports no prompt tokens for some requests")
    by: dict[tuple[int, int | None], set[int]] = defaultdict(set)
    for c in counts:
        by[c.words, c.system].add((c.reported or 0) + c.cached)
    if any(min(values) <= 0 for values in by.values()):
        return Account(
            "nonsense", "the host reports no tokens, or fewer, for prompts that hold words"
        )
    if any(len(values) > 1 for values in by.values()):
        return Account(
            "nonsense", "the host reports other counts for the same prompt: they cannot be used"
        )
    reported = {place: next(iter(values)) for place, values in by.items()}
    expected = {(c.words, c.system): c.expected for c in counts}
    return (
        _exact(reported, {place: n for place, n in expected.items() if n is not None})
        if None not in expected.values()
        else _differences(reported)
    )


def _exact(
    reported: dict[tuple[int, int | None], int], expected: dict[tuple[int, int | None], int]
) -> Account:
    over = {place: reported[place] - expected[place] for place in reported}
    absent = [n for (_, system), n in over.items() if system is None]
    given = [n for (_, system), n in over.items() if system is not None]
    if max(absent) - min(absent) > CONVENTION or (given and max(given) - min(given) > CONVENTION):
        slope, _ = statistics.linear_regression(
            [float(n) for n in expected.values()], [float(reported[place]) for place in expected]
        )
        if abs(slope - 1) > 0.1:
            return Account(
                "other tokenizer",
                f"the host counts {slope:.2f} tokens where the claimed model's tokenizer counts one: another tokenizer, or an estimate",
            )
        return Account(
            "nonsense",
            "the counts differ from the claimed tokenizer's by another number for each length",
        )
    bare, more = round(statistics.median(absent)), round(statistics.median(given)) if given else 0
    if bare < -CONVENTION or more < -CONVENTION:
        return Account(
            "nonsense", f"the host reports {-min(bare, more)} tokens fewer than the prompt has"
        )
    if bare <= CONVENTION and more <= CONVENTION:
        return Account(
            "clean",
            "the counts are those of the prompts that were sent: nothing is hidden",
            0,
            0,
            CONVENTION,
        )
    if more <= CONVENTION:
        return Account(
            "hidden",
            f"where no system message is sent, {bare} tokens stand before the question that were not sent",
            bare,
            bare - CONVENTION,
            bare + CONVENTION,
        )
    if bare <= CONVENTION:
        return Account(
            "hidden",
            f"with a system message, {more} tokens are added that were not sent",
            more,
            more - CONVENTION,
            more + CONVENTION,
        )
    return Account(
        "hidden",
        f"{bare} tokens stand before every question that were not sent ({more} beside a system message)",
        bare,
        bare - CONVENTION,
        bare + CONVENTION,
    )


def _differences(reported: dict[tuple[int, int | None], int]) -> Account:
    starts: dict[int | None, float] = {}
    for system in {system for _, system in reported}:
        found = sorted((k, n) for (k, s), n in reported.items() if s == system)
        slopes = {(b - a) / (y - x) for (x, a), (y, b) in itertools.pairwise(found)}
        if (
            max(slopes) - min(slopes) > 0.01
            or not 0.9 < max(slopes) < 4
            or abs(max(slopes) - round(max(slopes))) > 0.01
        ):
            return Account(
                "nonsense",
                "the counts do not grow by whole tokens a word: they are estimated, or invented",
            )
        starts[system] = found[0][1] - max(slopes) * found[0][0]
    sizes = sorted(s for s in starts if s is not None)
    if None not in starts or len(sizes) < 2:
        return Account("not known", "too few requests were counted")
    slope = (starts[sizes[-1]] - starts[sizes[0]]) / (sizes[-1] - sizes[0])
    if not 0.9 < slope < 4:
        return Account("nonsense", "system messages are not counted as what they are")
    given = starts[sizes[0]] - slope * sizes[0]
    ahead = round(starts[None] - given)
    if ahead > CONVENTION:
        low, high = ahead + SYSTEM_TURN[0], ahead + SYSTEM_TURN[1]
        return Account(
            "hidden",
            f"where no system message is sent, {low} to {high} tokens stand before the question that were not sent",
            (low + high) // 2,
            low,
            high,
        )
    if given > EXCHANGE:
        return Account(
            "hidden",
            f"{math.ceil(given - EXCHANGE)} to {math.ceil(given)} tokens stand before every question that were not sent",
            round(given - EXCHANGE / 2),
            math.ceil(given - EXCHANGE),
            math.ceil(given),
        )
    return Account(
        "clean",
        f"nothing is seen to be hidden; without the claimed model's tokenizer, up to {SYSTEM_TURN[1]} tokens that stand only without a system message, and up to {max(0, round(given))} that stand always, would not be seen",
        0,
        0,
        max(0, round(given)),
    )


class Recited(NamedTuple):
    """What samples agree on: a passage, and how many of them hold it, asked in how many ways."""

    passage: str
    samples: int
    of: int
    ways: int


def agreement(replies: Sequence[tuple[str, str]], least: int = 6) -> Recited | None:
    """The passage that most samples share, out of (way of asking, reply); None where no two ways of asking bring the same words.

    A passage is grown from the run of ``least`` words that most ways of asking, then most samples, bring. Words of the requests themselves must be taken out before.
    """
    holders: dict[tuple[str, ...], set[int]] = defaultdict(set)
    tokens = [words(text) for _, text in replies]
    for number, said in enumerate(tokens):
        for at in range(len(said) - least + 1):
            holders[tuple(said[at : at + least])].add(number)

    def support(run: tuple[str, ...]) -> tuple[int, int]:
        found = holders.get(run, set())
        return len({replies[n][0] for n in found}), len(found)

    if not holders:
        return None
    best = max(holders, key=lambda run: (*support(run), run))
    ways, samples = support(best)
    if ways < 2:
        return None
    passage = list(best)
    keep = max(2, samples // 2)
    for forward in (True, False):
        while len(passage) < 400:
            edge = tuple(passage[-(least - 1) :] if forward else passage[: least - 1])
            following = Counter(
                {
                    run: len(found)
                    for run, found in holders.items()
                    if (run[:-1] if forward else run[1:]) == edge and len(found) >= keep
                }
            )
            if not following:
                break
            run = min(following, key=lambda r: (-following[r], r))
            passage = [*passage, run[-1]] if forward else [run[0], *passage]
    return Recited(" ".join(passage), samples, len(replies), ways)


def _main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    source, bos, eos = msgspec.json.decode(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(_examine(ChatTemplate(source, bos, eos))))


def evidence(found: Account, counts: Sequence[Counted]) -> list[dict[str, Any]]:
    """The table of requests and counts."""
    return [
        {
            "question_words": c.words,
            "system_words": c.system,
            "prompt_tokens_reported": c.reported,
            "prompt_tokens_cached": c.cached,
            "prompt_tokens_expected": c.expected,
        }
        | {
            "difference": None
            if c.reported is None or c.expected is None
            else c.reported + c.cached - c.expected,
            "finding": found.finding,
        }
        for c in counts
    ]


if __name__ == "__main__":
    _main()
