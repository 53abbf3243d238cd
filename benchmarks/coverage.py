"""Coverage of 95 % intervals for a rate over questions, by simulation.

`python benchmarks/coverage.py [RUNS] [KIND ...]`; the kinds are the sections below, all by default.

- `alike`: replies to one question are alike (beta-binomial, intra-question correlation `icc`),
  asked 1 to 40 times; truename's interval and the plain methods that tools publish. For each: in
  how many settings its interval holds the true rate less often than in 94 % of runs, its worst
  setting, and its mean width. A method may be narrow only if it holds. (Rates above one half are
  mirror images of those below.)
- `heavy`: one question in K always says the name.
- `languages`: rates differ between languages; the true rate is that over languages like them.
- `missing`: replies that show the name are missing more often than others.
- `dependent`: a cache gives replies again, or a router changes the model; the true rate is the
  host's, over all its backends.
- `errors`: the classifier misses 10 % and invents 4 %, known from so many labelled replies.
- `differences`: of two sides, over the questions asked (replies permuted) and over questions like
  them (whole sides permuted, where all repeats of a question are copies).

At the end stands one table of every setting in which `rate_low` to `rate_high` (or the interval of
a difference) holds in under 94 % of runs: with the interval that the tally has beside it, and what
the report says there, as its own tables and sentences make it of some of the runs (`warned.py`).
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit
from warned import MISSING, warned

from harness.counting.counted import ByQuestion
from harness.counting.difference import difference
from harness.counting.missing import Asked, bounds
from harness.counting.spread import by_language, half_from
from harness.report.conditions import FEW, HITS
from harness.stats import clopper_pearson, clustered, corrected, share, wilson, z_of

LEVEL = 0.94
#: Where chance may have put truename's own interval under the level, so many times the runs decide.
AGAIN = 10
RATES, ICCS = (0, 0.005, 0.02, 0.1, 0.3, 0.5), (0, 0.05, 0.2, 0.5, 0.8, 1)
QUESTIONS, REPEATS = (2, 3, 6, 12, 24, 60, 120), (1, 2, 5, 20, 40)
rng = np.random.default_rng(20261124)


def beta(rate: float, icc: float, shape: tuple[int, ...]) -> np.ndarray:
    """Rates with a mean and a correlation: all alike at 0, none or all at 1."""
    if rate in (0, 1) or icc == 0:
        return np.full(shape, float(rate))
    if icc == 1:
        return (rng.random(shape) < rate).astype(float)
    return rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, shape)


def bootstrap(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over questions, 200 draws."""
    draws = hits[rng.integers(0, len(hits), (200, len(hits)))].sum(1) / sizes.sum()
    return tuple(np.percentile(draws, [2.5, 97.5]))


def cluster_normal(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The sandwich standard error of survey packages."""
    p, k = hits.sum() / sizes.sum(), len(hits)
    error = np.sqrt(k / (k - 1) * ((hits - p * sizes) ** 2).sum()) / sizes.sum()
    return p - z_of(0.95) * error, p + z_of(0.95) * error


def korn_graubard(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """As published: at 0 and 100 % repeats count as independent."""
    n, k = sizes.sum(), len(hits)
    p = hits.sum() / n
    v = k / (k - 1) * ((hits - p * sizes) ** 2).sum() / n**2
    effective = n
    if v != 0 and p not in (0, 1):
        effective = min(n, p * (1 - p) / v * (z_of(0.95) / stdtrit(k - 1, 0.975)) ** 2)
    return clopper_pearson(p * effective, effective)


@lru_cache(maxsize=1 << 18)
def _by_question(hits: bytes, repeats: int) -> tuple[float, float]:
    counts = np.frombuffer(hits, dtype=np.int64)
    return clustered(counts, np.full(len(counts), repeats))[1:3]


def by_question(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The order of questions that were asked alike does not matter: many runs are the same."""
    return _by_question(np.sort(hits).astype(np.int64).tobytes(), int(sizes[0]))


OURS = "truename, by question"
METHODS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, float]]] = {
    OURS: by_question,
    "Wilson, all samples": lambda h, m: wilson(int(h.sum()), int(m.sum())),
    "bootstrap of questions": bootstrap,
    "clustered normal": cluster_normal,
    "Korn-Graubard": korn_graubard,
}


#: Runs of a setting that a report is made of.
REPORTED = 10
#: What speaks of each kind of setting: names of the story's sentences, and of `warned`.
ANSWERS = {
    "alike": ("few questions", "few questions carry it"),
    "heavy": ("few questions", "few questions carry it"),
    "languages": ("these languages", "questions"),
    "missing": (MISSING, "too many missing", "open for what is missing", "missing by question"),
    "dependent": ("repeats",),
    "errors": ("classifier",),
    "differences": (),
    "differences, copies": (),
}


class Under(NamedTuple):
    """A setting under the level: how often the interval held, and another beside it; what is said,
    by how many of the reports that were made.
    """

    kind: str
    setting: str
    held: float
    beside: str
    said: Counter[str]
    reports: int


under: list[Under] = []
examples: dict[tuple[str, str], str] = {}
#: Whether each reply shows the name, by question and round, and more of what `warned` takes.
Replies = dict[str, np.ndarray]


def replies(hits: np.ndarray, rounds: int, gone: np.ndarray | None = None) -> Replies:
    """Hits by question, and missing replies, in any order."""
    at = rng.random((len(hits), rounds)).argsort(1).argsort(1)
    made = {"rio": at < hits[:, None]}
    return made if gone is None else made | {"gone": at >= rounds - gone[:, None]}


def note(kind: str, held: Seen, beside: str, runs: Iterable[Replies]) -> None:
    """Keep a setting that is under the level, with what reports of its runs say."""
    if held.held >= LEVEL:
        return
    said: Counter[str] = Counter()
    reports = 0
    for run in itertools.islice(runs, REPORTED):
        told = warned(**run)
        reports += 1
        for name in set(told) & set(ANSWERS[kind]):
            said[name] += 1
            examples.setdefault((kind, name), told[name])
    under.append(Under(kind, held.setting, held.held, beside, said, reports))


def percent(held: float) -> str:
    return f"{100 * held:.1f} %"


def table_of_all() -> None:
    """One table of every setting under the level."""
    print(f"\nevery setting under {100 * LEVEL:.0f} %, and what {REPORTED} reports of each say\n")
    print("| kind | setting | held | beside it | the report says |\n|---|---|---|---|---|")
    for one in under:
        said = [
            f"{name}{'' if n == one.reports else f' ({n} of {one.reports})'}"
            for name in ANSWERS[one.kind]
            if (n := one.said[name])
        ]
        print(
            f"| {one.kind} | {one.setting} | {percent(one.held)} | {one.beside} "
            f"| {', '.join(said) or 'nothing'} |"
        )
    print("\n| kind | what is said | as in |\n|---|---|---|")
    for (kind, name), text in examples.items():
        print(f"| {kind} | {name} | {text} |")


class Seen(NamedTuple):
    """How often a method's interval held the rate in one setting, and how wide it was."""

    held: float
    width: float
    setting: str


def seen(ends: list[tuple[float, float]], rate: float, setting: str) -> Seen:
    low, high = np.array(ends).T
    held = (low <= rate + 1e-9) & (high >= rate - 1e-9)
    return Seen(float(held.mean()), float((high - low).mean()), setting)


def told(title: str, found: dict[str, list[Seen]]) -> None:
    """A line a method."""
    settings = len(next(iter(found.values())))
    print(f"\n{title}: {settings} settings")
    print(f"{'method':28}{'settings under 94 %':>21}{'mean width':>12}   worst")
    for name, results in found.items():
        worst, width = min(results), np.mean([one.width for one in results])
        under = sum(one.held < LEVEL for one in results)
        print(f"{name:28}{under:>21}{width:>12.3f}   {100 * worst.held:.1f} % at {worst.setting}")


def alike(runs: int) -> None:
    found: dict[str, list[Seen]] = {name: [] for name in METHODS}
    for questions, repeats, rate, icc in itertools.product(QUESTIONS, REPEATS, RATES, ICCS):
        if repeats == 1 and icc:
            continue
        sizes = np.full(questions, repeats)
        drawn = rng.binomial(repeats, beta(rate, icc, (runs, questions)))
        setting = f"rate {rate}, icc {icc}, {questions} questions x {repeats}"
        for name, method in METHODS.items():
            found[name].append(seen([method(hits, sizes) for hits in drawn], rate, setting))
        if found[OURS][-1].held < LEVEL:
            drawn = rng.binomial(repeats, beta(rate, icc, (AGAIN * runs, questions)))
            found[OURS][-1] = seen([by_question(h, sizes) for h in drawn], rate, setting)
        note("alike", found[OURS][-1], "", (replies(h, repeats) for h in drawn))
    told("replies to one question alike", found)


def heavy(runs: int) -> None:
    found: dict[str, list[Seen]] = {name: [] for name in METHODS if "boot" not in name}
    said = []
    for questions, repeats, base, every in itertools.product(
        (12, 24, 60, 120), (5, 40), (0, 0.02, 0.1), (10, 20, 30, 60, 120, 200)
    ):
        sizes, rate = np.full(questions, repeats), 1 / every + base * (1 - 1 / every)
        rates = np.where(rng.random((runs, questions)) < 1 / every, 1.0, base)
        drawn = rng.binomial(repeats, rates)
        setting = f"1 of {every} always, else {base}, {questions} questions x {repeats}"
        for name in found:
            found[name].append(seen([METHODS[name](h, sizes) for h in drawn], rate, setting))
        if found[OURS][-1].held < LEVEL:
            rates = np.where(rng.random((AGAIN * runs, questions)) < 1 / every, 1.0, base)
            drawn = rng.binomial(repeats, rates)
            found[OURS][-1] = seen([by_question(h, sizes) for h in drawn], rate, setting)
        note("heavy", found[OURS][-1], "", (replies(h, repeats) for h in drawn))
        many = [h for h in drawn if h.sum() >= HITS]
        said.append(np.mean([half_from(h) <= FEW * questions for h in many] or [np.nan]))
    told("few questions carry the rate", found)
    print(
        f"  'few questions carry the rate' is said in {100 * np.nanmin(said):.0f} to "
        f"{100 * np.nanmax(said):.0f} % of runs with {HITS} hits or more, by setting"
    )


def languages(runs: int) -> None:
    found: dict[str, list[Seen]] = {"by question": [], "by language": []}
    for count, rate, icc, icc_question in itertools.product(
        (2, 3, 5, 8), (0.05, 0.3, 0.5), (0.1, 0.3, 0.7, 1), (0, 0.3)
    ):
        ends: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
        drawn = []
        for of in beta(rate, icc, (runs, count)):
            means = np.clip(np.repeat(of, 15), 1e-6, 1 - 1e-6)
            if icc_question:
                means = rng.beta(*(p * (1 / icc_question - 1) for p in (means, 1 - means)))
            hits, sizes = rng.binomial(4, means), np.full(15 * count, 4)
            drawn.append(hits)
            whole = clustered(hits, sizes)
            ends["by question"].append(whole[1:3])
            both = (one.reshape(count, 15).sum(1) for one in (hits, sizes))
            ends["by language"].append(by_language(whole, *both))
        setting = f"{count} languages x 15 x 4, rate {rate}, icc {icc}, of questions {icc_question}"
        for name in found:
            found[name].append(seen(ends[name], rate, setting))
        wide = f"by language {percent(found['by language'][-1].held)}"
        asked = np.repeat(np.arange(count), 15)
        runs_of = (replies(h, 4) | {"languages": asked} for h in drawn)
        note("languages", found["by question"][-1], wide, runs_of)
    told("languages differ, for others like them", found)


def missing(runs: int) -> None:
    found: dict[str, list[Seen]] = {"of scored replies": [], "with missing ones": []}
    for questions, rate, icc, lost in itertools.product(
        (15, 45, 120), (0.1, 0.5, 0.9), (0, 0.3), (0.05, 0.3, 0.6)
    ):
        ends: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
        drawn = []
        for of in beta(rate, icc, (runs, questions)):
            said = rng.binomial(4, of)
            gone = rng.binomial(said, lost)
            at = np.flatnonzero(4 - gone)
            by = ByQuestion(at, (said - gone)[at], (4 - gone)[at])
            if by.estimate is None:
                continue
            asked = Asked(np.arange(questions), gone, np.full(questions, 4))
            drawn.append((said - gone, gone))
            ends["of scored replies"].append(by.estimate[1:3])
            ends["with missing ones"].append(bounds(by, asked))
        setting = f"{questions} questions x 4, rate {rate}, icc {icc}, {lost} of its hits missing"
        for name in found:
            found[name].append(seen(ends[name], rate, setting))
        wide = f"with missing ones {percent(found['with missing ones'][-1].held)}"
        note("missing", found["of scored replies"][-1], wide, (replies(h, 4, g) for h, g in drawn))
    told("missing because of the answer", found)


#: How a host answers: a cache gives the first reply again, or a router changes the model.
HOSTS = {
    "a cache gives half again": 0.5,
    "a cache gives one reply a question": 1.0,
    "a router, random in each round": "rounds",
    "a router, every 100 requests": "clock",
    "a router keeps a question": "questions",
}


def answers(
    how: float | str, backends: tuple[float, float], questions: int, rounds: int
) -> Replies:
    """What a host says: the name or not, and the text, by question and round."""
    shape = questions, rounds
    if isinstance(how, float):
        rio = rng.random(shape) < beta(sum(backends) / 2, 0.3, (questions, 1))
        texts, again = rng.integers(0, 2**60, shape), rng.random(shape) < how
        again[:, 0] = False
        first = (np.where(again, some[:, :1], some) for some in (rio, texts))
        return dict(zip(("rio", "texts"), first, strict=True))
    at = np.arange(questions * rounds).reshape(rounds, questions).T + rng.integers(0, 100)
    of = {
        "rounds": np.tile(rng.integers(0, 2, rounds), (questions, 1)),
        "clock": at // 100 % 2,
        "questions": np.tile(rng.integers(0, 2, (questions, 1)), (1, rounds)),
    }
    return {"rio": rng.random(shape) < np.array(backends)[of[how]]}


def dependent(runs: int) -> None:
    found: dict[str, list[Seen]] = {"by question": []}
    for (host, how), questions, rounds, backends in itertools.product(
        HOSTS.items(), (15, 45), (4, 10), ((0.9, 0.3), (0.15, 0.05))
    ):
        sizes, rate = np.full(questions, rounds), sum(backends) / 2
        about = f"mean of {backends[0]} and {backends[1]}"
        setting = f"{host}, {about}, {questions} questions x {rounds}"
        for many in (runs, AGAIN * runs):
            drawn = [answers(how, backends, questions, rounds) for _ in range(many)]
            ends = [by_question(run["rio"].sum(1), sizes) for run in drawn]
            held = seen(ends, rate, setting)
            if held.held >= LEVEL:
                break
        found["by question"].append(held)
        note("dependent", found["by question"][-1], "", drawn)
    told("repeats depend on each other, for the host as a whole", found)


def errors(runs: int) -> None:
    found: dict[str, list[Seen]] = {"corrected": [], "raw": []}
    for questions, rate, icc, labelled in itertools.product(
        (3, 12, 45), (0.02, 0.3, 0.8, 0.98), (0, 0.3), (30, 150, 1000)
    ):
        sizes = np.full(questions, 4)
        ends: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
        drawn = []
        for of in beta(rate, icc, (runs, questions)):
            hits = rng.binomial(4, of)
            shown = rng.binomial(hits, 0.9) + rng.binomial(4 - hits, 0.04)
            known = (share(rng.binomial(labelled, p), labelled) for p in (0.9, 0.96))
            drawn.append(shown)
            raw = clustered(shown, sizes)
            ends["raw"].append(raw[1:3])
            ends["corrected"].append(corrected(raw, *known)[1:3])
        setting = f"{questions} questions x 4, rate {rate}, icc {icc}, {labelled} labelled"
        for name in found:
            found[name].append(seen(ends[name], rate, setting))
        wide = f"corrected {percent(found['corrected'][-1].held)}"
        note("errors", found["raw"][-1], wide, (replies(h, 4) for h in drawn))
    told("the classifier errs", found)


def two_sides(shift: float, rate: float, icc: float, questions: int) -> tuple[np.ndarray, ...]:
    """Rates of the questions on both sides, that differ by ``shift`` on average.

    The second side's are drawn around ``rate``; the first side's lie above them by another part of
    what is left to 1 at each question, or are those of the second where nothing differs.
    """
    second = beta(rate, icc, (questions,))
    part = beta(shift / (1 - rate), icc, (questions,))
    return second + part * (1 - second), second


def wald(one: np.ndarray, two: np.ndarray, n: int) -> tuple[float, float]:
    """The difference of two rates of ``n`` samples, as textbooks have it."""
    p, q = one.sum() / n, two.sum() / n
    reach = z_of(0.95) * ((p * (1 - p) + q * (1 - q)) / n) ** 0.5
    return p - q - reach, p - q + reach


def beyond(
    runs: int, setting: tuple[int, int, float, float, float], copies: bool
) -> dict[str, list[tuple[float, float]]]:
    """Intervals of differences less the true one, by method."""
    questions, repeats, rate, shift, icc = setting
    numbers, sizes = np.arange(questions), np.full(questions, repeats)
    ways = {"whole sides permuted": "questions"} if copies else {}
    ends: dict[str, list[tuple[float, float]]] = {}
    for _ in range(runs):
        first, second = two_sides(shift, rate, icc, questions)
        one, two = (
            repeats * rng.binomial(1, p) if copies else rng.binomial(repeats, p)
            for p in (first, second)
        )
        true = shift if copies else float((first - second).mean())
        a, b = (ByQuestion(numbers, hits, sizes) for hits in (one, two))
        for name, way in {**ways, "replies permuted": "replies"}.items():
            found = difference(a, b, way)
            ends.setdefault(name, []).append((found.low - true, found.high - true))
        low, high = wald(one, two, questions * repeats)
        ends.setdefault("Wald, all samples", []).append((low - true, high - true))
    return ends


def differences(runs: int) -> None:
    """Where replies are permuted the truth is that of the very questions; else the mean's."""
    for copies in (False, True):
        found: dict[str, list[Seen]] = {}
        for at in itertools.product(
            (12, 45, 120), (2, 4, 10), (0.02, 0.3), (0, 0.1, 0.3, 0.6), (0, 0.3)
        ):
            questions, repeats, rate, shift, icc = at
            setting = f"difference {shift}, rate {rate}, icc {icc}, {questions} x {repeats}"
            for name, ends in beyond(runs, at, copies).items():
                found.setdefault(name, []).append(seen(ends, 0.0, setting))
            ours = next(iter(found))
            if found[ours][-1].held < LEVEL:
                found[ours][-1] = seen(beyond(AGAIN * runs, at, copies)[ours], 0.0, setting)
            note(f"differences{', copies' if copies else ''}", found[ours][-1], "", ())
        told(f"differences{' where repeats are copies' if copies else ''}", found)


KINDS = {f.__name__: f for f in (alike, heavy, languages, missing, dependent, errors, differences)}


def main(arguments: list[str]) -> None:
    runs = int(arguments[0]) if arguments else 400
    error = 1.96 * (0.0475 / runs) ** 0.5
    print(
        f"{runs} runs a setting (a coverage of 95 % is seen as "
        f"{100 * (0.95 - error):.1f} to {100 * (0.95 + error):.1f} %)"
    )
    for kind in arguments[1:] or KINDS:
        KINDS[kind](runs)
    table_of_all()


if __name__ == "__main__":
    main(sys.argv[1:])
