"""One parent alone is a question of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import main
from tests.weights.models import BASE, DONOR, checked, drawn, mixed, saved
from tests.weights.test_aligned import reordered
from tests.weights.test_methods import with_adapter
from tests.weights.test_story import in_blocks, noised, pruned, zeros


def wide(model):
    return {name: value.astype(np.float32) for name, value in model.items()}


def scaled(model):
    return {n: 1.3 * v if v.ndim > 1 else v for n, v in wide(model).items()}


def lora():
    rng = np.random.default_rng(9)
    return {name: with_adapter(value, rng).astype("f") for name, value in wide(DONOR).items()}


#: What was done, the method, and words of the sentence.
CASES = {
    "the same": (lambda: DONOR, "the same weights", "the same numbers as donor, to the bit."),
    "stored narrower": (
        lambda: {n: v.astype(np.float16).astype("f") * (1 + 2**-12) for n, v in DONOR.items()},
        "quantised copy",
        "is donor, rounded to another type.",
    ),
    "a relative": (lambda: BASE, "fine-tuned from", "of one origin"),
    "a merge": (
        lambda: mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE),
        "fine-tuned from",
        "tuned or merged from the other, or both from a third",
    ),
    "neurons in another order": (
        lambda: reordered(DONOR, range(4)),
        "the same weights",
        "to the bit, once its MLP neurons are put in the parents' order.",
    ),
    "noise": (lambda: noised(DONOR), "noise on a parent", "is donor plus white noise of"),
    "half zero": (lambda: pruned(DONOR), "pruned copy", "with 50 % of its weights set to zero"),
    "scaled": (lambda: scaled(DONOR), "scaled copy", "factors from 1.3 to 1.3"),
    "on a grid": (lambda: in_blocks(DONOR), "quantised copy", "quantised and stored wide"),
    "a LoRA": (lora, "LoRA on the donor", "a change of rank 4 apart"),
    "half a stranger": (
        lambda: mixed(lambda d, s: 0.5 * d + 0.5 * s, DONOR, drawn(7)),
        "cannot tell",
        "holds 0.50 times donor and more that donor does not explain",
    ),
    "a stranger": (lambda: drawn(7), "not related", "and not by the invariants"),
    "parts": (
        lambda: {n: (drawn(7) if "mlp" in n else DONOR)[n] for n in DONOR},
        "different parts",
        "mlp: not related to donor's, tensor by tensor",
    ),
    "zeros": (lambda: zeros(DONOR), "no working weights", "no weights of a model that works"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_parent_is_the_same_or_related_or_not(case, parents, tmp_path):
    make, method, said = CASES[case]
    told = checked(tmp_path, make(), parents[:1]).verdict
    assert told.method == method and said in told.sentence, told.sentence


def test_the_command_takes_one_parent_and_tells_it_once(parents, tmp_path):
    suspect = {n: v for n, v in DONOR.items() if "layers.3" not in n}
    suspect |= {"more.weight": np.ones((4, 4), np.float32)}
    place = str(saved(tmp_path / "suspect", suspect))
    done = CliRunner().invoke(
        main, ["weights", place, "--parents", parents[0], "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0 and "holds the same numbers as donor" in done.output, done.output
    written = json.loads((tmp_path / "out" / "weights.json").read_text())
    assert written["parents"] == ["donor"] and written["method"] == "the same weights"
    assert written["unmatched"]["more.weight"] == "not in donor"
