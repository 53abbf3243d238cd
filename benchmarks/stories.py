"""What the merge check says of suspects whose making is known, as rows of Markdown.

All are made here from the lab's base, donor and control by numpy: merges by formula, parts, other
orders, noise, grids, nonsense. (`benchmarks/truth.py` does the same for merges by mergekit.)

usage: python benchmarks/stories.py [WORDS OF A ROW]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import merging
import ml_dtypes
import numpy as np
from invariants import permuted, reorder, turned
from safetensors.numpy import load_file, save_file

from harness.errors import WeightsError
from harness.lab import build
from harness.weights.check import Settings, check

Model = dict[str, np.ndarray]
LAYERS = 6
BF16 = ml_dtypes.bfloat16
SIBLING = "sibling"


def each(
    rule: Callable[[str, np.ndarray], np.ndarray], model: Model, kind: type = np.float32
) -> Model:
    """A rule on every matrix; vectors are kept."""
    return {
        n: (rule(n, v.astype(np.float64)) if v.ndim > 1 else v).astype(kind)
        for n, v in model.items()
    }


def slerp(b: np.ndarray, d: np.ndarray, t: float) -> np.ndarray:
    angle = np.arccos((b * d).sum() / np.linalg.norm(b) / np.linalg.norm(d))
    return (np.sin((1 - t) * angle) * b + np.sin(t * angle) * d) / np.sin(angle)


def layer(name: str) -> int:
    return int(name.split(".")[2]) if ".layers." in name else 0


def largest(x: np.ndarray, share: float) -> np.ndarray:
    return x * (np.abs(x) >= np.quantile(np.abs(x), 1 - share))


def blocks(v: np.ndarray, bits: int, size: int = 32) -> np.ndarray:
    whole = v.reshape(-1, size)
    step = np.abs(whole).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return (np.rint(whole / step) * step).reshape(v.shape)


def neurons(model: Model, rng: np.random.Generator) -> Model:
    made = dict(model)
    for n in range(LAYERS):
        size = len(model[f"model.layers.{n}.mlp.up_proj.weight"])
        reorder(made, n, rng.permutation(size))
    return made


def undone(model: Model, rng: np.random.Generator) -> Model:
    """What reads from a norm scaled by column, and the norm's gains by the inverse."""
    made = dict(model)
    for n in range(LAYERS):
        at = f"model.layers.{n}."
        for norm, readers in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            factor = rng.uniform(0.5, 2, len(model[f"{at}{norm}.weight"])).astype("f")
            made[f"{at}{norm}.weight"] = model[f"{at}{norm}.weight"] / factor
            for name in readers:
                made[f"{at}{name}.weight"] = model[f"{at}{name}.weight"] * factor
    return made


def methods(
    b: Model, d: Model, rng: np.random.Generator
) -> dict[str, tuple[Callable[[], Model], list[str]]]:
    """Methods of mergekit with one donor and with two: each with both given, and the second not.

    The second, a sibling, is the base with the donor's changes in another order of rows.
    """
    sibling = second(b, d)

    def merge(rule: Callable[..., np.ndarray], kind: type = np.float32) -> Callable[[], Model]:
        return lambda: each(
            lambda n, v: rule(v, d[n].astype(np.float64), sibling[n].astype(np.float64)), b, kind
        )

    def of(rule: Callable[..., np.ndarray]) -> Callable[[], Model]:
        """A rule on the differences of both donors."""
        return merge(lambda v, one, two: v + rule(one - v, two - v))

    one = {
        "mergekit della, density 0.5": of(lambda x, y: merging.magnitude_dropped(x, 0.5, rng)),
        "mergekit breadcrumbs, density 0.4, 0.05 off the top": of(
            lambda x, y: merging.breadcrumbs(x, 0.4, 0.05)
        ),
        "mergekit nearswap, t 0.001": merge(lambda v, x, y: merging.nearswap(v, x, 0.001)),
        "mergekit nuslerp, 0.6 and 0.4": merge(lambda v, x, y: merging.nuslerp(v, x, 0.6)),
        "mergekit nuslerp, 0.6 and 0.4, bfloat16": merge(
            lambda v, x, y: merging.nuslerp(v, x, 0.6), BF16
        ),
        "mergekit arcee_fusion": merge(lambda v, x, y: merging.fusion(v, x)),
        "TIES, density 0.5, bfloat16": merge(lambda v, x, y: v + merging.trimmed(x - v, 0.5), BF16),
        "DARE, density 0.4, bfloat16": merge(
            lambda v, x, y: v + merging.dropped(x - v, 0.4, rng), BF16
        ),
    }
    two = {
        "mergekit ties, density 0.5, both 1": of(
            lambda x, y: merging.elected([merging.trimmed(z, 0.5) for z in (x, y)], [1, 1])
        ),
        "mergekit dare_ties, density 0.5, 0.6 and 0.4": of(
            lambda x, y: merging.elected(
                [merging.dropped(z, 0.5, rng) for z in (x, y)], [0.6, 0.4], mean=False
            )
        ),
        "mergekit dare_linear, density 0.5, 0.6 and 0.4": of(
            lambda x, y: 0.6 * merging.dropped(x, 0.5, rng) + 0.4 * merging.dropped(y, 0.5, rng)
        ),
        "mergekit della, density 0.5, 0.6 and 0.4": of(
            lambda x, y: merging.elected(
                [merging.magnitude_dropped(z, 0.5, rng) for z in (x, y)], [0.6, 0.4], mean=False
            )
        ),
        "mergekit sce, the upper fifth": of(lambda x, y: merging.sce([x, y], 0.2)),
        "mergekit model_stock": merge(lambda v, x, y: merging.model_stock(v, [x, y])),
        "task arithmetic, 0.8 and -0.3": of(lambda x, y: 0.8 * x - 0.3 * y),
        "linear, 0.4, 0.3 and 0.3 of the base": of(lambda x, y: 0.4 * x + 0.3 * y),
        "linear, 0.05, 0.05 and 0.9 of the base": of(lambda x, y: 0.05 * x + 0.05 * y),
    }
    given = {what: (make, ["donor", "base"]) for what, make in one.items()}
    given |= {f"two donors: {w}": (make, ["donor", SIBLING, "base"]) for w, make in two.items()}
    withheld = {f"one of two donors: {w}": (make, ["donor", "base"]) for w, make in two.items()}
    return given | withheld


def second(b: Model, d: Model) -> Model:
    rng = np.random.default_rng(11)
    return {n: b[n] + (d[n] - b[n])[rng.permutation(len(b[n]))] for n in b}


def rows(b: Model, d: Model, c: Model) -> dict[str, tuple[Callable[[], Model], list[str]]]:
    """What was done: how, and the parents that are given."""
    rng = np.random.default_rng(0)
    pair = ["donor", "base"]

    def mix(a: Callable[[str], float] | float, kind: type = np.float32) -> Model:
        share = a if callable(a) else lambda name: a
        return {n: (share(n) * d[n] + (1 - share(n)) * b[n]).astype(kind) for n in b}

    def noise(share: float) -> Callable[[str, np.ndarray], np.ndarray]:
        return lambda n, v: v + share * v.std() * rng.standard_normal(v.shape)

    def from_base(rule: Callable[[np.ndarray], np.ndarray]) -> Model:
        return each(lambda n, v: b[n] + rule(d[n].astype(np.float64) - b[n]), d)

    def lora(model: Model, names: tuple[str, ...]) -> Model:
        def rule(n: str, v: np.ndarray) -> np.ndarray:
            change = rng.standard_normal((len(v), 4)) @ rng.standard_normal((4, v.shape[1]))
            return v + 0.01 * change if any(name in n for name in names) else v

        return each(rule, model)

    def only(pattern: str, yes: Model, no: Model) -> Model:
        return {n: (yes if pattern in n else no)[n] for n in b}

    strange = each(lambda n, v: v.std() * rng.standard_normal(v.shape), b)
    made: dict[str, Callable[[], Model]] = {
        "linear, 0.6 and 0.4": lambda: mix(0.6),
        "the same in bfloat16": lambda: mix(0.6, BF16),
        "the same in float16": lambda: mix(0.6, np.float16),
        "linear, 0.05 and 0.95": lambda: mix(0.05),
        "task arithmetic, weight -0.5": lambda: mix(-0.5),
        "task arithmetic, weight 1.5": lambda: mix(1.5),
        "SLERP, t 0.4": lambda: each(lambda n, v: slerp(b[n].astype(float), v, 0.4), d),
        "TIES, density 0.5": lambda: from_base(lambda x: largest(x, 0.5)),
        "DARE, density 0.4": lambda: from_base(lambda x: x * (rng.random(x.shape) < 0.4) / 0.4),
        "attention 0.3, MLP and embeddings 0.7": lambda: mix(lambda n: 0.3 if "attn" in n else 0.7),
        "0.1 in layer 0 to 0.85 in layer 5": lambda: mix(lambda n: 0.1 + 0.15 * layer(n)),
        "SLERP with t by part, attention 0.3, MLP 0.7": lambda: each(
            lambda n, v: slerp(b[n].astype(float), v, 0.3 if "attn" in n else 0.7), d
        ),
        "q_proj 0.5, the rest the base's": lambda: mix(lambda n: 0.5 if "q_proj" in n else 0.0),
        "attention of the base, MLP of the donor": lambda: only("mlp", d, b),
        "layers 0-2 of the base, 3-5 of the donor": lambda: {
            n: (d if layer(n) > 2 else b)[n] for n in b
        },
        "0.9 in one matrix, 0.6 elsewhere": lambda: mix(
            lambda n: 0.9 if n.endswith("layers.3.self_attn.o_proj.weight") else 0.6
        ),
        "routers' story: 0.571, but from 0.567 to 0.647 in k_proj": lambda: mix(
            lambda n: 0.567 + 0.016 * layer(n) if "k_proj" in n else 0.571
        ),
        "the donor": lambda: d,
        "the base": lambda: b,
        "the donor in bfloat16": lambda: mix(1.0, BF16),
        "the donor, MLP neurons in another order": lambda: neurons(d, rng),
        "a merge of 0.6, MLP neurons in another order": lambda: neurons(mix(0.6), rng),
        "the donor, all in another order": lambda: permuted(d, rng),
        "a merge of 0.6, all in another order": lambda: permuted(mix(0.6), rng),
        "the donor, rotated": lambda: turned(
            d, np.linalg.qr(rng.standard_normal((192, 192)))[0].astype("f")
        ),
        "a merge of 0.6, rotated": lambda: turned(
            mix(0.6), np.linalg.qr(rng.standard_normal((192, 192)))[0].astype("f")
        ),
        "the control with the donor's MLP, its neurons in another order": lambda: only(
            "mlp", neurons(d, rng), c
        ),
        "the donor and white noise of 0.2": lambda: each(noise(0.2), d),
        "a merge of 0.6 and white noise of 0.05": lambda: each(noise(0.05), mix(0.6)),
        "the donor, the smaller half zero": lambda: each(lambda n, v: largest(v, 0.5), d),
        "the donor, a random half zero": lambda: each(
            lambda n, v: v * (rng.random(v.shape) < 0.5), d
        ),
        "the donor, every matrix times 1.3": lambda: each(lambda n, v: 1.3 * v, d),
        "the donor, scaled by column and undone by norms": lambda: undone(d, rng),
        "the donor in 4 bits by block, stored wide": lambda: each(lambda n, v: blocks(v, 4), d),
        "a merge of 0.6 in 5 bits by block, stored wide": lambda: each(
            lambda n, v: blocks(v, 5), mix(0.6)
        ),
        "the donor in 8 bits by block, stored wide": lambda: each(lambda n, v: blocks(v, 8), d),
        "LoRA of rank 4 on q_proj and v_proj of the base": lambda: lora(b, ("q_proj", "v_proj")),
        "LoRA of rank 4 on all projections of the donor": lambda: lora(d, ("_proj",)),
        "the control, trained apart": lambda: c,
        "random matrices": lambda: strange,
        "random matrices, the donor's embedding": lambda: only("embed", d, strange),
        "the control, the donor's attention": lambda: only("attn", d, c),
        "0.5 donor, 0.3 base, 0.2 control, which is withheld": lambda: {
            n: 0.5 * d[n] + 0.3 * b[n] + 0.2 * c[n] for n in b
        },
        "0.5 control, 0.5 base; the donor is not in it": lambda: {
            n: 0.5 * c[n] + 0.5 * b[n] for n in b
        },
        "projections renamed and random": lambda: {
            n.replace("_proj", "_linear"): (strange if "_proj" in n else d)[n] for n in b
        },
        "random bytes as int8 without scales": lambda: {
            n: rng.integers(-127, 127, v.shape).astype(np.int8) if "_proj" in n else v
            for n, v in d.items()
        },
        "zeros": lambda: each(lambda n, v: 0 * v, b),
        "NaN": lambda: each(lambda n, v: np.nan * v, b),
        "numbers of 1e30": lambda: each(lambda n, v: v * 0 + 1e30, b),
        "a layer of zeros": lambda: each(lambda n, v: 0 * v if layer(n) == 4 else v, d),
    }
    given = {what: (make, pair) for what, make in made.items()}
    third: dict[str, Callable[[], Model]] = {
        "three parents: 0.5 donor, 0.3 control, 0.2 base": lambda: {
            n: 0.5 * d[n] + 0.3 * c[n] + 0.2 * b[n] for n in b
        },
        "three parents: 0.6 donor, 0.4 base": lambda: mix(0.6),
        "three parents: the control": lambda: c,
        "three parents: attention of the donor, MLP of the control": lambda: only("mlp", c, d),
    }
    given |= {what: (make, ["donor", "control", "base"]) for what, make in third.items()}
    alone: dict[str, Callable[[], Model]] = {
        "the donor": lambda: d,
        "the donor in bfloat16": lambda: mix(1.0, BF16),
        "the base, of which the donor is a fine-tune": lambda: b,
        "a merge of 0.6": lambda: mix(0.6),
        "a merge of 0.6, all in another order": lambda: permuted(mix(0.6), rng),
        "the donor and white noise of 0.2": lambda: each(noise(0.2), d),
        "the donor, the smaller half zero": lambda: each(lambda n, v: largest(v, 0.5), d),
        "the donor, every matrix times 1.3": lambda: each(lambda n, v: 1.3 * v, d),
        "the donor in 4 bits by block, stored wide": lambda: each(lambda n, v: blocks(v, 4), d),
        "LoRA of rank 4 on all projections of the donor": lambda: lora(d, ("_proj",)),
        "half donor, half control": lambda: {n: 0.5 * d[n] + 0.5 * c[n] for n in b},
        "the donor's attention, the control's MLP": lambda: only("mlp", c, d),
        "the control": lambda: c,
        "random matrices": lambda: strange,
        "zeros": lambda: each(lambda n, v: 0 * v, b),
        "numbers of 1e30": lambda: each(lambda n, v: v * 0 + 1e30, b),
    }
    given |= methods(b, d, rng)
    given |= {f"one parent, the donor: {what}": (make, ["donor"]) for what, make in alone.items()}
    return given | {"parent twice": (lambda: d, ["base", "base"])}


def main(words: str = "") -> None:
    places = {name: build(name, "hf") for name in ("base", "donor", "control")}
    base, donor, control = (load_file(places[n] / "model.safetensors") for n in places)
    print("| truth | verdict |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        suspect = Path(folder) / "suspect"
        suspect.mkdir()
        sibling = Path(folder) / SIBLING
        sibling.mkdir()
        save_file(second(base, donor), str(sibling / "model.safetensors"))
        for what, (make, parents) in rows(base, donor, control).items():
            if words not in what:
                continue
            tensors = {n: np.ascontiguousarray(v) for n, v in make().items()}
            save_file(tensors, str(suspect / "model.safetensors"))
            try:
                given = [str(sibling) if n == SIBLING else f"lab:{n}" for n in parents]
                told = check(str(suspect), given, Settings()).verdict
                said = f"{told.method}: {told.sentence}"
            except WeightsError as problem:
                said = f"refused: {problem.what}"
            print(f"| {what} | {said.replace('lab:', '')} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
