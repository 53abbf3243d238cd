"""The merge check on merges that others computed, from the lab's parents (`make test-merges`).

They are mergekit's, bitsandbytes' and peft's.
"""

from __future__ import annotations

import re

import pytest

from harness.weights import Settings, check, output
from tests import ROOT

pytestmark = pytest.mark.merges
FOLDER = ROOT / ".merges/lab"

#: Folder, what it is, and the ratio of the donor that was asked for.
TRUTH = [
    ("linear", "linear merge", 0.6),
    ("slerp", "SLERP", 0.4),
    ("task-arithmetic", "linear merge", 0.6),
    ("ties", "TIES", None),
    ("dare", "DARE", None),
    ("passthrough", "layer stacking", None),
    ("donor", "donor itself", 1.0),
    ("donor-further", "fine-tune of the donor", None),
    ("sibling", "near the base", None),
    ("linear-then-trained", "inexact merge", None),
    ("lora", "LoRA on the base", None),
    ("donor-int8", "quantised copy", None),
    ("donor-nf4", "quantised copy", None),
    ("unrelated", "not related", None),
]


@pytest.mark.parametrize(("name", "method", "ratio"), TRUTH)
def test_the_method_is_named_and_the_ratio_lies_in_its_interval(name, method, ratio):
    found = check(str(FOLDER / name), [str(FOLDER / "donor"), str(FOLDER / "base")], Settings())
    assert found.verdict.method == method, found.verdict.sentence
    if ratio is None:
        return
    if method == "SLERP":
        assert found.verdict.ratios == pytest.approx([ratio], abs=0.001)
        return
    table = output.frame(found)
    matrices = table[table["shape"].str.contains("x")]
    slack = 2e-7  # weights are float32 themselves
    inside = (matrices["a_low"] - slack <= ratio) & (ratio <= matrices["a_high"] + slack)
    assert inside.mean() > 0.9


def test_ties_dare_and_lora_are_recovered_with_their_parameters():
    parents = [str(FOLDER / "donor"), str(FOLDER / "base")]
    said = {
        name: check(str(FOLDER / name), parents, Settings()).verdict.sentence
        for name in ("ties", "dare", "lora", "passthrough")
    }
    assert "50 % of its difference" in said["ties"] and "1.000 times" in said["ties"]
    assert "40 % of its difference" in said["dare"] and re.search(
        r"1\.(49|50)\d times", said["dare"]
    )  # 0.6 / 0.4
    assert "rank 8 " in said["lora"]
    assert "layers 0-3 are 0-3 of base and layers 4-7 are 2-5 of donor" in said["passthrough"]


def test_three_parents_are_told_with_their_weights():
    found = check(
        str(FOLDER / "task-arithmetic-two"),
        [str(FOLDER / name) for name in ("donor", "sibling", "base")],
        Settings(),
    )
    assert found.verdict.method == "task arithmetic" and found.verdict.ratios == pytest.approx(
        [0.7, 0.8], abs=1e-4
    )
