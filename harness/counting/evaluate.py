"""How right the classifier is on labelled replies, with intervals; and the confusion rates that correct a tally.

A label is one JSON object a line: ``id, lang, reply, stance, names, makers, base, denied``, and where they apply
``hedged`` and ``trap``. An unlisted name is ``other`` or ``other:<name>``; a base-only id of the book counts as its family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.campaign.identities import load_book
from harness.counting.rates import STANCES, Confusion, Errors
from harness.errors import ScoreError
from harness.report.story import percent
from harness.report.terminal import plain
from harness.scoring.mentions import finder
from harness.scoring.normalize import normalize
from harness.scoring.verdict import Verdict, verdicts
from harness.stats import wilson
from harness.tables import write_bytes
from harness.targets import split_reasoning

PARTS: Final = ("names", "makers", "base", "denied")
BINS: Final = 10


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


class Found(NamedTuple):
    """Everything that was measured."""

    source: str
    judged: list[Judged]
    stances: dict[str, Score]
    confusion: dict[tuple[str, str], int]  # (label, verdict) -> replies
    parts: dict[str, Score]
    exact: dict[str, Rate]  # whole set right
    hedged: Score
    traps: dict[str, Rate]
    languages: dict[str, Rate]
    brier: float | None
    reliability: list[tuple[float, int, int]]  # mean probability, claims that hold, claims


def read(path: Path) -> list[Label]:
    """The labels of a file.

    Raises
    ------
    ScoreError
        A line is no label: which, and why.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as problem:
        raise ScoreError(
            f"the labels cannot be read: {problem.strerror}", where=str(path), next="check the path"
        ) from None
    labels = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                label = msgspec.json.decode(line, type=Label)
            except msgspec.DecodeError as problem:
                raise ScoreError(
                    f"this is no label: {problem}",
                    where=f"{path}:{number}",
                    next="see the keys in docs/classifier.md",
                ) from None
            if label.stance not in STANCES:
                raise ScoreError(
                    f"'{label.stance}' is no stance",
                    where=f"{path}:{number}",
                    next=f"one of: {', '.join(STANCES)}",
                )
            labels.append(label)
    if not labels:
        raise ScoreError(
            "the file holds no labels",
            where=str(path),
            next="one JSON object a line, keys in docs/classifier.md",
        )
    return labels


def canonical(identity: str, kind: str) -> str:
    """One id for what is the same: base-only ids are their family, unlisted names that the book lists by now are listed.

    A bare ``other`` says only that the name is unlisted, so every unlisted name becomes ``other``.
    """
    families = load_book().families
    if identity in families and families[identity].same_as:
        return str(families[identity].same_as)
    if identity.startswith("other:"):
        listed = next((m for m in finder().find(normalize(identity.removeprefix("other:")))), None)
        return (
            (listed.maker if kind == "makers" else listed.family) or "other" if listed else "other"
        )
    return identity


def evaluate(path: Path) -> Found:
    """Measure the classifier on every label of a file."""
    labels = read(path)
    judged = [
        Judged(label, verdict)
        for label, verdict in zip(
            labels, verdicts(split_reasoning(label.reply)[1] for label in labels), strict=True
        )
    ]
    pairs = [(j.label.stance, j.verdict.stance) for j in judged]
    sets = {
        part: [
            (_ids(getattr(j.label, part), part), _ids(getattr(j.verdict, part), part))
            for j in judged
        ]
        for part in PARTS
    }
    claims = _claims(judged)
    hedges = [(j.label.hedged, j.verdict.hedged) for j in judged]
    return Found(
        path.name,
        judged,
        {
            stance: Score(
                sum(a == b == stance for a, b in pairs),
                sum(b == stance != a for a, b in pairs),
                sum(a == stance != b for a, b in pairs),
            )
            for stance in STANCES
        },
        {(a, b): pairs.count((a, b)) for a in STANCES for b in STANCES},
        {
            part: Score(
                sum(len(a & b) for a, b in both),
                sum(len(b - a) for a, b in both),
                sum(len(a - b) for a, b in both),
            )
            for part, both in sets.items()
        },
        {"stance": Rate(sum(a == b for a, b in pairs), len(pairs))}
        | {part: Rate(sum(a == b for a, b in both), len(both)) for part, both in sets.items()},
        Score(
            sum(a and b for a, b in hedges),
            sum(b and not a for a, b in hedges),
            sum(a and not b for a, b in hedges),
        ),
        _by(judged, lambda j: j.label.trap),
        _by(judged, lambda j: j.label.lang),
        sum((p - held) ** 2 for p, held in claims) / len(claims) if claims else None,
        _bins(claims),
    )


def _ids(identities: Iterable[str], kind: str) -> frozenset[str]:
    return frozenset(canonical(i, kind) for i in identities)


def right(j: Judged) -> bool:
    """Stance, names and makers all as labelled."""
    return j.label.stance == j.verdict.stance and all(
        _ids(getattr(j.label, part), part) == _ids(getattr(j.verdict, part), part)
        for part in ("names", "makers")
    )


def _by(judged: Sequence[Judged], key: Callable[[Judged], str]) -> dict[str, Rate]:
    groups: dict[str, list[bool]] = {}
    for j in judged:
        groups.setdefault(key(j), []).append(right(j))
    return {name: Rate(sum(found), len(found)) for name, found in sorted(groups.items())}


def _claims(judged: Sequence[Judged]) -> list[tuple[float, bool]]:
    """The probability of each claim made, and whether the label has it."""
    parts = {"self_name": "names", "self_maker": "makers", "self_base": "base", "denied": "denied"}
    return [
        (
            e.probability,
            canonical(e.identity, parts[e.role])
            in _ids(getattr(j.label, parts[e.role]), parts[e.role]),
        )
        for j in judged
        for e in j.verdict.evidence
        if e.identity in getattr(j.verdict, parts[e.role])
    ]


def _bins(claims: Sequence[tuple[float, bool]]) -> list[tuple[float, int, int]]:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for p, held in claims:
        bins[min(BINS - 1, int(p * BINS))].append((p, held))
    return [(sum(p for p, _ in b) / len(b), sum(held for _, held in b), len(b)) for b in bins if b]


def macro_f1(found: Found) -> float:
    """Mean F1 over the stances that occur."""
    scores = [s.f1 for s in found.stances.values() if s.f1 is not None]
    return sum(scores) / len(scores)


def show(console: Console, found: Found, worst: int) -> None:
    """Print every table, and the worst errors."""
    table = _table(
        "decisions (%, 95 % Wilson interval)",
        "what",
        "precision",
        "recall",
        "F1",
        "whole set right",
    )
    for name, score in [
        *((f"stance {s}", found.stances[s]) for s in STANCES),
        *found.parts.items(),
        ("hedged", found.hedged),
    ]:
        table.add_row(
            name,
            str(score.precision),
            str(score.recall),
            "NA" if score.f1 is None else f"{score.f1:.3f}",
            str(found.exact.get(name, "")),
        )
    table.add_row("stance, all", "", "", f"{macro_f1(found):.3f} macro", str(found.exact["stance"]))
    console.print(table)
    table = _table("\nconfusion: label (row) and verdict (column)", "", *STANCES)
    for a in STANCES:
        table.add_row(a, *(str(found.confusion[a, b]) for b in STANCES))
    console.print(table)
    for title, rates in (("trap", found.traps), ("language", found.languages)):
        table = _table(
            f"\nstance, names and makers all right, by {title}", title, "replies", "right"
        )
        for name, rate in rates.items():
            table.add_row(name, str(rate.of), str(rate))
        console.print(table)
    table = _table(
        "\ncalibration of claims"
        + (f": Brier score {found.brier:.4f}" if found.brier is not None else ""),
        "said",
        "true",
        "claims",
    )
    for mean, held, claims in found.reliability:
        table.add_row(f"{mean:.2f}", str(Rate(held, claims)), str(claims))
    console.print(table)
    errors = sorted(
        (j for j in found.judged if not right(j)),
        key=lambda j: -max((e.probability for e in j.verdict.evidence), default=0.0),
    )
    console.print(
        f"\n{len(errors)} replies with an error; the surest first:" if errors else "\nno errors"
    )
    for j in errors[:worst]:
        said = {part: getattr(j.verdict, part) for part in PARTS if getattr(j.verdict, part)}
        wanted = {part: tuple(getattr(j.label, part)) for part in PARTS if getattr(j.label, part)}
        console.print(
            Text(
                f"{j.label.id} [{j.label.trap}] {plain(' '.join(j.label.reply.split()))[:160]}\n  label {j.label.stance} {wanted}\n  verdict {j.verdict.stance} {said}"
            )
        )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def confusion_rates(found: Found) -> Confusion:
    """How often a claim that is there is found, and how often one that is not there is not.

    By reply and identity, for the identities seen; for stances by reply and stance.
    """
    measures = {}
    for measure, part in zip(("name", "maker", "base", "denied"), PARTS, strict=True):
        both = [
            (_ids(getattr(j.label, part), part), _ids(getattr(j.verdict, part), part))
            for j in found.judged
        ]
        identities = set().union(*(a | b for a, b in both))
        absent, score = sum(len(identities - a) for a, _ in both), found.parts[part]
        measures[measure] = Errors(
            (score.right, score.right + score.missed), (absent - score.wrong, absent)
        )
    right, wrong = (
        sum(s.right for s in found.stances.values()),
        sum(s.wrong for s in found.stances.values()),
    )
    absent = len(found.judged) * (len(STANCES) - 1)
    measures["stance"] = Errors((right, len(found.judged)), (absent - wrong, absent))
    return Confusion(measures, len(found.judged), found.source)


def write(found: Found, folder: Path) -> list[Path]:
    """Write `confusion.json` and `reliability.svg`; returns their paths."""
    made = []
    for name, content in (
        (
            "confusion.json",
            msgspec.json.format(msgspec.json.encode(confusion_rates(found)), indent=1),
        ),
        ("reliability.svg", _plot(found.reliability).encode()),
    ):
        write_bytes(content + b"\n", folder / name)
        made.append(folder / name)
    return made


def _plot(reliability: Sequence[tuple[float, int, int]]) -> str:
    """A reliability plot: said probability across, share that holds up, with Wilson bars."""
    size, edge = 320, 40

    def x(p: float) -> float:
        return edge + p * size

    def y(p: float) -> float:
        return edge + (1 - p) * size

    parts = [
        f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" stroke="#999" stroke-dasharray="4"/>'
    ]
    for mean, held, claims in reliability:
        low, high = wilson(held, claims)
        parts.append(
            f'<line x1="{x(mean):.1f}" y1="{y(low):.1f}" x2="{x(mean):.1f}" y2="{y(high):.1f}" stroke="#1f5fa8" stroke-width="2"/>'
        )
        parts.append(
            f'<circle cx="{x(mean):.1f}" cy="{y(held / claims):.1f}" r="4" fill="#1f5fa8"><title>{held} of {claims}</title></circle>'
        )
    marks = "".join(
        f'<text x="{x(p):.0f}" y="{y(0) + 18:.0f}" text-anchor="middle">{p:g}</text><text x="{x(0) - 8:.0f}" y="{y(p) + 4:.0f}" text-anchor="end">{p:g}</text>'
        for p in (0, 0.5, 1)
    )
    frame = (
        f'<rect x="{x(0)}" y="{y(1)}" width="{size}" height="{size}" fill="none" stroke="#444"/>'
    )
    title = '<text x="200" y="24" text-anchor="middle">Claims that hold, by the probability given to them</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" font-family="sans-serif" font-size="12">{frame}{marks}{title}{"".join(parts)}</svg>'
