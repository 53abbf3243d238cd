"""Whom the lineup accuses: honest hosts of the lab's donor, and hosts that swap it.

usage: python benchmarks/lineup_null.py [LIVES] [EACH] [COUNTS]

Each host is asked the battery EACH times (4); a life is a check of the claim `lab:donor` on answers
that are drawn from those of one host, at most 80 of them, as `truename lineup --claims` judges it.
Prints for each host how many lives end in which verdict, with and without the host's token counts,
and how far the mean log factor is. Then dilution: a share of the traffic goes to another model; how
often the claim is contradicted within 80 and 600 requests, and after how many.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import yaml
from gguf.quants import dequantize, quantize

from harness.campaign import EmbeddedTarget, Plan, piped_campaign
from harness.journal import find_run
from harness.lab import build
from harness.lineup import (
    Answered,
    Battery,
    Lineup,
    Reference,
    Word,
    answers_of,
    choose,
    imported,
    judged,
)
from harness.lineup.battery import campaign
from harness.sampling import Sitting, sit

LIVES = int(sys.argv[1]) if len(sys.argv) > 1 else 200
EACH = int(sys.argv[2]) if len(sys.argv) > 2 else 4
CLAIM = "lab:donor"
ADDED = "Be brief and kind. "
BUDGET, LONG = 80, 600
COUNTS = Path(sys.argv[3]).absolute() if len(sys.argv) > 3 else None
#: Answers that a real model has to have given.
ENOUGH = 1200
Answers = list[Answered]


def rounded(model: Path, to: Path) -> Path:
    """A copy whose matrices hold what eight bits (llama.cpp's Q8_0) keep of them."""
    shutil.copyfile(model, to)
    for tensor in gguf.GGUFReader(to, "r+").tensors:
        if len(tensor.shape) > 1:
            kind = gguf.GGMLQuantizationType.Q8_0
            kept = dequantize(quantize(np.array(tensor.data, np.float32), kind), kind)
            tensor.data[:] = kept.astype(tensor.data.dtype)
    return to


def asked(model: str, name: str, arm: str = "bare", seed: int = 1, **sampling: float) -> Answers:
    """A host's answers to the whole battery."""
    target = EmbeddedTarget(name="host", role="suspect", engine="embedded", model=model)
    said = yaml.safe_load(campaign(name, [target], Battery(), EACH, seed).source)
    said["arms"], said["sampling"] = [arm], said["sampling"] | sampling
    loaded = piped_campaign(yaml.safe_dump(said, allow_unicode=True).encode())
    run = sit(
        Sitting(loaded, name, Path("results"), None), lambda line: None, lambda t: [[]] * len(t)
    )
    found = find_run(run.run, Path("results"), None)
    return answers_of(found.journal, Plan(loaded), "host")


def hosts(folder: Path) -> Iterator[tuple[str, Answers]]:
    yield "honest", asked(CLAIM, "honest")
    for times in (1, 5, 25):
        path = folder / "prompts/system" / f"added-{times}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ADDED * times)
        answers = asked(CLAIM, f"added-{times}", f"given:system/added-{times}.j2")
        yield f"system prompt of {5 * times - times} words", answers
    yield "temperature 0.7", asked(CLAIM, "cooler", temperature=0.7)
    yield "top_p 0.9", asked(CLAIM, "nucleus", top_p=0.9)
    eight = rounded(build("donor", "gguf"), folder / "eight.gguf")
    yield "8 bit", asked(str(eight), "eight")
    for other in ("suspect", "base", "control"):
        yield f"swapped: lab:{other}", asked(f"lab:{other}", f"swapped-{other}")


def lives(draw_one: Callable[[np.random.Generator], Answered], budget: int) -> Iterator[Lineup]:
    models = choose(["lab"]).models
    for life in range(LIVES):
        rng = np.random.default_rng(life)
        lineup = Lineup(models, CLAIM)
        while lineup.asked < budget and not lineup.sure:
            lineup.see(draw_one(rng))
        yield lineup


def one_of(answers: Answers) -> Callable[[np.random.Generator], Answered]:
    return lambda rng: answers[rng.integers(len(answers))]


def untold(answers: Answers) -> Answers:
    return [one._replace(prompt_tokens=None) for one in answers]


def diluted(
    honest: Answers, other: Answers, share: float
) -> Callable[[np.random.Generator], Answered]:
    def draw(rng: np.random.Generator) -> Answered:
        return one_of(other if rng.random() < share else honest)(rng)

    return draw


def main() -> None:
    os.chdir(folder := Path(tempfile.mkdtemp()))
    print(f"claim {CLAIM}, alpha 0.01, at most {BUDGET} requests, {LIVES} lives of each host, in %")
    print(f"{'host':30}{'is it':>7}{'is not':>8}{'cannot tell':>13}{'is not, no token counts':>25}")
    found: dict[str, Answers] = {}
    for name, answers in hosts(folder):
        found[name] = answers
        said = Counter(one.verdict().said for one in lives(one_of(answers), BUDGET))
        blind = Counter(one.verdict().said for one in lives(one_of(untold(answers)), BUDGET))
        shares = [100 * said[what] / LIVES for what in ("is it", "is not", "cannot tell")]
        print(
            f"{name:30}{shares[0]:7.1f}{shares[1]:8.1f}{shares[2]:13.1f}"
            f"{100 * blind['is not'] / LIVES:25.1f}",
            flush=True,
        )
    print(f"\ndilution: a share of the traffic is another model's, at most {LONG} requests")
    print(f"{'other':20}{'share':>7}{'contradicted in 80':>20}{'in 600':>9}{'median requests':>17}")
    for other in ("swapped: lab:control", "swapped: lab:base"):
        for share in (0.05, 0.1, 0.2, 0.4, 1.0):
            draw = diluted(found["honest"], found[other], share)
            after = [one.asked if one.rejected_by else 10**9 for one in accusing(draw)]
            middle = sorted(after)[len(after) // 2]
            print(
                f"{other[9:]:20}{share:7.0%}{np.mean([n <= BUDGET for n in after]):20.0%}"
                f"{np.mean([n <= LONG for n in after]):9.0%}"
                f"{middle if middle <= LONG else 'more':>17}",
                flush=True,
            )


def accusing(draw: Callable[[np.random.Generator], Answered]) -> Iterator[Lineup]:
    """Lives of a watch that never ends by being content: only a contradiction ends it."""
    models = choose(["lab"]).models
    for life in range(LIVES // 4):
        rng = np.random.default_rng(life)
        lineup = Lineup(models, CLAIM)
        while lineup.asked < LONG and lineup.rejected_by is None:
            lineup.decided_after = None
            lineup.see(draw(rng))
        yield lineup


def halved(whole: Reference, rng: np.random.Generator) -> tuple[Reference, Answers]:
    """A reference of one half of a model's answers, and the other half as a suspect's."""
    cells: dict[str, Counter[str]] = {}
    rest: Answers = []
    for cell, counts in whole.cells.items():
        said = [word for word, count in counts.items() for _ in range(count)]
        rng.shuffle(said)
        cells[cell] = Counter(said[: len(said) // 2])
        rest += [Answered(cell, Word(word, True)) for word in said[len(said) // 2 :]]
    known = sum(sum(counts.values()) for counts in cells.values())
    rest = [rest[i] for i in rng.permutation(len(rest))]
    return Reference(model=whole.model, asked=known, answered=known, cells=cells), rest


def real(path: Path) -> None:
    """True and false claims of real models, one false claim of each, drawn by the seed."""
    models = [one for one in imported.take(str(path)).models if one.answered >= ENOUGH]
    print(f"\n{len(models)} real models, 3 seeds, in %")
    print(f"{'requests':>9}{'claim':>7}{'is it':>8}{'is not':>8}{'cannot tell':>13}")
    for budget in (BUDGET, 160):
        for kind in ("true", "false"):
            said: Counter[str] = Counter()
            for seed in range(3):
                rng = np.random.default_rng(seed)
                split = [halved(one, rng) for one in models]
                references = [one for one, _ in split]
                for place, (known, rest) in enumerate(split):
                    other = (place + 1 + rng.integers(len(split) - 1)) % len(split)
                    claim = known if kind == "true" else references[other]
                    said[judged(rest[:budget], references, claim.model).said] += 1
            shares = [
                100 * said[what] / said.total() for what in ("is it", "is not", "cannot tell")
            ]
            print(
                f"{budget:9}{kind:>7}{shares[0]:8.1f}{shares[1]:8.1f}{shares[2]:13.1f}", flush=True
            )


main()
if COUNTS:
    real(COUNTS)
