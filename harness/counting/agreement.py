"""How far people agree with the classifier, and with each other.

With the classifier: shares of the replies read, each with Wilson's interval. Those replies are
drawn where it matters and not evenly, so this says how well it did on them; how well it did on the
run is in the tally's checked columns. With each other: Cohen's kappa of any two who read the same
replies (Cohen 1960, Educational and Psychological Measurement 20(1),
doi:10.1177/001316446002000104).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

from harness.counting.drawn import Draw, text_of
from harness.counting.evaluate import Rate
from harness.counting.labels import Label, read_labels
from harness.counting.readings import agrees, same
from harness.counting.scored import Scoring
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


class Agreement(NamedTuple):
    """What people say beside the classifier, and beside each other."""

    #: Labels by person.
    labellers: dict[str, int]
    read: int
    drawn: int
    stance: Rate
    names: Rate
    both: Rate
    pairs: list[Pair]


def agreement_of_labels(run: Run, drawn: Draw) -> Agreement:
    """Compare a run's labels with the classifier's verdicts, and people with each other.

    A reply that several people read agrees where most of them do.
    """
    texts = {one.sample: one.sha256 for one in drawn.samples}
    labels: dict[str, list[Label]] = {}
    for label in read_labels(run.folder):
        if texts.get(label.sample) == label.sha256:
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
    return Agreement(counts, len(told), len(drawn.samples), stances, names, both, pairs)


def _most(found: Sequence[Sequence[bool]]) -> Rate:
    return Rate(sum(2 * sum(one) > len(one) for one in found), len(found))


def _pair(a: str, b: str, of_a: dict[str, Label], of_b: dict[str, Label]) -> Pair:
    shared = [key for key in of_a if key in of_b]

    def kappa(said: Callable[[Label], str]) -> float | None:
        return _kappa([said(of_a[key]) for key in shared], [said(of_b[key]) for key in shared])

    return Pair(a, b, len(shared), kappa(lambda x: x.stance), kappa(_names))


def _names(label: Label) -> str:
    return "|".join(sorted({same(name) for name in label.names}))


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
        return lines
    lines.append("agreement with the classifier, % (95 % interval, Wilson):")
    for what, rate in (("stance", found.stance), ("names", found.names), ("both", found.both)):
        lines.append(f"  {what:7} {rate.hits} of {rate.of}: {rate}")
    return lines + [
        f"{p.first} and {p.second} both read {p.both}: {_of_pair(p)}" for p in found.pairs
    ]


def _of_pair(pair: Pair) -> str:
    if not pair.both:
        return "no kappa"
    said = {"stance": pair.stance, "names": pair.names}
    return ", ".join(
        f"kappa of {what} " + ("NA (all the same)" if k is None else f"{k:.2f}")
        for what, k in said.items()
    )
