"""The way of merging is named."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from harness.weights import layers, methods, output
from harness.weights.checkpoint import open_checkpoint
from tests.weights.models import (
    BASE,
    DONOR,
    LAYERS,
    SIBLING,
    checked,
    drawn,
    mixed,
    saved,
    tuned,
)


def slerp(b, d, t):
    angle = math.acos(float((b.ravel() @ d.ravel()) / np.linalg.norm(b) / np.linalg.norm(d)))
    return (math.sin((1 - t) * angle) * b + math.sin(t * angle) * d) / math.sin(angle)


def ties(b, d, density):
    x = d - b
    return np.where(np.abs(x) >= np.quantile(np.abs(x), 1 - density), d, b)


def dare(d, b, rng):
    return b + (d - b) * (rng.random(b.shape) < 0.3) * 2


def with_adapter(value, rng):
    """LoRA of rank 4."""
    if value.ndim == 1:
        return value
    rows, columns = value.shape
    return value + 0.02 * rng.normal(size=(rows, 4)) @ rng.normal(size=(4, columns))


def blended(d, b):
    return 0.6 * d + 0.4 * b


def merged(rule, *models):
    """A model merged by a rule that may draw."""
    rng = np.random.default_rng(9)
    return mixed(lambda *values: rule(*values, rng), *models)


def stacked():
    return {n: (DONOR if re.search(r"layers\.[23]\.", n) else BASE)[n] for n in BASE}


#: What was done, by the name that it should get, and what should be said of it.
CASES = {
    "linear merge": (lambda: mixed(blended, DONOR, BASE), "0.600 donor"),
    "task arithmetic": (lambda: mixed(lambda d, b: b + 1.5 * (d - b), DONOR, BASE), "1.500 times"),
    "SLERP": (lambda: mixed(lambda d, b: slerp(b, d, 0.4), DONOR, BASE), "t = 0.40"),
    "TIES": (lambda: mixed(lambda d, b: ties(b, d, 0.4), DONOR, BASE), "40 % of its difference"),
    "DARE": (lambda: merged(dare, DONOR, BASE), "DARE, 2.0"),
    "LoRA on the base": (lambda: merged(with_adapter, BASE), "rank 4"),
    "LoRA on the donor": (lambda: merged(with_adapter, DONOR), "rank 4"),
    "donor itself": (lambda: DONOR, "is donor: its matrices are the same to the bit"),
    "base itself": (lambda: BASE, "is base: its matrices are the same to the bit"),
    "not related": (lambda: drawn(7), "tensor by tensor, and not by the invariants"),
    "near the base": (lambda: tuned(BASE, 5), "does not point towards donor"),
    "fine-tune of the donor": (lambda: tuned(DONOR, 5), "made from donor"),
    "inexact merge": (
        lambda: tuned(mixed(blended, DONOR, BASE), 6, 0.005),
        "of the difference of donor to base, but not exactly",
    ),
    "layer stacking": (stacked, "layers 0-1 are 0-1 of base and layers 2-3 are 2-3 of donor"),
}


@pytest.mark.parametrize("method", CASES)
def test_the_way_of_merging_is_named(method, parents, tmp_path):
    make, said = CASES[method]
    found = checked(tmp_path, make(), parents)
    assert found.verdict.method == method and said in found.verdict.sentence
    assert any("not who made it" in limit for limit in found.verdict.limits)


def test_a_quantised_copy_is_told_from_a_fine_tune(parents, tmp_path):
    def coarse(value):
        step = np.abs(value).max(axis=-1, keepdims=True) / 7
        return np.rint(value / step) * step if value.ndim == 2 else value

    found = checked(tmp_path, mixed(coarse, DONOR), parents)
    assert found.verdict.method == "quantised copy" and "donor" in found.verdict.sentence


def test_layers_that_were_stacked_anew_are_found_where_they_came_from(parents, tmp_path):
    stacked = {n: v for n, v in BASE.items() if "layers" not in n}
    for new, (model, old) in enumerate(
        [(BASE, 0), (BASE, 1), (DONOR, 1), (DONOR, 2), (BASE, 3), (DONOR, 3)]
    ):
        stacked |= {
            n.replace(f"layers.{old}.", f"layers.{new}."): v
            for n, v in model.items()
            if f"layers.{old}." in n
        }
    found = checked(tmp_path, stacked, parents)
    assert (
        found.verdict.method == "layer stacking"
        and "layers 2-3 are 1-2 of donor" in found.verdict.sentence
        and "layers 4-4 are 3-3 of base" in found.verdict.sentence
    )


def test_two_donors_are_told_apart(parents, tmp_path):
    sibling = str(saved(tmp_path / "sibling", SIBLING))
    found = checked(
        tmp_path,
        mixed(lambda d, s, b: b + 0.3 * (d - b) + 0.5 * (s - b), DONOR, SIBLING, BASE),
        [parents[0], sibling, parents[1]],
    )
    assert found.verdict.method == "linear merge" and found.verdict.ratios == pytest.approx(
        [0.3, 0.5], abs=0.005
    )
    table = output.frame(found)
    assert {"a_2", "a_low_2", "free_donor_2"} <= set(table.columns)


def test_an_arc_is_told_from_a_line():
    assert methods.pooled([0.6, 0.6, 0.6], [0.01, 0.01, 0.01]).spread == 0
    assert methods.pooled([0.5, 0.7], [0.001, 0.001]).p < 1e-10


def test_layers_are_told_apart_only_where_they_are(parents):
    donor, base = (open_checkpoint(p) for p in parents)
    assert layers.aligned(donor, [donor, base]) is None and layers.count(base) == LAYERS
