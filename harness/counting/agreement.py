"""How far people agree with the classifier and with each other, and a judge with all of them.

With the classifier: shares of the replies read, each with Wilson's interval. Those replies are
drawn where it matters and not evenly, so this says how well it did on them; how well it did on the
run is in the tally's checked columns. With each other: Cohen's kappa of any two who read the same
replies (Cohen 1960, Educational and Psychological Measurement 20(1),
doi:10.1177/001316446002000104).

A judge (`truename judge`) is no person: it is counted among none of these, and set beside the
classifier, and beside people where they read the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from harness.counting.drawn import Draw, digest, text_of
from harness.counting.evaluate import Rate
from harness.counting.labels import Label, by_judge, read_labels
from harness.counting.readings import agrees, same
from harness.counting.scored import Scoring
from harness.errors import RunError
from harness.journal import Run


class Pair(NamedTuple):
    """Two people: replies that both read, and kappa of their stances and of their names.

    A kappa is None where both said the same of all replies, or nothing: chance alone would agree.
    """

    first: str
    second: str
    both: int
    stance: float | None
    names: float | None


class Beside(NamedTuple):
    """How often a judge says what the classifier, or what most people say; kappas of stances and of
    names where there are two sides to compare.
    """

    stance: Rate
    names: Rate
    both: Rate
    kappa_stance: float | None = None
    kappa_names: float | None = None


class OfJudge(NamedTuple):
    """What a judge says beside the classifier, and beside people where they read the same."""

    judge: str
    judged: int
    classifier: Beside
    people: Beside
    pairs: list[Pair]


class Agreement(NamedTuple):
    """What people say beside the classifier, and beside each other; then each judge."""

    #: Labels by person.
    labellers: dict[str, int]
    read: int
    drawn: int
    stance: Rate
    names: Rate
    both: Rate
    pairs: list[Pair]
    judges: list[OfJudge]


def agreement_of_labels(run: Run, drawn: Draw) -> Agreement:
    """Compare a run's labels with the classifier's verdicts, and people with each other.

    A reply that several people read agrees where most of them do.
    """
    texts = {one.sample: one.sha256 for one in drawn.samples}
    labels: dict[str, list[Label]] = {}
    for label in read_labels(run.folder):
        if not by_judge(label) and texts.get(label.sample) == label.sha256:
            labels.setdefault(label.sample, []).append(label)
    rows = [text_of(run, key) for key in labels]
    verdicts = [scored.verdict for scored in Scoring(run.journal.engine).score(rows)]
    told = [(some, v) for some, v in zip(labels.values(), verdicts, strict=True) if v]
    stances = _most([[x.stance == v.stance for x in some] for some, v in told])
    names = _most([[agrees(x, x.stance, v.names) for x in some] for some, v in told])
    both = _most([[agrees(x, v.stance, v.names) for x in some] for some, v in told])
    people: dict[str, dict[str, Label]] = {}
    for some in labels.values():
        for label in some:
            people.setdefault(label.labeller, {})[label.sample] = label
    pairs = [_pair(a, b, people[a], people[b]) for a, b in combinations(sorted(people), 2)]
    counts = {name: len(mine) for name, mine in sorted(people.items())}
    judges = agreement_of_judges(run)
    return Agreement(counts, len(told), len(drawn.samples), stances, names, both, pairs, judges)


def agreement_of_judges(run: Run) -> list[OfJudge]:
    """Compare what judges say of a run's replies with the classifier, and with people."""
    said = read_labels(run.folder)
    names = sorted({label.labeller for label in said if by_judge(label)})
    people = [label for label in said if not by_judge(label)]
    return [_of_judge(run, [x for x in said if x.labeller == name], people) for name in names]


def _of_judge(run: Run, labels: Sequence[Label], people: Sequence[Label]) -> OfJudge:
    """One judge; labels of texts that the run no longer holds are left out."""
    held = [(label, _row(run, label)) for label in labels]
    there = [(label, row) for label, row in held if row is not None]
    scored = Scoring(run.journal.engine).score([row for _, row in there])
    mine = [(x, one.verdict) for (x, _), one in zip(there, scored, strict=True) if one.verdict]
    classifier = Beside(
        *_sides([(x, [(v.stance, v.names)]) for x, v in mine]),
        _kappa([x.stance for x, _ in mine], [v.stance for _, v in mine]),
        _kappa([_pooled(x.names) for x, _ in mine], [_pooled(v.names) for _, v in mine]),
    )
    read: dict[str, list[Label]] = {}
    readers: dict[str, dict[str, Label]] = {}
    of_judge = {x.sample: x for x, _ in mine}
    for label in people:
        judged = of_judge.get(label.sample)
        if judged is not None and judged.sha256 == label.sha256:
            read.setdefault(label.sample, []).append(label)
            readers.setdefault(label.labeller, {})[label.sample] = label
    shared = [(of_judge[key], [(x.stance, x.names) for x in some]) for key, some in read.items()]
    name = labels[0].labeller
    pairs = [
        _pair(name, who, of_judge, theirs, lambda x: _pooled(x.names))
        for who, theirs in sorted(readers.items())
    ]
    return OfJudge(name, len(mine), classifier, Beside(*_sides(shared)), pairs)


def _row(run: Run, label: Label) -> dict[str, Any] | None:
    """The row of a labelled reply, if the run holds it with that text."""
    try:
        row = text_of(run, label.sample)
    except RunError:
        return None
    return row if digest(row["text"]) == label.sha256 else None


def _sides(
    said: Sequence[tuple[Label, Sequence[tuple[str, Sequence[str]]]]],
) -> tuple[Rate, Rate, Rate]:
    """How often labels have the stance, the names, and both of most others of the same reply."""
    return (
        _most([[x.stance == stance for stance, _ in others] for x, others in said]),
        _most([[agrees(x, x.stance, names) for _, names in others] for x, others in said]),
        _most([[agrees(x, stance, names) for stance, names in others] for x, others in said]),
    )


def _most(found: Sequence[Sequence[bool]]) -> Rate:
    return Rate(sum(2 * sum(one) > len(one) for one in found), len(found))


def _pair(
    a: str,
    b: str,
    of_a: dict[str, Label],
    of_b: dict[str, Label],
    names: Callable[[Label], str] | None = None,
) -> Pair:
    shared = [key for key in of_a if key in of_b]

    def kappa(said: Callable[[Label], str]) -> float | None:
        return _kappa([said(of_a[key]) for key in shared], [said(of_b[key]) for key in shared])

    return Pair(a, b, len(shared), kappa(lambda x: x.stance), kappa(names or _names))


def _names(label: Label) -> str:
    return "|".join(sorted({same(name) for name in label.names}))


def _pooled(names: Sequence[str]) -> str:
    """Names as they are compared with a judge's: of unlisted ones only that there are some."""
    return "|".join(sorted({"other" if n.startswith("other:") else same(n) for n in names}))


def _kappa(first: list[str], second: list[str]) -> float | None:
    if len({*first, *second}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(first, second))


def told(found: Agreement) -> list[str]:
    """The agreement, a line each."""
    people = ", ".join(f"{name} {count}" for name, count in found.labellers.items())
    lines = [f"read: {found.read} of {found.drawn} drawn replies ({people or 'nobody yet'})"]
    if not found.read:
        return lines + told_of_judges(found.judges)
    lines.append("agreement with the classifier, % (95 % interval, Wilson):")
    lines += _rates(found)
    return lines + _pairs(found.pairs) + told_of_judges(found.judges)


def told_of_judges(judges: Sequence[OfJudge]) -> list[str]:
    """How far each judge agrees with the classifier and with people, a line each."""
    lines = []
    for found in judges:
        of, kappas = found.classifier, (found.classifier.kappa_stance, found.classifier.kappa_names)
        lines.append(f"{found.judge}, a model and no person: {found.judged} labels, in no rate")
        lines.append("agreement with the classifier, % (95 % interval, Wilson):")
        lines += [*_rates(of), f"  {_of_kappas(*kappas)}"] if found.judged else ["  NA"]
        if not found.pairs:
            lines.append("people read none of these replies, so nothing says how right it is")
            continue
        lines.append("agreement with people, % (95 % interval, Wilson):")
        lines += _rates(found.people) + _pairs(found.pairs)
    return lines


def _rates(found: Agreement | Beside) -> list[str]:
    rates = {"stance": found.stance, "names": found.names, "both": found.both}
    return [f"  {what:7} {rate.hits} of {rate.of}: {rate}" for what, rate in rates.items()]


def _pairs(pairs: Sequence[Pair]) -> list[str]:
    return [f"{p.first} and {p.second} both read {p.both}: {_of_pair(p)}" for p in pairs]


def _of_pair(pair: Pair) -> str:
    if not pair.both:
        return "no kappa"
    return _of_kappas(pair.stance, pair.names)


def _of_kappas(stance: float | None, names: float | None) -> str:
    said = {"stance": stance, "names": names}
    return ", ".join(
        f"kappa of {what} " + ("NA (all the same)" if k is None else f"{k:.2f}")
        for what, k in said.items()
    )
