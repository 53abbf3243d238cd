"""The invariants of attention on the lab's models: who is related, who is not, who is disguised;
and how often another order of rows is believed of matrices that never met.

usage: python benchmarks/invariants.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from harness.lab import build
from harness.weights import orders
from harness.weights.checkpoint import open_checkpoint
from harness.weights.invariants import kinships

Model = dict[str, np.ndarray]
HEADS, SIZE, LAYERS = 3, 64, 6


def turned(model: Model, hidden: np.ndarray) -> Model:
    """The hidden dimensions turned by an orthogonal matrix; gains of norms are folded in first.

    The output matrix of the lab is its embedding, so the model would have to be untied to run.
    """
    made = dict(model)
    for name, value in model.items():
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            gain = model[name.split("self_attn")[0] + "input_layernorm.weight"]
            made[name] = value * gain @ hidden
        elif name.endswith(("gate_proj.weight", "up_proj.weight")):
            gain = model[name.split("mlp")[0] + "post_attention_layernorm.weight"]
            made[name] = value * gain @ hidden
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            made[name] = hidden.T @ value
        elif "embed" in name:
            made[name] = value @ hidden
        elif "layernorm" in name:
            made[name] = np.ones_like(value)
    return made


def permuted(model: Model, rng: np.random.Generator) -> Model:
    """Hidden dimensions, heads and neurons in another order: the same function."""
    order = rng.permutation(len(model["model.norm.weight"]))
    made = {}
    for name, value in model.items():
        if value.ndim == 1 or name.endswith(("o_proj.weight", "down_proj.weight")):
            value = value[order]
        else:
            value = value[:, order]
        made[name] = value
    for layer in range(1 + max(int(n.split(".")[2]) for n in model if ".layers." in n)):
        at = f"model.layers.{layer}."
        heads = rng.permutation(HEADS)
        rows = (heads[:, None] * SIZE + np.arange(SIZE)).reshape(-1)
        neurons = rng.permutation(len(made[f"{at}mlp.up_proj.weight"]))
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
            made[f"{at}{name}.weight"] = made[f"{at}{name}.weight"][rows]
        made[f"{at}self_attn.o_proj.weight"] = made[f"{at}self_attn.o_proj.weight"][:, rows]
        reorder(made, layer, neurons)
    return made


def reorder(model: Model, layer: int, neurons: np.ndarray) -> None:
    """Put the neurons of a layer in another order, in place."""
    at = f"model.layers.{layer}.mlp."
    for name in ("gate_proj", "up_proj"):
        model[f"{at}{name}.weight"] = model[f"{at}{name}.weight"][neurons]
    model[f"{at}down_proj.weight"] = model[f"{at}down_proj.weight"][:, neurons]


def noisy(model: Model, share: float, rng: np.random.Generator) -> Model:
    """Every matrix with noise of a share of its own spread."""
    return {
        n: (v + share * v.std() * rng.standard_normal(v.shape)).astype("f") if v.ndim > 1 else v
        for n, v in model.items()
    }


def cases(models: dict[str, Model], rng: np.random.Generator) -> dict[str, Callable[[], Model]]:
    base, donor, control = (models[name] for name in ("base", "donor", "control"))
    merge = {n: (0.6 * donor[n] + 0.4 * base[n]).astype("f") for n in base}
    rotation = np.linalg.qr(rng.standard_normal((192, 192)))[0].astype("f")
    strangers = {
        f"random matrices, draw {n}": lambda: {
            name: (v.std() * rng.standard_normal(v.shape)).astype("f") if v.ndim > 1 else v
            for name, v in base.items()
        }
        for n in range(3)
    }
    return {
        "the control, trained apart": lambda: control,
        "the control, permuted": lambda: permuted(control, rng),
        **strangers,
        "the donor's embedding, all else the control's": lambda: {
            n: donor[n] if "embed" in n else v for n, v in control.items()
        },
        "the donor": lambda: donor,
        "the donor, permuted": lambda: permuted(donor, rng),
        "the donor, rotated": lambda: turned(donor, rotation),
        "the donor, permuted, noise of 0.3": lambda: permuted(noisy(donor, 0.3, rng), rng),
        "the donor, permuted, noise of 1": lambda: permuted(noisy(donor, 1, rng), rng),
        "the merge, permuted": lambda: permuted(merge, rng),
    }


def halves(embedding: np.ndarray) -> list[np.ndarray]:
    e = orders.unit(embedding - embedding.mean(axis=0))
    return [e[::2].T, e[1::2].T]


def strangers(
    models: dict[str, Model], rng: np.random.Generator
) -> dict[str, list[tuple[Model, int, Model, int]]]:
    """Pairs of layers that have nothing of one another: (model, layer, model, layer)."""
    base, donor, control = (models[name] for name in ("base", "donor", "control"))

    def drawn() -> Model:
        return {n: rng.standard_normal(v.shape).astype("f") for n, v in base.items()}

    layers, relatives = range(LAYERS), (base, donor)
    return {
        "random": [(drawn(), n, drawn(), n) for _ in range(5) for n in layers],
        "trained apart": [
            (control, i, one, j) for one in relatives for i in layers for j in layers
        ],
        "other layers of a relative": [
            (a, i, b, j)
            for a in relatives
            for b in relatives
            for i in layers
            for j in layers
            if i != j
        ],
    }


def relatives(models: dict[str, Model], rng: np.random.Generator) -> list[tuple[Model, Model]]:
    base, donor = models["base"], models["donor"]
    merge = {n: (0.6 * donor[n] + 0.4 * base[n]).astype("f") for n in base}
    return [
        (one, permuted(two, rng)) for one, two in ((base, donor), (donor, base), (donor, merge))
    ]


def neurons_of(a: Model, i: int, b: Model, j: int) -> orders.Twice:
    names = ("gate_proj", "up_proj")
    return orders.twice(
        [a[f"model.layers.{i}.mlp.{name}.weight"] for name in names],
        [b[f"model.layers.{j}.mlp.{name}.weight"] for name in names],
    )


def heads_of(a: Model, i: int, b: Model, j: int) -> list[orders.Paired]:
    return [
        orders.paired(
            *(
                orders.unit(m[f"model.layers.{n}.self_attn.{p}_proj.weight"])
                for m, n in ((a, i), (b, j))
            )
        )
        for p in "qkv"
    ]


def false_alarms(models: dict[str, Model], rng: np.random.Generator) -> None:
    print("\nanother order, believed of layers that have nothing of one another")
    print(
        f"{'pairs of layers':30} {'':20} {'believed':>12} {'median cosine, largest':>24} "
        f"{'found twice':>12} {'p < 0.05':>9}"
    )
    for what, pairs in strangers(models, rng).items():
        found = [neurons_of(*pair) for pair in pairs]
        hits, n = sum(one.believed for one in found), len(found)
        print(
            f"{what:30} {'MLP neurons':20} {hits:>5} of {n:>3} "
            f"{max(one.paired.typical for one in found):>24.3f} "
            f"{100 * max(one.agree for one in found):>10.1f} % "
            f"{100 * np.mean([one.p_log10 < np.log10(0.05) for one in found]):>7.1f} %"
        )
        rows = [one for pair in pairs for one in heads_of(*pair)]
        hits = sum(one.typical >= orders.ALIKE for one in rows)
        print(
            f"{what:30} {'rows of q, k, v':20} {hits:>5} of {len(rows):>3} "
            f"{max(one.typical for one in rows):>24.3f}"
        )
    e = "model.embed_tokens.weight"
    control = models["control"]
    apart = [(models["base"], control), (models["donor"], control)]
    for what, pairs in (("trained apart", apart), ("relatives, permuted", relatives(models, rng))):
        for a, b in pairs:
            order = orders.twice(halves(a[e]), halves(b[e]))
            turn = orders.turn([a[e].astype(float)], b[e].astype(float))
            print(
                f"{what:30} {'hidden dimensions':20} {order.believed:>5} of   1 "
                f"{order.paired.typical:>24.3f} {100 * order.agree:>10.1f} %"
            )
            print(f"{what:30} {'rotation':20} {turn.believed:>5} of   1 {turn.cosine:>24.3f}")


def main() -> None:
    places = {name: build(name, "hf") for name in ("base", "donor", "control")}
    models = {name: load_file(place / "model.safetensors") for name, place in places.items()}
    parents = [open_checkpoint(str(places[name])) for name in ("donor", "base")]
    rng = np.random.default_rng(0)
    print(f"{'suspect':48} {'M_a donor':>10} {'base':>7} {'M_b donor':>10} {'base':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in cases(models, rng).items():
            place = Path(folder) / "model.safetensors"
            save_file({n: np.ascontiguousarray(v) for n, v in make().items()}, str(place))
            d, b = kinships(open_checkpoint(str(place)), parents)
            print(
                f"{name:48} {d.query_key:10.3f} {b.query_key:7.3f} "
                f"{d.value_output:10.3f} {b.value_output:7.3f}"
            )
    false_alarms(models, rng)


if __name__ == "__main__":
    main()
