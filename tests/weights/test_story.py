"""The first line says no more than the numbers do: no wrong acquittal, no wrong conviction."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import WeightsError
from harness.weights import Settings, check, search
from tests.weights.models import (
    BASE,
    BF16,
    DONOR,
    LAYERS,
    SIBLING,
    checked,
    drawn,
    mixed,
    saved,
    tuned,
)


def blend(share, donor=DONOR, base=BASE):
    """A linear merge whose share of the donor depends on the name."""
    made = {}
    for name, d in donor.items():
        a = share(name)
        made[name] = (a * d.astype(np.float64) + (1 - a) * base[name].astype(np.float64)).astype(
            d.dtype
        )
    return made


def layer_of(name):
    found = re.search(r"layers\.(\d+)\.", name)
    return int(found[1]) if found else 0


def parts(attention, mlp, rest):
    return lambda name: attention if "attn" in name else mlp if "mlp" in name else rest


def shuffled(model, seed=3):
    """The same function: the neurons of each MLP in another order."""
    rng, made = np.random.default_rng(seed), dict(model)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}.mlp."
        order = rng.permutation(len(model[f"{at}up_proj.weight"]))
        for name in ("gate_proj", "up_proj"):
            made[f"{at}{name}.weight"] = model[f"{at}{name}.weight"][order]
        down = model[f"{at}down_proj.weight"]
        made[f"{at}down_proj.weight"] = np.ascontiguousarray(down[:, order])
    return made


def replaced(model, other, pattern):
    return {n: other[n] if re.search(pattern, n) else v for n, v in model.items()}


def renamed(model):
    """The projections under other names, and random: only the rest can be compared."""
    stranger = drawn(7)
    return {n.replace("_proj", "_linear"): (stranger if "_proj" in n else model)[n] for n in model}


def thirds_cut(model):
    """A third of the neurons cut out, and of the heads."""
    made = dict(model)
    for name, value in model.items():
        if "mlp" in name:
            made[name] = value[:64] if "down" not in name else np.ascontiguousarray(value[:, :64])
        elif "attn" in name:
            made[name] = np.ascontiguousarray(value[:40])
    return made


def zeros(model, pattern=""):
    return {n: np.zeros_like(v) if re.search(pattern, n) else v for n, v in model.items()}


def nans(model):
    return {n: np.full_like(v, np.nan) for n, v in model.items()}


def noised(model, share=0.1):
    """White noise of a share of each matrix's spread."""
    rng, made = np.random.default_rng(4), {}
    for name, value in model.items():
        wide = value.astype(np.float32)
        noise = share * wide.std() * rng.standard_normal(wide.shape) if wide.ndim > 1 else 0
        made[name] = (wide + noise).astype(np.float32)
    return made


def in_blocks(model, bits=4):
    """Quantised with a scale for every 32 numbers, and stored wide."""
    made = {}
    for name, value in model.items():
        if value.ndim == 1:
            made[name] = value
            continue
        blocks = value.astype(np.float32).reshape(-1, 32)
        step = np.abs(blocks).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        made[name] = (np.rint(blocks / step) * step).reshape(value.shape).astype(BF16)
    return made


def pruned(model):
    """The smaller half of each matrix set to zero."""
    return {
        n: np.where(np.abs(v) < np.median(np.abs(v)), 0, v).astype(v.dtype) if v.ndim > 1 else v
        for n, v in model.items()
    }


def scaled(model):
    """Rows of what writes scaled up, columns of what reads from there scaled down."""
    rng, made = np.random.default_rng(5), dict(model)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}.mlp."
        factor = rng.uniform(0.5, 2, len(model[f"{at}up_proj.weight"])).astype(np.float32)
        for name, by in (("up_proj", factor[:, None]), ("down_proj", 1 / factor)):
            key = f"{at}{name}.weight"
            made[key] = (model[key].astype(np.float32) * by).astype(BF16)
    return made


#: What was done: the method, and the words that the sentence has to hold.
CASES = {
    "renamed and random": (lambda: renamed(DONOR), "cannot tell", ["too little of suspect"]),
    "a third cut out": (lambda: thirds_cut(DONOR), "cannot tell", ["too little of suspect"]),
    "a merge, its neurons in another order": (
        lambda: shuffled(blend(lambda n: 0.6)),
        "linear merge",
        ["0.600 donor + 0.400 base", "once its MLP neurons are put in the parents' order"],
    ),
    "only q_proj": (
        lambda: blend(lambda n: 0.5 if "q_proj" in n else 0.0),
        "different parts",
        ["q_proj of all layers: 0.5", "all others: base itself"],
    ),
    "attention of one, MLP of the other": (
        lambda: replaced(BASE, DONOR, "mlp"),
        "different parts",
        ["mlp: donor itself", "attention and lm_head: base itself"],
    ),
    "two ratios": (
        lambda: blend(parts(0.3, 0.7, 0.7)),
        "different parts",
        ["attention: 0.30", "mlp and lm_head: 0.70"],
    ),
    "a ratio that grows": (
        lambda: blend(lambda n: 0.1 + 0.2 * layer_of(n)),
        "different parts",
        ["layer 0: 0.1", "layer 3: 0.70"],
    ),
    "a layer apart": (
        lambda: blend(lambda n: 0.9 if "layers.2.mlp.up" in n else 0.6),
        "different parts",
        ["0.600 donor + 0.400 base in all but layers.2.mlp.up_proj.weight (0.90"],
    ),
    "below nothing": (
        lambda: blend(lambda n: -0.5),
        "task arithmetic",
        ["base plus -0.500 times the difference of donor"],
    ),
    "zeros": (lambda: zeros(BASE), "no working weights", ["zeros"]),
    "NaN": (lambda: nans(BASE), "no working weights", ["NaN"]),
    "one layer of zeros": (
        lambda: zeros(DONOR, r"layers\.1\.(mlp|self)"),
        "different parts",
        ["layer 1 without weights: zeros", "donor itself"],
    ),
    "a stranger with the donor's embedding": (
        lambda: replaced(drawn(7), DONOR, "embed"),
        "different parts",
        ["embeddings: donor itself", "related to no parent's, tensor by tensor"],
    ),
    "a fine-tune whose embedding was frozen": (
        lambda: replaced(tuned(DONOR, 5), DONOR, "embed|lm_head"),
        "fine-tune of the donor",
        ["made from donor", "embeddings and lm_head of it are donor's own"],
    ),
    "a fine-tune with one blended projection": (
        lambda: replaced(tuned(BASE, 5), blend(lambda n: 0.5), "q_proj"),
        "different parts",
        ["q_proj of all layers: 0.5", "does not point towards donor"],
    ),
    "the donor and noise": (
        lambda: noised(DONOR),
        "noise on a parent",
        ["suspect is donor plus white noise", "(10 % of"],
    ),
    "a merge and noise": (
        lambda: noised(blend(lambda n: 0.6), 0.03),
        "noise on a merge",
        ["0.6", "white noise", "(3 % of"],
    ),
    "four bits in blocks, stored wide": (
        lambda: in_blocks(DONOR),
        "quantised copy",
        ["suspect is donor, quantised and stored wide"],
    ),
    "a merge in five bits, stored wide": (
        lambda: in_blocks(blend(lambda n: 0.6), 5),
        "linear merge, changed afterwards",
        ["0.6", "quantised afterwards and stored wide"],
    ),
    "two ratios, trained further": (
        lambda: tuned(blend(parts(0.2, 0.8, 0.8)), 6, 0.002),
        "different parts",
        ["nowhere exactly", "0.2", "in attention", "0.8", "in mlp"],
    ),
    "a parent that is not given": (
        lambda: mixed(lambda d, b, x: 0.5 * d + 0.3 * b + 0.2 * x, DONOR, BASE, drawn(7)),
        "merge with an unknown part",
        ["0.50 donor + 0.30 base", "do not explain"],
    ),
    "half of the weights zero": (
        lambda: pruned(DONOR),
        "pruned copy",
        ["donor with 50 % of its weights set to zero"],
    ),
    "scaled neurons": (
        lambda: scaled(DONOR),
        "different parts",
        ["donor with its matrices scaled, by column and row", "donor itself"],
    ),
    "the donor but for its norms": (
        lambda: replaced(DONOR, tuned(BASE, 9), "norm"),
        "donor itself",
        ["all matrices of suspect are those of donor", "4 of its vectors"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sentence_holds(case, parents, tmp_path):
    make, method, said = CASES[case]
    told = checked(tmp_path, make(), parents).verdict
    assert told.method == method, told.sentence
    for words in said:
        assert words in told.sentence, told.sentence
    assert told.evidence[0].startswith("compared: ")


def test_a_ratio_that_grows_through_many_layers_is_told_from_end_to_end(tmp_path):
    rng = np.random.default_rng(0)
    base = {
        f"model.layers.{n}.{what}.weight": rng.normal(size=(32, 32)).astype(np.float32)
        for n in range(8)
        for what in ("self_attn.q_proj", "mlp.up_proj")
    }
    donor = tuned(base, 1)
    places = [str(saved(tmp_path / n, m)) for n, m in (("donor", donor), ("base", base))]
    made = blend(lambda n: 0.1 * (1 + layer_of(n)), donor, base)
    told = checked(tmp_path, made, places).verdict.sentence
    assert "from 0.100 donor + 0.900 base in layer 0 to 0.800 donor + 0.200 base in layer 7" in told


def test_integers_without_scales_are_not_compared_and_count(parents, tmp_path):
    model = dict(DONOR)
    rng = np.random.default_rng(0)
    for name, value in DONOR.items():
        if "proj" in name:
            model[name] = rng.integers(-127, 127, value.shape).astype(np.int8)
    told = checked(tmp_path, model, parents)
    assert told.verdict.method == "cannot tell" and "too little" in told.verdict.sentence
    assert told.matched.compared.matrices == 2


def test_integers_with_scales_by_row_are_read(parents, tmp_path):
    model = {}
    for name, value in DONOR.items():
        if "proj" not in name:
            model[name] = value
            continue
        wide = value.astype(np.float32)
        scale = (np.abs(wide).max(axis=1, keepdims=True) / 127).astype(np.float32)
        model[name] = np.rint(wide / scale).astype(np.int8)
        model[f"{name}_scale"] = scale
    told = checked(tmp_path, model, parents)
    assert told.matched.compared.least == 1
    assert (
        told.verdict.method == "quantised copy" and "is donor, quantised" in told.verdict.sentence
    )


def test_blocks_of_four_bits_are_refused_by_name(parents, tmp_path):
    model = dict(DONOR) | {"model.layers.0.mlp.experts.up_proj_blocks": np.ones((4, 16), np.uint8)}
    with pytest.raises(WeightsError, match="MXFP4"):
        checked(tmp_path, model, parents)


def test_a_parent_given_twice_is_told(parents, tmp_path):
    suspect = str(saved(tmp_path / "suspect", DONOR))
    with pytest.raises(WeightsError, match="given twice"):
        check(suspect, [parents[0], parents[0] + "/."], Settings())
    copy = str(saved(tmp_path / "copy", DONOR))
    told = check(suspect, [parents[0], copy], Settings()).verdict
    assert told.method == "cannot tell" and "hold the same numbers" in told.sentence
    told = checked(tmp_path, SIBLING, [parents[0], copy]).verdict
    assert told.method == "cannot tell" and "differs from both" in told.sentence


def test_a_change_where_the_parents_agree_is_told(tmp_path):
    donor = replaced(DONOR, BASE, "mlp")
    places = [str(saved(tmp_path / n, m)) for n, m in (("donor", donor), ("base", BASE))]
    told = checked(tmp_path, replaced(donor, drawn(7), "mlp"), places).verdict
    assert told.method == "different parts" and "mlp changed where the parents are the same" in (
        told.sentence
    )


def test_the_suspect_is_not_its_own_parent_however_its_path_is_written(tmp_path):
    folder = tmp_path / "candidates"
    suspect = blend(lambda n: 0.3)
    for name, model in (("suspect", suspect), ("base", BASE), ("donor", DONOR)):
        saved(folder / name, model)
    written = str(folder / ".." / "candidates" / "suspect")
    assert set(search.best_pair(written, folder)[0].labels) == {"base", "donor"}


def test_numbers_whose_squares_have_no_value_are_one_message(parents, tmp_path):
    model = {n: np.full(v.shape, 1e30).astype(BF16) for n, v in BASE.items()}
    place = str(saved(tmp_path / "suspect", model))
    done = CliRunner().invoke(main, ["weights", place, "--parents", *parents])
    assert done.exit_code == 2 and "so large that their squares" in done.stderr
