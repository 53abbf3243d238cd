"""Rows and columns in another order are put back; what never met stays unrelated."""

from __future__ import annotations

import numpy as np
import pytest

from harness.weights import orders
from tests.weights.models import BASE, BF16, DONOR, LAYERS, checked, drawn, mixed, saved

EXPERTS, HIDDEN, WIDE = 6, 64, 24


def reordered(model, layers, share=1.0, seed=3):
    """The neurons of some MLPs in another order, or a share of them."""
    rng, made = np.random.default_rng(seed), dict(model)
    for layer in layers:
        at = f"model.layers.{layer}.mlp."
        order = np.arange(len(model[f"{at}up_proj.weight"]))
        some = rng.permutation(len(order))[: round(share * len(order))]
        order[some] = np.roll(some, 1)
        for name in ("gate_proj", "up_proj"):
            made[f"{at}{name}.weight"] = model[f"{at}{name}.weight"][order]
        down = model[f"{at}down_proj.weight"]
        made[f"{at}down_proj.weight"] = np.ascontiguousarray(down[:, order])
    return made


def heads_reordered(model, size=16):
    """The heads of attention in another order."""
    rng, made = np.random.default_rng(4), dict(model)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}.self_attn."
        heads = rng.permutation(HIDDEN // size)
        rows = (heads[:, None] * size + np.arange(size)).reshape(-1)
        for p in "qkv":
            made[f"{at}{p}_proj.weight"] = model[f"{at}{p}_proj.weight"][rows]
        out = model[f"{at}o_proj.weight"]
        made[f"{at}o_proj.weight"] = np.ascontiguousarray(out[:, rows])
    return made


def blended(donor=DONOR, base=BASE):
    return mixed(lambda d, b: 0.6 * d + 0.4 * b, donor, base)


def replaced(model, other, word):
    return {name: (other if word in name else model)[name] for name in model}


#: What was done, the method, words of the sentence, and words of the evidence.
CASES = {
    "neurons of one layer": (
        lambda: reordered(blended(), [2]),
        "linear merge",
        "100 % of its numbers, once its MLP neurons are put in the parents' order.",
        "100 % of pairs found twice (Spearman's p below 1e-300)",
    ),
    "a fifth of the neurons": (
        lambda: reordered(blended(), range(LAYERS), share=0.2),
        "linear merge",
        "once its MLP neurons are put",
        "MLP neurons: median cosine",
    ),
    "heads": (
        lambda: heads_reordered(blended()),
        "linear merge",
        "once its attention heads are put in the parents' order.",
        "attention heads: median cosine",
    ),
    "a stranger with the donor's MLP, its neurons in another order": (
        lambda: replaced(drawn(7), reordered(DONOR, range(LAYERS)), "mlp"),
        "different parts",
        "mlp: donor itself, exact to rounding; embeddings, attention and lm_head related to no",
        "MLP neurons: median cosine 1.000",
    ),
    "a stranger": (
        lambda: drawn(7),
        "not related",
        "nor in another order of its rows and columns.",
        "no other order of rows and columns was found: hidden dimensions by the embeddings",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_order_is_put_back_and_the_ratio_told(case, parents, tmp_path):
    make, method, said, seen = CASES[case]
    told = checked(tmp_path, make(), parents).verdict
    assert told.method == method and said in told.sentence, told.sentence
    assert any(seen in line for line in told.evidence), told.evidence


def test_a_sample_says_that_no_order_was_looked_for(parents, tmp_path):
    told = checked(tmp_path, reordered(blended(), range(LAYERS)), parents, sample=0.5).verdict
    assert any("was not tried: that takes whole matrices" in line for line in told.limits)
    assert "parents' order" not in told.sentence


def experts(seed, near=None):
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (100, HIDDEN)}
    for layer in range(2):
        at = f"model.layers.{layer}.mlp"
        shapes[f"{at}.gate.weight"] = (EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            for part in ("gate_proj", "up_proj"):
                shapes[f"{at}.experts.{expert}.{part}.weight"] = (WIDE, HIDDEN)
            shapes[f"{at}.experts.{expert}.down_proj.weight"] = (HIDDEN, WIDE)
    return {
        n: (
            0.05 * rng.normal(size=s) if near is None else near[n] + 0.01 * rng.normal(size=s)
        ).astype(np.float32)
        for n, s in shapes.items()
    }


@pytest.mark.parametrize("stacks", [False, True])
def test_experts_are_put_back_by_their_router(stacks, tmp_path):
    base = experts(1)
    donor = experts(2, base)
    suspect = dict(blended(donor, base))
    for layer in range(2):
        at, order = f"model.layers.{layer}.mlp", np.roll(np.arange(EXPERTS), layer + 1)
        moved = dict(suspect)
        suspect[f"{at}.gate.weight"] = moved[f"{at}.gate.weight"][order]
        for expert, old in enumerate(order):
            for part in ("gate_proj", "up_proj", "down_proj"):
                name = f"{at}.experts.{{}}.{part}.weight"
                suspect[name.format(expert)] = moved[name.format(old)]
    models = [suspect, donor, base]
    if stacks:
        models = [stacked(model) for model in models]
    places = [saved(tmp_path / n, m) for n, m in zip(("s", "donor", "base"), models, strict=True)]
    told = checked(tmp_path, models[0], [str(place) for place in places[1:]]).verdict
    assert told.method == "linear merge", told.sentence
    assert "0.600 donor" in told.sentence and "once its experts are put" in told.sentence


def stacked(model):
    """All experts of a layer in one tensor."""
    made = {name: value for name, value in model.items() if ".experts." not in name}
    for layer in range(2):
        at = f"model.layers.{layer}.mlp.experts"
        for part in ("gate_proj", "up_proj", "down_proj"):
            parts = [model[f"{at}.{expert}.{part}.weight"] for expert in range(EXPERTS)]
            made[f"{at}.{part}"] = np.stack(parts)
    return made


def test_rows_that_are_too_many_to_assign_are_paired_with_their_nearest(monkeypatch):
    rng = np.random.default_rng(0)
    rows, order = orders.unit(rng.normal(size=(300, 32))), rng.permutation(300)
    whole = orders.paired(rows, rows[order])
    monkeypatch.setattr(orders, "AT_ONCE", 100)
    near = orders.paired(rows, rows[order])
    assert (whole.order == np.argsort(order)).all() and (near.order == whole.order).all()
    strangers = orders.paired(rows, orders.unit(rng.normal(size=(300, 32))))
    assert sorted(strangers.order) == list(range(300)) and strangers.typical < orders.ALIKE


def test_two_halves_of_the_evidence_agree_only_where_an_order_is_there():
    rng = np.random.default_rng(1)
    theirs = [rng.normal(size=(200, 40)) for _ in range(2)]
    order = rng.permutation(200)
    same = orders.twice(theirs, [one[order] + 0.3 * rng.normal(size=(200, 40)) for one in theirs])
    apart = orders.twice(theirs, [rng.normal(size=(200, 40)) for _ in range(2)])
    assert same.believed and same.agree > 0.95 and same.p_log10 < -50
    assert not apart.believed and apart.agree < 0.05 and apart.p_log10 > -4


def test_a_rotation_and_a_blend_are_found_together():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(400, 32))
    donor = base + 0.2 * rng.normal(size=base.shape)
    turned = np.linalg.qr(rng.normal(size=(32, 32)))[0]
    found = orders.turn([donor, base], (0.3 * donor + 0.7 * base) @ turned)
    assert found.shares == pytest.approx((0.3, 0.7), abs=1e-4) and found.cosine > 0.9999
    assert np.abs(found.matrix - turned).max() < 1e-4
    assert not orders.turn([donor, base], rng.normal(size=base.shape)).believed


def test_what_was_rounded_is_put_back_to_the_bit(tmp_path):
    made = {n: v.astype(np.float32).astype(BF16) for n, v in reordered(DONOR, [0, 3]).items()}
    places = [str(saved(tmp_path / n, m)) for n, m in (("donor", DONOR), ("base", BASE))]
    told = checked(tmp_path, made, places).verdict
    assert told.method == "donor itself" and "the same to the bit, once its MLP" in told.sentence
