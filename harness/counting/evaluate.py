"""How right the classifier is on labelled replies, with intervals.

And the confusion rates that correct a tally. A label is one JSON object a line: ``id, lang, reply,
stance, names, makers, base, denied``, and where they apply ``hedged`` and ``trap``. An unlisted
name is ``other`` or ``other:<name>``; a base-only id of the book counts as its family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from harness.campaign import load_book
from harness.console import percent
from harness.counting.confusion import Confusion, Errors, key_of
from harness.counting.counted import STANCES
from harness.counting.lengths import band, named
from harness.encodings import text_of
from harness.errors import ScoreError
from harness.scoring import Verdict, finder, normalize, verdicts
from harness.stats import wilson
from harness.targets import split_reasoning

PARTS: Final = ("names", "makers", "base", "denied")
BINS: Final = 10
K = TypeVar("K", str, int)
#: What a label and a verdict name.
Sets = tuple[frozenset[str], frozenset[str]]


class Label(msgspec.Struct, forbid_unknown_fields=False):
    """What a person says of one reply."""

    id: str
    lang: str
    reply: str
    stance: str
    names: list[str] = []
    makers: list[str] = []
    base: list[str] = []
    denied: list[str] = []
    hedged: bool = False
    trap: str = "plain"
    #: Left out of all figures: careful people differ on it.
    ambiguous: bool = False


class Judged(NamedTuple):
    label: Label
    verdict: Verdict


class Rate(NamedTuple):
    """Hits of so many, with the 95 % Wilson interval."""

    hits: int
    of: int

    def __str__(self) -> str:
        return percent(self.hits / self.of, *wilson(self.hits, self.of)) if self.of else "NA"


class Score(NamedTuple):
    """Precision, recall and F1 of a set of decisions."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> Rate:
        return Rate(self.right, self.right + self.wrong)

    @property
    def recall(self) -> Rate:
        return Rate(self.right, self.right + self.missed)

    @property
    def f1(self) -> float | None:
        whole = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / whole if whole else None


class Shares(NamedTuple):
    """Replies in which each part is right as a whole."""

    stance: Rate
    names: Rate
    makers: Rate
    base: Rate
    denied: Rate
    #: Replies in which a name is claimed that the label does not have.
    false_names: Rate
    #: Stance, names and makers.
    all_three: Rate


class Found(NamedTuple):
    """Everything that was measured."""

    source: str
    judged: list[Judged]
    stances: dict[str, Score]
    #: Replies by (label, verdict).
    confusion: dict[tuple[str, str], int]
    parts: dict[str, Score]
    #: Whole set right.
    exact: dict[str, Rate]
    hedged: Score
    #: Names that the book does not list, a reply's together, and replies with a false one.
    unlisted: Score
    false_unlisted: Rate
    traps: dict[str, Rate]
    languages: dict[str, Shares]
    #: By words of the reply; `LENGTHS` has the first and the last.
    lengths: dict[str, Shares]
    #: Labels that were left out.
    ambiguous: int
    brier: float | None
    #: Mean probability, claims that hold, claims.
    reliability: list[tuple[float, int, int]]


def read(path: Path) -> list[Label]:
    """The labels of a file.

    Raises
    ------
    ScoreError
        A line is no label: which, and why.
    """
    try:
        lines = text_of(path, ScoreError).split("\n")
    except OSError as problem:
        raise ScoreError(
            f"the labels cannot be read: {problem.strerror}", where=str(path), next="check the path"
        ) from None
    labels = [
        _label(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not labels:
        raise ScoreError(
            "the file holds no labels",
            where=str(path),
            next="one JSON object a line, keys in docs/classifier.md",
        )
    return labels


def _label(line: str, where: str) -> Label:
    try:
        label = msgspec.json.decode(line, type=Label)
    except msgspec.DecodeError as problem:
        raise ScoreError(
            f"this is no label: {problem}",
            where=where,
            next="see the keys in docs/classifier.md",
        ) from None
    if label.stance not in STANCES:
        raise ScoreError(
            f"'{label.stance}' is no stance",
            where=where,
            next=f"one of: {', '.join(STANCES)}",
        )
    return label


def canonical(identity: str, kind: str) -> str:
    """One id for what is the same.

    Base-only ids are their family, unlisted names that the book lists by now are listed. A bare
    ``other`` says only that the name is unlisted, so every unlisted name becomes ``other``.
    """
    families = load_book().families
    if identity in families and families[identity].same_as:
        return str(families[identity].same_as)
    if identity.startswith("other:"):
        listed = next((m for m in finder().find(normalize(identity.removeprefix("other:")))), None)
        known = listed and (listed.maker if kind == "makers" else listed.family)
        return known or "other"
    return identity


def evaluate(path: Path) -> Found:
    """Measure the classifier on every label of a file."""
    every = read(path)
    labels = [label for label in every if not label.ambiguous]
    found = verdicts(split_reasoning(label.reply)[1] for label in labels)
    judged = [Judged(*both) for both in zip(labels, found, strict=True)]
    pairs = [(j.label.stance, j.verdict.stance) for j in judged]
    sets = {part: _both(judged, part) for part in PARTS}
    hedges = [(_one("hedged", j.label.hedged), _one("hedged", j.verdict.hedged)) for j in judged]
    others = [(a & {"other"}, b & {"other"}) for a, b in sets["names"]]
    said = [(_one(a, True), _one(b, True)) for a, b in pairs]
    claims = _claims(judged)
    return Found(
        source=path.name,
        judged=judged,
        stances={s: _score([(a & {s}, b & {s}) for a, b in said]) for s in STANCES},
        confusion={(a, b): pairs.count((a, b)) for a in STANCES for b in STANCES},
        parts={part: _score(both) for part, both in sets.items()},
        exact={"stance": _exact(said)} | {part: _exact(both) for part, both in sets.items()},
        hedged=_score(hedges),
        unlisted=_score(others),
        false_unlisted=Rate(sum(bool(said - wanted) for wanted, said in others), len(others)),
        traps=_by(judged, lambda j: j.label.trap),
        languages=_shares(judged, lambda j: j.label.lang),
        lengths=_lengths(judged),
        ambiguous=len(every) - len(labels),
        brier=sum((p - held) ** 2 for p, held in claims) / len(claims) if claims else None,
        reliability=_bins(claims),
    )


def _one(name: str, there: bool) -> frozenset[str]:
    return frozenset((name,)) if there else frozenset()


def _both(judged: Sequence[Judged], part: str) -> list[Sets]:
    """What label and verdict say of one part of each reply."""
    return [
        (_ids(getattr(j.label, part), part), _ids(getattr(j.verdict, part), part)) for j in judged
    ]


def _score(both: Sequence[Sets]) -> Score:
    return Score(
        sum(len(a & b) for a, b in both),
        sum(len(b - a) for a, b in both),
        sum(len(a - b) for a, b in both),
    )


def _exact(both: Sequence[Sets]) -> Rate:
    return Rate(sum(a == b for a, b in both), len(both))


def _ids(identities: Iterable[str], kind: str) -> frozenset[str]:
    return frozenset(canonical(i, kind) for i in identities)


def right(j: Judged) -> bool:
    """Stance, names and makers all as labelled."""
    return j.label.stance == j.verdict.stance and all(
        _ids(getattr(j.label, part), part) == _ids(getattr(j.verdict, part), part)
        for part in ("names", "makers")
    )


def _grouped(judged: Sequence[Judged], key: Callable[[Judged], K]) -> dict[K, list[Judged]]:
    """The replies by a key, in its order."""
    groups: dict[K, list[Judged]] = {}
    for j in judged:
        groups.setdefault(key(j), []).append(j)
    return {name: groups[name] for name in sorted(groups)}


def _by(judged: Sequence[Judged], key: Callable[[Judged], str]) -> dict[str, Rate]:
    groups = _grouped(judged, key)
    return {name: Rate(sum(map(right, some)), len(some)) for name, some in groups.items()}


def _shares(judged: Sequence[Judged], key: Callable[[Judged], str]) -> dict[str, Shares]:
    return {name: _shares_of(some) for name, some in _grouped(judged, key).items()}


def _lengths(judged: Sequence[Judged]) -> dict[str, Shares]:
    groups = _grouped(judged, lambda j: band(j.label.reply))
    return {named(at): _shares_of(some) for at, some in groups.items()}


def _shares_of(judged: Sequence[Judged]) -> Shares:
    sets = {part: _both(judged, part) for part in PARTS}
    stances = sum(j.label.stance == j.verdict.stance for j in judged)
    false = sum(bool(said - wanted) for wanted, said in sets["names"])
    return Shares(
        Rate(stances, len(judged)),
        _exact(sets["names"]),
        _exact(sets["makers"]),
        _exact(sets["base"]),
        _exact(sets["denied"]),
        Rate(false, len(judged)),
        Rate(sum(map(right, judged)), len(judged)),
    )


def _claims(judged: Sequence[Judged]) -> list[tuple[float, bool]]:
    """The probability of each claim made, and whether the label has it."""
    parts = {"self_name": "names", "self_maker": "makers", "self_base": "base", "denied": "denied"}
    claims = []
    for j in judged:
        for e in j.verdict.evidence:
            part = parts[e.role]
            if e.identity in getattr(j.verdict, part):
                wanted = _ids(getattr(j.label, part), part)
                claims.append((e.probability, canonical(e.identity, part) in wanted))
    return claims


def _bins(claims: Sequence[tuple[float, bool]]) -> list[tuple[float, int, int]]:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for p, held in claims:
        bins[min(BINS - 1, int(p * BINS))].append((p, held))
    return [(sum(p for p, _ in b) / len(b), sum(held for _, held in b), len(b)) for b in bins if b]


def macro_f1(found: Found) -> float:
    """Mean F1 over the stances that occur."""
    scores = [s.f1 for s in found.stances.values() if s.f1 is not None]
    return sum(scores) / len(scores)


def confusion_rates(found: Found) -> Confusion:
    """How often what is there is found, and how often nothing else is: counts of replies.

    By measure (each stance is one) and length of the reply.
    """
    measures: dict[str, dict[str, Errors]] = {}
    for at, judged in _grouped(found.judged, lambda j: band(j.label.reply)).items():
        for measure, part in zip(("name", "maker", "base", "denied"), PARTS, strict=True):
            both = _both(judged, part)
            measures.setdefault(measure, {})[named(at)] = _errors(both, both)
        for stance in STANCES:
            said = [
                (_one(stance, j.label.stance == stance), _one(stance, j.verdict.stance == stance))
                for j in judged
            ]
            others = [(wanted, found) for wanted, found in said if not wanted]
            measures.setdefault(key_of("stance", stance), {})[named(at)] = _errors(said, others)
    return Confusion(measures, len(found.judged), found.source)


def _errors(sets: Sequence[Sets], others: Sequence[Sets]) -> Errors:
    """Of replies that show something, those in which all of it is found; of ``others``, those in
    which nothing is found that is not there.

    A reply may be taken to show one name whatever other it shows: all replies are others.
    """
    shown = [wanted <= said for wanted, said in sets if wanted]
    spared = [said <= wanted for wanted, said in others]
    return Errors((sum(shown), len(shown)), (sum(spared), len(spared)))
