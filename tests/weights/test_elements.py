"""Merges that show number by number or row by row, and what only looks like one."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.weights.models import BASE, DONOR, SIBLING, checked, mixed, saved

BF16 = ml_dtypes.bfloat16


def merged(rule, *models):
    """A model merged by a rule that may draw; vectors are the base's."""
    rng = np.random.default_rng(4)

    def one(*values):
        return (
            rule(*(v.astype(np.float64) for v in values), rng) if values[0].ndim > 1 else values[-1]
        )

    return mixed(one, *models)


def largest(x, share, of=1.0):
    """The largest numbers of a difference, less the part above ``of``."""
    size = np.abs(x)
    top, low = np.quantile(size, of), np.quantile(size, of - share)
    return x * ((size >= low) & (size <= top))


def drawn_by_rank(d, b, rng):
    """The larger of its row, the likelier it stays, and enlarged by that chance."""
    x = d - b
    keeps = 0.3 + 0.4 * np.argsort(np.argsort(np.abs(x), axis=1), axis=1) / (x.shape[1] - 1)
    return b + x * (rng.random(x.shape) < keeps) / keeps


def by_row(d, b, rng):
    lengths = [np.linalg.norm(m, axis=1, keepdims=True) for m in (d, b)]
    v, w = d / lengths[0], b / lengths[1]
    angle = np.arccos(np.clip((v * w).sum(1, keepdims=True), -1, 1))
    turned = (np.sin(0.4 * angle) * w + np.sin(0.6 * angle) * v) / np.sin(angle)
    return turned * (0.6 * lengths[0] + 0.4 * lengths[1])


def elected(d, s, b, rng):
    """TIES of two donors, by mean."""
    parts = [largest(m - b, 0.5) for m in (d, s)]
    sign = np.sign(sum(parts))
    stays = [(np.sign(x) == sign) & (x != 0) for x in parts]
    return b + sum(x * k for x, k in zip(parts, stays, strict=True)) / np.maximum(1, sum(stays))


def thinned(d, s, b, rng):
    """DARE of two donors."""
    draws = (rng.random(b.shape) < 0.5 for _ in range(2))
    return b + sum(w * (m - b) * k / 0.5 for w, m, k in zip((0.6, 0.4), (d, s), draws, strict=True))


ONE = {
    "a step": (
        lambda d, b, rng: b + np.clip(d - b, -0.002, 0.002),
        "nearswap",
        "by at most 0.00",
    ),
    "an arc by row": (by_row, "SLERP", "row by row"),
    "the middle sizes": (
        lambda d, b, rng: b + largest(d - b, 0.4, 0.95),
        "sparse merge",
        "40 % of its difference to donor put in (1.000 times)",
    ),
    "likelier by rank": (drawn_by_rank, "sparse merge", "some numbers more and some less"),
}


@pytest.mark.parametrize("what", ONE)
def test_one_donor(what, parents, tmp_path):
    rule, method, said = ONE[what]
    found = checked(tmp_path, merged(rule, DONOR, BASE), parents).verdict
    assert (found.method, said in found.sentence) == (method, True), found.sentence


def test_an_arc_by_row_is_at_its_place(parents, tmp_path):
    found = checked(tmp_path, merged(by_row, DONOR, BASE), parents).verdict
    assert found.ratios == pytest.approx([0.6], abs=0.002)


@pytest.mark.parametrize("rule", [elected, thinned])
@pytest.mark.parametrize("withheld", [False, True])
def test_two_donors_whether_both_are_given_or_one(rule, withheld, parents, tmp_path):
    sibling = str(saved(tmp_path / "sibling", SIBLING))
    given = parents if withheld else [parents[0], sibling, parents[1]]
    found = checked(tmp_path, merged(rule, DONOR, SIBLING, BASE), given).verdict
    assert found.method == "sparse merge" and "parts of differences put in" in found.sentence
    assert ("donor does not explain" in found.sentence) is withheld


@pytest.mark.parametrize(
    "rule",
    [
        lambda d, b, rng: b + largest(d - b, 0.5),
        lambda d, b, rng: b + (d - b) * (rng.random(b.shape) < 0.4) / 0.4,
    ],
    ids=["TIES", "DARE"],
)
def test_they_are_named_in_a_coarser_type_too(rule, parents, tmp_path, request):
    coarse = {n: v.astype(BF16) for n, v in merged(rule, DONOR, BASE).items()}
    found = checked(tmp_path, coarse, parents).verdict
    assert found.method == request.node.callspec.id, found.sentence


@pytest.mark.parametrize("toward", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("size", [0.1, 0.5, 2.0, 8.0])
def test_training_in_a_coarse_type_leaves_numbers_and_is_no_sparse_merge(toward, size, tmp_path):
    """Updates under half a step of bfloat16 are lost, so many numbers stay the base's."""
    rng = np.random.default_rng(8)

    def coarse(model):
        return {n: v.astype(BF16) for n, v in model.items()}

    base, donor = coarse(BASE), coarse(DONOR)

    def trained(d, b):
        d, b = d.astype(np.float64), b.astype(np.float64)
        step = np.exp2(np.floor(np.log2(np.maximum(np.abs(b), 1e-30))) - 7)
        return (b + toward * (d - b) + size * step * rng.normal(size=b.shape)).astype(BF16)

    given = [str(saved(tmp_path / n, m)) for n, m in (("donor", donor), ("base", base))]
    found = checked(tmp_path, {n: trained(donor[n], base[n]) for n in base}, given).verdict
    assert found.method not in ("sparse merge", "TIES", "DARE", "nearswap", "SLERP"), found.sentence
