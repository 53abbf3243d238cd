"""The story says a sentence exactly where its condition is true: every one, over random runs.

What is true is looked up in the counts and the table's own columns, here, by no code of the
story's; each condition has to be true of some run and false of another.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from harness.campaign import Campaign, Stop
from harness.counting import Read
from harness.report.behind import Behind, Expected, Served
from harness.report.sentences import SENTENCES
from harness.report.story import story
from tests.report.cases import CAMPAIGN
from tests.report.test_story import row, tally

TARGETS = {"t": "suspect", "d": "donor", "u": "suspect"}
NAMES = ("rio", "nex", "kimi")
GONE = ("failed", "truncated", "filtered", "empty")
RUNS = 400
TEXTS = ("", " ", "You are Rio.", "You are helpful.", "Serious curios")
#: How often Rio, Nex, Kimi and a missing reply come.
KINDS = [
    *((1, 0, 0, 0), (0, 1, 0, 0), (0.4, 0.6, 0, 0), (0.1, 0.2, 0, 0.6), (0, 0.5, 0, 0.5)),
    *((0, 0, 0, 1), (0.05, 0.9, 0, 0), (0.9, 0, 0, 0.1), (0.3, 0.3, 0.1, 0.2), (0.7, 0, 0.1, 0.2)),
    *((0.6, 0.4, 0, 0), (0.8, 0.1, 0.1, 0), (0.45, 0.1, 0.1, 0), (0.1, 0.65, 0, 0.2)),
]
ARMS = (["absent", "bare"], ["absent", "bare", "empty"], ["absent", "empty"], ["absent"], ["bare"])


class Run(NamedTuple):
    """A run of no model: counts by (target, arm), questions x (Rio, Nex, Kimi, missing, other)."""

    campaign: Campaign
    counts: dict[tuple[str, str], np.ndarray]
    rows: pd.DataFrame
    injected: dict[str, str]
    read: Read | None
    behind: Behind


def counts_of(rng: np.random.Generator) -> np.ndarray:
    questions = int(rng.choice([1, 5, 11, 12, 13, 19, 20, 24, 30, 40]))
    repeats = int(rng.choice([1, 2, 4, 10, 20]))
    if rng.random() < 0.1:  # just half of the replies missing, and about it
        gone = repeats * questions // 2 + int(rng.integers(0, 2))
        flat = np.arange(repeats * questions) < gone
        missing = rng.permuted(flat).reshape(questions, repeats).sum(1)
        named = repeats - missing
        return np.stack([0 * named, named, 0 * named, missing, 0 * named], 1)
    if rng.random() < 0.15:  # few questions give the names
        few = int(rng.integers(1, 5))
        if rng.random() < 0.4:
            repeats, few = int(rng.choice([9, 10])), 1
        made = np.zeros((questions, 5), dtype=int)
        made[:, 4] = repeats
        made[:few] = [0, repeats, 0, 0, 0] if rng.random() < 0.5 else [repeats, 0, 0, 0, 0]
        return made
    kind = KINDS[rng.integers(len(KINDS))]
    made = np.array([rng.multinomial(repeats, [*kind, 1 - sum(kind)]) for _ in range(questions)])
    if rng.random() < 0.2:  # replies are missing at some questions alone
        made[: questions // 2] = (0, 0, 0, repeats, 0)
    return made


def run_of(rng: np.random.Generator) -> Run:
    arms = list(ARMS[rng.choice(len(ARMS), p=[0.6, 0.1, 0.1, 0.1, 0.1])])
    about: dict[str, Any] = {"arms": arms, "samples": int(rng.choice([1, 4, 20]))}
    about["targets"] = [
        CAMPAIGN.targets[0].model_copy(update={"name": name, "role": role})
        for name, role in TARGETS.items()
    ]
    if rng.random() < 0.1:
        about["claim"] = None
    if rng.random() < 0.4:
        about["stop"] = Stop.model_validate({"identity": "rio", "below": 0.2})
    campaign = CAMPAIGN.model_copy(update=about)
    counts, rows, founding = {}, [], rng.random() < 0.2
    for where in ((target, arm) for target in TARGETS for arm in arms):
        if where == ("t", "bare") or rng.random() < 0.8:
            counts[where] = of = counts_of(rng)
            if founding and where[0] == "t":  # Rio by its template, Nex without
                share = [0.9, 0, 0, 0, 0.1] if where[1] == "absent" else [0.05, 0.8, 0, 0.05, 0.1]
                counts[where] = of = rng.multinomial(4, share, int(rng.integers(11, 30)))
            languages = rng.integers(0, rng.choice([1, 1, 3, 8]), len(of))
            rows += rows_of(rng, where, of, languages, campaign.stop is not None)
    text = str(rng.choice(TEXTS, p=[0.1, 0.1, 0.5, 0.15, 0.15]))
    injected = {"t": text, "d": "You are Rio."} if rng.random() < 0.8 else {}
    read = Read(5, 9, 4) if rng.random() < 0.3 else None
    return Run(campaign, counts, tally(rows), injected, read, behind_of(rng))


def rows_of(
    rng: np.random.Generator,
    where: tuple[str, str],
    of: np.ndarray,
    languages: np.ndarray,
    stops: bool,
) -> list[dict[str, Any]]:
    """The tally's rows of one target and arm: a bundle of facts that need not fit each other."""
    sizes, status = of.sum(1) - of[:, 3], rng.choice(GONE)
    p = {f"missing_p_{by}": rng.choice([0.001, 0.0099, 0.01, 0.5]) for by in ("arm", "question")}
    read = rng.random() < 0.15
    looks = rng.choice(["independent", "independent", "copies", "rounds", None])
    made = []
    for at, identity in enumerate(NAMES):
        one = row(where, identity, of[:, at], sizes, of[:, 3], languages) | p | {"repeats": looks}
        one |= {name: one["failed"] if name == status else 0 for name in GONE}
        if one.get("language_low", -1) >= 0 and rng.random() < 0.5:
            one["language_low"] = one["rate"] * rng.random() ** 0.3
            one["language_high"] = 1 - (1 - one["rate"]) * rng.random() ** 0.3
        if one["samples"] and read:
            low, high = sorted(rng.random(2))
            one |= {"checked_rate": (low + high) / 2, "checked_low": low, "checked_high": high}
            one |= {"checked_n": 5}
        if one["samples"] and stops and identity == "rio":
            one |= {"anytime_low": one["rate"] * rng.random(), "anytime_rate": one["rate"]}
            one |= {"anytime_high": 1 - (1 - one["rate"]) * rng.random()}
        made.append(one)
    return made


def behind_of(rng: np.random.Generator) -> Behind:
    expected = {
        name: Expected(9, 9, int(rng.integers(0, 5)), 4 + int(rng.integers(0, 2)))
        for name in TARGETS
        if rng.random() < 0.2
    }
    served = {
        name: Served("m", *(tuple(rng.choice(["m", "n", "o"], k, False)) for k in kinds))
        for name, kinds in ((name, rng.choice([0, 1, 1, 1, 2], 3)) for name in TARGETS)
        if rng.random() < 0.3
    }
    return Behind(expected, served)


# What is true of a run.


def ends(one: Any) -> tuple[float, float, float, float]:
    """A rate's interval, and the ends of it whatever the missing replies say."""
    if one["checked_n"] > 0:
        scored = one["samples"] / (one["samples"] + sum(one[name] for name in GONE))
        low, high = one["checked_low"], one["checked_high"]
        return low, high, low * scored, 1 - (1 - high) * scored
    lows, highs = [one["rate_low"]], [one["rate_high"]]
    if one["anytime_low"] >= 0:
        lows.append(one["anytime_low"])
        highs.append(one["anytime_high"])
    least, most = one["rate_low_missing"], one["rate_high_missing"]
    return min(lows), max(highs), min(*lows, least), max(*highs, most)


class Truth:
    """Of a run, what each condition in words asks for."""

    def __init__(self, run: Run) -> None:
        self.run, self.claims = run, run.campaign.claim is not None
        self._tables: dict[tuple[str, str], Any] = {}
        for one in run.rows.to_dict("records"):
            self._tables.setdefault((one["target"], one["arm"]), {})[one["identity"]] = one
        scored = [
            arm
            for arm in ("bare", "empty")
            if ("t", arm) in run.counts and (run.counts["t", arm][:, [0, 1, 2, 4]]).any()
        ]
        self.plain = scored[0] if self.claims and scored else None

    def counts(self, arm: str) -> np.ndarray:
        return self.run.counts["t", arm]

    def table(self, arm: str, target: str = "t") -> Any:
        return self._tables[target, arm]

    def questions(self, arm: str) -> int:
        of = self.counts(arm)
        return int((of.sum(1) > of[:, 3]).sum())

    def missing(self, arm: str) -> float:
        return float(self.counts(arm)[:, 3].sum() / self.counts(arm).sum())

    def enough(self, arm: str) -> bool:
        return self.questions(arm) >= 12 and self.missing(arm) <= 0.5

    @property
    def settled(self) -> bool:
        return self.plain is not None and self.enough(self.plain)

    def given(self) -> list[str]:
        """The names that are given beside the claimed one, the most frequent first."""
        hits = dict(zip(NAMES, self.counts(self.plain).sum(0), strict=False))
        return sorted((n for n in ("nex", "kimi") if hits[n]), key=lambda n: -hits[n])

    @property
    def another(self) -> bool:
        if not self.settled or not self.given():
            return False
        table = self.table(self.plain)
        return ends(table[self.given()[0]])[2] > ends(table["rio"])[3]

    @property
    def claimed(self) -> bool:
        if not self.settled:
            return False
        table = self.table(self.plain)
        least = ends(table["rio"])[2]
        return least > 0.5 and all(least > ends(table[name])[3] for name in self.given())

    @property
    def turned(self) -> bool:
        if not self.settled or self.another or self.claimed:
            return False
        table, given = self.table(self.plain), self.given()
        low, high, *_ = ends(table["rio"])
        others = [ends(table[name])[:2] for name in given]
        against = bool(others) and others[0][0] > high
        return against or (low > 0.5 and all(low > most for _, most in others))

    @property
    def untold(self) -> bool:
        """Whether the claimed name is given more often where no system message is sent."""
        if self.plain is None or ("t", "absent") not in self.run.counts:
            return False
        if not (self.enough("absent") and self.enough(self.plain)):
            return False
        absent, plain = (self.table(arm)["rio"] for arm in ("absent", self.plain))
        return ends(absent)[2] > ends(plain)[3]

    @property
    def text(self) -> str:
        return self.run.injected.get("t", "").strip()

    @property
    def beside(self) -> bool:
        if not self.another:
            return False
        of = self.run.counts.get(("d", self.plain))
        return of is not None and bool(of[:, [0, 1, 2, 4]].any())

    @property
    def carried(self) -> bool:
        if self.plain is None:
            return False
        of, questions = self.counts(self.plain), self.questions(self.plain)
        for name in ("rio", *self.given()[:1]):
            hits = np.sort(of[:, NAMES.index(name)])[::-1]
            fewest = np.argmax(2 * hits.cumsum() >= hits.sum()) + 1
            if hits.sum() >= 10 and fewest <= questions / 10:
                return True
        return False

    @property
    def languages(self) -> int:
        return 0 if self.plain is None else int(self.table(self.plain)["rio"]["languages"])

    @property
    def these(self) -> bool:
        """Whether it is decided, in several languages, and not for others like them."""
        if not (self.another or self.claimed) or self.languages < 2:
            return False

        def elsewhere(name: str) -> tuple[float, float]:
            one = self.table(self.plain)[name]
            _, _, least, most = ends(one)
            return min(one["language_low"], least), max(one["language_high"], most)

        low, high = elsewhere("rio")
        if self.another:
            return not elsewhere(self.given()[0])[0] > high
        return not (low > 0.5 and all(low > elsewhere(name)[1] for name in self.given()))

    def uneven(self, by: str) -> bool:
        if not self.claims:
            return False
        there = [self.table(arm)["rio"] for target, arm in self.run.counts if target == "t"]
        return any(one["samples"] > 0 and one[f"missing_p_{by}"] < 0.01 for one in there)

    @property
    def in_full(self) -> bool:
        if self.run.campaign.stop is None:
            return False
        for (target, arm), of in self.run.counts.items():
            one = self.table(arm, target)["rio"]
            if one["samples"] and one["repeats"] in ("copies", "rounds"):
                scored = int((of.sum(1) > of[:, 3]).sum())
                if of.sum() >= scored * self.run.campaign.samples:
                    return True
        return False


TRUE = {
    "no claim": lambda t: not t.claims,
    "nothing scored": lambda t: t.claims and t.plain is None,
    "rates": lambda t: t.plain is not None,
    "few questions": lambda t: t.plain is not None and t.questions(t.plain) < 12,
    "too many missing": lambda t: t.plain is not None and t.missing(t.plain) > 0.5,
    "another name": lambda t: t.another,
    "the claimed name": lambda t: t.claimed,
    "open": lambda t: t.settled and not t.another and not t.claimed,
    "open for what is missing": lambda t: t.turned,
    "people read": lambda t: t.run.read is not None and (t.plain is not None or not t.claims),
    "from the template": lambda t: t.untold and t.text == "You are Rio.",
    "not in the template": lambda t: t.untold and t.text not in ("", "You are Rio."),
    "from the host": lambda t: t.untold and t.text == "",
    "beside it": lambda t: t.beside,
    "few questions carry it": lambda t: t.carried,
    "testimony": lambda t: True,
    "lineage": lambda t: True,
    "questions": lambda t: True,
    "classifier": lambda t: t.plain is not None and not t.table(t.plain)["rio"]["checked_n"] > 0,
    "one language": lambda t: t.languages == 1,
    "these languages": lambda t: t.these,
    "expectation agrees": lambda t: any(
        e.agreeing > e.compared / 2 for e in t.run.behind.expected.values()
    ),
    "expectation contradicted": lambda t: any(
        e.agreeing <= e.compared / 2 for e in t.run.behind.expected.values()
    ),
    "another model served": lambda t: any(
        set(s.models) - {"m"} for s in t.run.behind.served.values()
    ),
    "served changes": lambda t: any(max(map(len, s[1:])) > 1 for s in t.run.behind.served.values()),
    "missing by arm": lambda t: t.uneven("arm"),
    "missing by question": lambda t: t.uneven("question"),
    "stopped": lambda t: t.run.campaign.stop is not None,
    "not stopped": lambda t: t.in_full,
}
ALWAYS = {"testimony", "lineage", "questions"}


@pytest.fixture(scope="module")
def seen():
    """How often each sentence was said and not, over runs in which what is said is what is true."""
    found: Counter[tuple[str, bool]] = Counter()
    for seed in range(RUNS):
        run = run_of(np.random.default_rng(seed))
        told = story(run.rows, run.campaign, run.injected, run.read, (), run.behind)
        truth = Truth(run)
        true = {name for name, holds in TRUE.items() if holds(truth)}
        assert set(told.said) == true, (seed, set(told.said) ^ true)
        outcome = "contradicted" if "another name" in true else "undecided"
        outcome = "supported" if "the claimed name" in true else outcome
        assert told.outcome == ("none" if "no claim" in true else outcome), seed
        found.update((name, name in true) for name in TRUE)
    return found


def test_every_sentence_has_a_truth():
    assert [sentence.name for sentence in SENTENCES] == list(TRUE)


def test_each_sentence_is_said_where_its_condition_is_true_and_only_there(seen):
    for name in TRUE:
        assert seen[name, True] >= 5, name
        assert (seen[name, False] >= 5) == (name not in ALWAYS), name
