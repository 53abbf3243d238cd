"""A model in another order is not acquitted, and a stranger not convicted."""

from __future__ import annotations

import numpy as np
import pytest

from harness.weights.checkpoint import open_checkpoint
from harness.weights.invariants import kinships
from tests.weights.models import BASE, DONOR, HIDDEN, LAYERS, checked, drawn, mixed, saved, tuned

LEFT = ("o_proj.weight", "down_proj.weight")


def permuted(model, seed=1):
    """The same function: hidden dimensions and neurons in another order."""
    rng = np.random.default_rng(seed)
    order, made = rng.permutation(HIDDEN), {}
    for name, value in model.items():
        made[name] = value[order] if value.ndim == 1 or name.endswith(LEFT) else value[:, order]
    for layer in range(LAYERS):
        at = f"model.layers.{layer}.mlp."
        neurons = rng.permutation(len(made[f"{at}up_proj.weight"]))
        for name in ("gate_proj", "up_proj"):
            made[f"{at}{name}.weight"] = made[f"{at}{name}.weight"][neurons]
        made[f"{at}down_proj.weight"] = made[f"{at}down_proj.weight"][:, neurons]
    return {name: np.ascontiguousarray(value) for name, value in made.items()}


def rotated(model, seed=2):
    """Hidden dimensions turned, with the gains of norms folded into what follows them."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(HIDDEN, HIDDEN)))[0]
    made = {}
    for name, value in model.items():
        wide = value.astype(np.float64)
        if wide.ndim == 1:
            made[name] = np.ones_like(value) if "input_layernorm" in name else value
            continue
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            gain = model[name.split("self_attn")[0] + "input_layernorm.weight"]
            wide = wide * gain.astype(np.float64)
        turned = turn.T @ wide if name.endswith(LEFT) else wide @ turn
        made[name] = turned.astype(np.float32)
    return made


def blended():
    return mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)


#: What was done, the method, and words of the sentence.
CASES = {
    "the donor, permuted": (
        lambda: permuted(DONOR),
        "donor itself",
        "the same to the bit, once its hidden dimensions and MLP neurons are put in",
    ),
    "the donor, rotated": (
        lambda: rotated(DONOR),
        "donor itself",
        "up to the arithmetic of turning, once its hidden dimensions are turned back",
    ),
    "a merge, permuted": (
        lambda: permuted(blended()),
        "linear merge",
        "0.600 donor + 0.400 base, exact to the rounding of its stored type in 100 % of its "
        "numbers, once its hidden dimensions and MLP neurons are put in the parents' order.",
    ),
    "a merge, rotated": (
        lambda: rotated(blended()),
        "linear merge",
        "0.600 donor + 0.400 base, exact as far as turning shows",
    ),
    "a fine-tune of the donor, permuted": (
        lambda: permuted(tuned(DONOR, 4, 0.005)),
        "fine-tune of the donor",
        "it was made from donor (trained further, quantised or otherwise changed), once its",
    ),
    "a stranger": (lambda: drawn(7), "not related", "and not by the invariants"),
    "a stranger, permuted": (lambda: permuted(drawn(8)), "not related", "and not by"),
    "a stranger without attention that is known": (
        lambda: {n.replace("self_attn", "attn_x"): v for n, v in drawn(7).items()},
        "cannot tell",
        "under names that are known",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_disguise_is_seen_and_strangers_are_acquitted(case, parents, tmp_path):
    make, method, said = CASES[case]
    if "known" in case:
        parents = [
            str(saved(tmp_path / n, {k.replace("self_attn", "attn_x"): v for k, v in m.items()}))
            for n, m in (("donor", DONOR), ("base", BASE))
        ]
    told = checked(tmp_path, make(), parents).verdict
    assert told.method == method and said in told.sentence, told.sentence


def test_the_lab_s_control_is_apart_and_its_donor_the_base_s_relative():
    base, donor, control = (open_checkpoint(f"lab:{n}") for n in ("base", "donor", "control"))
    assert all(one.apart for one in kinships(control, [donor, base]))
    same, near = kinships(donor, [donor, base])
    assert same.least > 0.9999 and 0.8 < near.least < 0.95


def test_heads_of_keys_that_query_heads_share_are_followed(tmp_path):
    rng = np.random.default_rng(0)
    names = {"q": (256, 32), "k": (128, 32), "v": (128, 32), "o": (32, 256)}
    model = {"model.embed_tokens.weight": rng.normal(size=(64, 32)).astype(np.float32)}
    for p, shape in names.items():
        model[f"model.layers.0.self_attn.{p}_proj.weight"] = rng.normal(size=shape).astype("f")
    order = rng.permutation(32)
    moved = {
        n: np.ascontiguousarray(v[order] if "o_proj" in n else v[:, order])
        for n, v in model.items()
    }
    places = [saved(tmp_path / n, m) for n, m in (("model", model), ("moved", moved))]
    one, other = (open_checkpoint(str(place)) for place in places)
    assert kinships(other, [one])[0].least == pytest.approx(1, abs=1e-5)
