"""False alarms and delays of an audit's judgement, by simulation.

Lives without any change, with every witness on: names, refusals, lengths, latency (that wanders by
a half from audit to audit), failures (2 %), facts; and with the names alone: all questions scored,
a third missing at random from some audit on, two of three languages cut by a budget from some audit
on, and rates that wander. How many are ever alarmed, at alpha = 0.01? Then routers between two
models or two fingerprints: how many events? And changes: how many audits until the alarm, with all
questions and with a third missing, and soon after a baseline, with and without a fact that changes
in the same audit? Each audit asks 15 questions 3 times; questions differ in their rates, and those
of one language more.

`python benchmarks/drift.py [LIVES] [LOOKS] [WORDS]`: with words, only the lives whose name holds
them; with `soon`, only drops soon after a baseline.
"""

from __future__ import annotations

import datetime
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from scipy import optimize, special

from harness.audits.config import Audit
from harness.audits.events import Event
from harness.audits.seen import LENGTHS, SLOWER, TICK_S, ArmSeen, Asked, Entry, Seen
from harness.audits.watching import judge

LIVES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
LOOKS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
WORDS = " ".join(sys.argv[3:])
QUESTIONS, REPEATS, QUIET = 15, 3, 20
rng = np.random.default_rng(20261127)
BEGUN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
Hits = list[int | None]


def audit(**alarm: object) -> Audit:
    return Audit.model_validate(
        {"audit": "a", "campaign": "c", "schedule": {"cron": "0 * * * *"}, "alarm": alarm}
    )


def questions(rate: float, icc: float = 0.3) -> np.ndarray:
    """Rates of the questions; those of each third, a language, are shifted alike."""
    if rate in (0, 1):
        return np.full(QUESTIONS, rate)
    rates = rng.beta(rate * (1 - icc) / icc, (1 - rate) * (1 - icc) / icc, QUESTIONS)
    languages = np.repeat(rng.normal(0, 1, 3), QUESTIONS // 3)
    return moved(special.expit(special.logit(np.clip(rates, 1e-6, 1 - 1e-6)) + languages), rate)


def moved(rates: np.ndarray, to: float) -> np.ndarray:
    """The same questions at another mean rate: all odds by one factor."""
    odds = special.logit(np.clip(rates, 1e-6, 1 - 1e-6))
    return special.expit(
        odds + optimize.brentq(lambda d: special.expit(odds + d).mean() - to, -40, 40)
    )


def asked(rates: np.ndarray, scored: np.ndarray | None = None) -> Hits:
    """Hits of each question, None where it went unscored."""
    hits = rng.binomial(REPEATS, rates).tolist()
    there = [True] * QUESTIONS if scored is None else scored.tolist()
    return [h if is_there else None for h, is_there in zip(hits, there, strict=True)]


def entry(number: int, hits: Hits, fact: str = "f") -> Entry:
    counts = {
        f"q{i}": Asked(REPEATS, {"nex": h} if h else {})  # lengths are left out, for speed
        for i, h in enumerate(hits)
        if h is not None
    }
    samples = REPEATS * len(counts)
    arm = ArmSeen(samples, {"nex": sum(h or 0 for h in hits)}, 0, samples, questions=counts)
    seen = {"t": Seen({"absent": arm}, {"fingerprint": [fact]}, 0, "nex")}
    due = (BEGUN + datetime.timedelta(hours=number)).isoformat()
    return Entry(due, f"r{number}", None, seen if samples else {}, number=number)


def events(wanted: Audit, history: list[Hits], facts: str = "f") -> list[Event]:
    entries = [entry(n, h, facts[n % len(facts)]) for n, h in enumerate(history)]
    return judge(wanted, entries)


def third() -> np.ndarray:
    return rng.random(QUESTIONS) >= 1 / 3


def one_language() -> np.ndarray:
    return np.arange(QUESTIONS) < QUESTIONS // 3


def life(scored: Callable[[], np.ndarray] | None, rate: float) -> list[Hits]:
    """Audits without a change; from some audit on not all questions are scored."""
    rates, begins = questions(rate), int(rng.integers(0, LOOKS // 2))
    return [
        asked(rates, scored() if scored and look >= begins else None) for look in range(LOOKS + 1)
    ]


EVERY = [
    *("rates", "refusals", "lengths", "latency", "model", "template", "prompt_tokens"),
    *("fingerprint", "provider", "silence", "failures", "gaps", "budget"),
]


def whole(number: int, rates: np.ndarray, refuses: np.ndarray) -> Entry:
    """An audit with all that can be seen, of a target that stays as it is."""
    slow = rng.uniform(1, 1.5)  # the host's mood in this audit
    arm = ArmSeen(asked=QUESTIONS * REPEATS)
    for i, (rate, refusal) in enumerate(zip(rates, refuses, strict=True)):
        came = int(rng.binomial(REPEATS, 0.98))
        arm.failed += REPEATS - came
        long = rng.lognormal(5 + i / 10, 0.6, came)
        took = slow * rng.lognormal(0.3, 0.5, came)
        named = int(rng.binomial(came, rate))
        one = Asked(came, {"nex": named} if named else {}, int(rng.binomial(came, refusal)), came)
        one.longer = {str(k): int((long > 2**k).sum()) for k in LENGTHS}
        one.timed, one.slower = came, {str(k): int((took > TICK_S * 2**k).sum()) for k in SLOWER}
        arm.questions[f"q{i}"] = one
        arm.prompt_tokens[f"q{i}"] = 20 + i
        arm.samples += came
        arm.replies += came
        arm.names["nex"] = arm.names.get("nex", 0) + named
    facts = {"model": ["m"], "fingerprint": ["f"], "template": ["t"], "provider": ["p"]}
    at = f"2026-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z"
    return Entry(at, f"r{number}", None, {"t": Seen({"absent": arm}, facts, arm.failed, "nex")})


def quiet(rate: float) -> list[Event]:
    """The events of a life without a change, every witness on but the schedule's."""
    rates, refuses = questions(rate), questions(0.1)
    history = [whole(n, rates, refuses) for n in range(LOOKS + 1)]
    return judge(audit(watch=[one for one in EVERY if one != "gaps"]), history)


def wandering(low: float, high: float) -> list[Hits]:
    """Every audit has a mean rate of its own in a band."""
    rates = questions((low + high) / 2)
    return [asked(moved(rates, rng.uniform(low, high))) for _ in range(LOOKS + 1)]


def switching(*means: float) -> list[Hits]:
    """Audits that meet one of two models in turn."""
    rates = questions(means[0])
    both = [moved(rates, mean) for mean in means]
    return [asked(both[look % 2]) for look in range(LOOKS + 1)]


def lives() -> Iterator[tuple[str, Audit, Callable[[], list[Hits]]]]:
    plain, band = audit(), audit(wander=[0.8, 0.97])
    for rate in (0.05, 0.5, 0.95):
        yield f"rate {rate}, all scored", plain, lambda rate=rate: life(None, rate)
        yield f"rate {rate}, a third missing", plain, lambda rate=rate: life(third, rate)
        yield f"rate {rate}, languages cut", plain, lambda rate=rate: life(one_language, rate)
    yield "wandering in 0.85 to 0.95", plain, lambda: wandering(0.85, 0.95)
    yield "the same, wander: [0.8, 0.97]", band, lambda: wandering(0.85, 0.95)


def routers() -> Iterator[tuple[str, Audit, Callable[[], list[Hits]], str]]:
    steady = lambda: life(None, 0.95)  # noqa: E731
    yield "rates 0.9 and 0.3 in turn", audit(), lambda: switching(0.9, 0.3), "f"
    yield "with wander: [0.25, 0.93]", audit(wander=[0.25, 0.93]), lambda: switching(0.9, 0.3), "f"
    yield "two fingerprints in turn", audit(watch=["rates", "fingerprint"]), steady, "ab"
    yield "both in turn", audit(watch=["rates", "fingerprint"]), lambda: switching(0.9, 0.3), "ab"


def delay_of(before: float, after: float | str, missing: bool, wanted: Audit) -> int:
    """Audits from a change until the alarm, 60 at most; 0 is an alarm before there was one."""
    old = questions(before)
    new = 0.8 * old if isinstance(after, str) else moved(old, after)
    history = [asked(old, third() if missing and n else None) for n in range(QUIET + 1)]
    for delay in range(1, 61):
        history.append(asked(new, third() if missing else None))
        if delay in (1, 2, 3, 5, 10, 20, 40, 60) and (found := events(wanted, history)):
            due = datetime.datetime.fromisoformat(found[0].due)
            return max(0, round((due - BEGUN) / datetime.timedelta(hours=1)) - QUIET)
    return 60


def power(after: float, since: int, fact: bool, lives: int) -> list[int]:
    """Audits from a drop until it is told, in each of some lives; 61 where it is not in 60.

    The drop begins some audits after the baseline; with ``fact`` the fingerprint changes with it.
    """
    wanted = audit(watch=["rates", "fingerprint"])
    delays = []
    for _ in range(lives):
        old = questions(0.95)
        new = moved(old, after)
        history = [entry(n, asked(old)) for n in range(since)]
        history += [entry(n, asked(new), "g" if fact else "f") for n in range(since, since + 60)]
        told = [int(e.due) for e in judge(wanted, history) if e.witness == "rates"]
        delays.append(next((due - since + 1 for due in told if due >= since), 61))
    return delays


if WORDS != "soon":
    print(f"lives of {LOOKS} looks without a change, alpha 0.01: alarmed of {LIVES}", flush=True)
    for rate in (0.5, 0.95):
        name = f"rate {rate}, every witness on"
        if WORDS in name:
            rang = [quiet(rate) for _ in range(LIVES)]
            by = Counter(event.witness for told in rang for event in told)
            said = ", ".join(f"{witness} {n}" for witness, n in sorted(by.items()))
            print(f"  {name:34}{sum(map(bool, rang)):>6}   {said}", flush=True)
    for name, wanted, made in lives():
        if WORDS not in name:
            continue
        rang = [events(wanted, made()) for _ in range(LIVES)]
        most = max(map(len, rang))
        print(f"  {name:34}{sum(map(bool, rang)):>6}   most events in one {most:>3}", flush=True)
    if WORDS:
        sys.exit()

few = max(1, LIVES // 10)
if WORDS != "soon":
    print(f"\nrouters over {LOOKS} audits, {few} of each: events in one")
    for name, wanted, made, facts in routers():
        numbers = Counter(len(events(wanted, made(), facts)) for _ in range(few))
        said = ", ".join(f"{n} in {times}" for n, times in sorted(numbers.items()))
        print(f"  {name:34}{said}", flush=True)

    print(f"\nchanges after {QUIET} quiet audits, {few} of each: found in so many audits")
    print(f"{'before':>8}{'after':>8}{'missing':>9}{'in 1':>8}{'in 2':>8}{'in 5':>8}{'in 20':>8}")
    for before, after in ((0.95, 0.05), (0.95, 0.7), (0.95, 0.85), (0.95, "a fifth"), (0.05, 0.2)):
        for missing in (False, True):
            found = np.array([delay_of(before, after, missing, audit()) for _ in range(few)])
            print(
                f"{before:>8}{after:>8}{'a third' if missing else 'none':>9}"
                + "".join(f"{((found > 0) & (found <= n)).mean():>8.0%}" for n in (1, 2, 5, 20)),
                flush=True,
            )
    print("a fifth: of the traffic is swapped for a model that never gives the name")

print(f"\na rate of 0.95 that falls soon after a baseline, {few} of each: found in so many audits")
print(f"{'to':>8}{'audits before':>15}{'a fact too':>12}", end="")
print(f"{'in 1':>8}{'in 7':>8}{'in 30':>8}{'in 60':>8}")
for after in (0.7, 0.85):
    for since in (1, 3, 10):
        for fact in (False, True):
            found = np.array(power(after, since, fact, few))
            print(
                f"{after:>8}{since:>15}{'yes' if fact else 'no':>12}"
                + "".join(f"{(found <= n).mean():>8.0%}" for n in (1, 7, 30, 60)),
                flush=True,
            )
