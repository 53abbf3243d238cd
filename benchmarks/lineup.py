"""One-word answers: how well whose they are is told, beside the published method.

usage: python benchmarks/lineup.py COUNTS [SEEDS]

COUNTS is a file of counts of known models (JSON Lines, also .gz: {"model": ..., "cells":
{"<language>:<task>": {"counts": {answer: count}}}}), such as those of Bruckner, One Token Is
Enough (arXiv 2607.10252; data: Zenodo 10.5281/zenodo.21278557, CC BY 4.0). One half of each model's
answers is its reference, the other half are a suspect's, in an order drawn by the seed.

The published method ranks by the mean Jensen-Shannon distance over cells; an equal error rate is
where as many true claims are rejected as false ones pass. Names of one model (`aliases`) are found
by their own answers, split by another seed; columns that say so take them for one. What is supposed
beforehand (`Prior`) and the bar under which no model is named are chosen on half of the models, and
all figures are of the other half.
"""

from __future__ import annotations

import gzip
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.lineup import PRIOR, Prior, Score

REQUESTS = (40, 80, 160, 600)
#: Answers that a model has to have given.
ENOUGH = 1200
GRID = itertools.product((0.4, 0.6, 0.8), (0.2, 0.5, 2.0), (0.05, 0.2, 1.0))
Counts = dict[str, dict[str, int]]


def read(path: Path) -> dict[str, Counts]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    models = {r["model"]: {c: cell["counts"] for c, cell in r["cells"].items()} for r in rows}
    return {name: cells for name, cells in models.items() if answers(cells) >= ENOUGH}


def answers(cells: Counts) -> int:
    return sum(sum(counts.values()) for counts in cells.values())


def halves(cells: Counts, draw: Any) -> tuple[Counts, list[tuple[str, str]]]:
    """A reference of one half of the answers, and the others in a drawn order."""
    reference: Counts = {}
    rest: list[tuple[str, str]] = []
    for cell, counts in cells.items():
        said = [answer for answer, count in counts.items() for _ in range(count)]
        draw.shuffle(said)
        middle = (len(said) + 1) // 2
        reference[cell] = {a: said[:middle].count(a) for a in set(said[:middle])}
        rest += [(cell, answer) for answer in said[middle:]]
    draw.shuffle(rest)
    return reference, rest


def factors(references: Sequence[Counts], said: Any, prior: Prior) -> Iterator[Any]:
    """The log Bayes factors of all references after each number of `REQUESTS`."""
    score = Score(references, prior)
    for number, (cell, answer) in enumerate(said, 1):
        score.see(str(cell), str(answer))
        if number in REQUESTS:
            yield score.factors.copy()


def shannon(references: Sequence[Counts], said: Any) -> Iterator[Any]:
    """The same by the published method: mean Jensen-Shannon distance, negative."""
    for number in REQUESTS:
        seen: Counts = {}
        for cell, answer in said[:number]:
            counts = seen.setdefault(str(cell), {})
            counts[str(answer)] = counts.get(str(answer), 0) + 1
        distances = [
            [_distance(counts, ref[c]) for c, counts in seen.items() if ref.get(c)]
            for ref in references
        ]
        yield np.array([-np.mean(some) if some else -1.0 for some in distances])


def _distance(one: dict[str, int], two: dict[str, int]) -> float:
    every = [*{*one, *two}]
    p, q = (np.array([x.get(a, 0) for a in every], float) for x in (one, two))
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(x > 0, x * np.log2(x / m), 0).sum() for x in (p, q)]
    return float(np.sqrt(max(0.0, sum(parts) / 2)))


def equal_error(genuine: Any, impostors: Any) -> float:
    """The rate at which as many genuine ones fall below a bar as impostors pass it."""
    bars = np.sort(np.concatenate([genuine, impostors]))
    lost = np.searchsorted(np.sort(genuine), bars, "left") / len(genuine)
    passed = 1 - np.searchsorted(np.sort(impostors), bars, "left") / len(impostors)
    place = int(np.argmin(np.abs(lost - passed)))
    return float((lost[place] + passed[place]) / 2)


def measured(models: dict[str, Counts], seed: int, prior: Prior, *, peers: bool = False) -> Any:
    """(requests, suspects, references) of log factors, or of the peers' score."""
    draw = np.random.default_rng(seed)
    split = [halves(cells, draw) for cells in models.values()]
    references = [reference for reference, _ in split]
    of = (lambda said: shannon(references, said)) if peers else None
    tables = [
        np.stack(list(of(said) if of else factors(references, said, prior))) for _, said in split
    ]
    return np.stack(tables, axis=1)


def aliases(models: dict[str, Counts]) -> Any:
    """(models, models): whether two names are one model: each foretells the other's answers."""
    table = measured(models, 1000, PRIOR)[-1]
    found = (table > 0) & (table.T > 0) | np.eye(len(table), dtype=bool)
    for _ in range(4):  # what is one with a third is one
        found = found.astype(int) @ found.astype(int) > 0
    return found


def parts(table: Any, same: Any) -> tuple[Any, Any]:
    """The factors of true claims, and of false ones."""
    return np.where(same, table, -np.inf).max(1), table[~same]


def open_set(table: Any, same: Any) -> tuple[Any, Any]:
    """What the right model scores where it is known, and the best where it is not.

    A model that is not first scores nothing (minus infinity).
    """
    own, without = (np.where(known, table, -np.inf).max(1) for known in (same, ~same))
    return np.where(own >= without, own, -np.inf), without


def chosen(models: dict[str, Counts]) -> Prior:
    """The prior with the least equal error rate at the fewest requests."""

    def error(prior: Prior) -> tuple[float, float]:
        table = measured(models, 100, prior)
        own, others = parts(table[0], np.eye(len(models), dtype=bool))
        return equal_error(own, others), -float(own.mean())

    return min(itertools.starmap(Prior, GRID), key=error)


def main() -> None:
    models = read(Path(sys.argv[1]))
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    names = sorted(models)
    order = np.random.default_rng(7).permutation(len(names))
    first, second = (
        {names[i]: models[names[i]] for i in sorted(part)} for part in np.array_split(order, 2)
    )
    prior = chosen(first)
    print(f"{len(names)} models; chosen on {len(first)} of them: {prior} (shipped: {PRIOR})")
    groups, others_groups = aliases(second), aliases(first)
    alone = np.eye(len(second), dtype=bool)
    pairs = int(groups.sum() - len(groups)) // 2
    print(f"pairs of names of one model among the {len(second)} others: {pairs}")
    rows: dict[int, list[list[float]]] = {number: [] for number in REQUESTS}
    bars: dict[int, list[float]] = {number: [] for number in REQUESTS}
    for seed in seeds:
        ours, theirs = measured(second, seed, PRIOR), measured(second, seed, PRIOR, peers=True)
        learn = measured(first, seed, PRIOR)
        for place, number in enumerate(REQUESTS):
            own, others = parts(ours[place], groups)
            # the least that all but one in twenty of the genuine ones reach
            leads = np.sort(open_set(learn[place], others_groups)[0])
            bars[number].append(float(leads[len(leads) // 20]))
            known, unknown = open_set(ours[place], groups)
            rows[number].append(
                [
                    equal_error(*parts(theirs[place], alone)),
                    *(equal_error(*parts(ours[place], same)) for same in (alone, groups)),
                    *((own <= 0).mean(), (others > 0).mean()),
                    *((known < bars[number][-1]).mean(), (unknown >= bars[number][-1]).mean()),
                ]
            )
    print(
        "requests | EER: distance | factor | and aliases as one: EER | at 0: lost | passed", end=""
    )
    print(
        f" | open set: lost | named wrongly | the bar (mean of {len(seeds)} seeds, least to most)"
    )
    for number, found in rows.items():
        cells = [
            f"{mean:6.2%} ({low:.2%}-{high:.2%})"
            for mean, low, high in zip(
                *(f(np.array(found), axis=0) for f in (np.mean, np.min, np.max)), strict=True
            )
        ]
        print(f"{number:8} | " + " | ".join(cells) + f" | {np.mean(bars[number]):.0f}")


main()
