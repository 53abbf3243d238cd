"""Ratios with honest intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.weights import output
from harness.weights.fit import Held, Sums, Worker, first_guess, solved
from tests.weights.models import BASE, DONOR, HIDDEN, checked, drawn, mixed, tuned


def test_ratios_are_those_of_least_squares_and_free_fits_too():
    rng = np.random.default_rng(0)
    b, d, s = rng.normal(size=(3, 40, 50))
    s += 0.3 * d
    sums = Sums(1, 50)
    guess = first_guess(s[:4], [d[:4]], b[:4])
    Worker(1, np.float64).add(sums, [Held(s), Held(d), Held(b)], 40, 50, guess, 53)
    found = solved(sums, guess, s.size)
    x, y = (d - b).ravel(), (s - b).ravel()
    assert found.a[0] == pytest.approx(x @ y / (x @ x), rel=1e-10)
    free = np.linalg.lstsq(np.stack([d.ravel(), b.ravel()], 1), s.ravel(), rcond=None)[0]
    assert found.free == pytest.approx(tuple(free), rel=1e-9)
    assert found.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-9)
    rows = ((d - b) * (s - b - found.a[0] * (d - b))).sum(1)
    columns = ((d - b) * (s - b - found.a[0] * (d - b))).sum(0)
    assert found.se[0] >= 0.99 * max(np.sqrt(rows @ rows), np.sqrt(columns @ columns)) / (x @ x)


def test_a_null_that_shares_directions_is_not_taken_for_a_blend():
    far = []
    for seed in range(60):
        base = {"w": drawn(seed)["model.embed_tokens.weight"]}
        one, other = (
            tuned(base, 1000 + seed)["w"].astype(np.float32),
            tuned(base, 2000 + seed)["w"].astype(np.float32),
        )
        b = base["w"].astype(np.float32)
        sums, guess = Sums(1, HIDDEN), first_guess(one, [other], b)
        Worker(1, np.float32).add(sums, [Held(one), Held(other), Held(b)], *b.shape, guess, 8)
        found = solved(sums, guess, b.size)
        far.append(abs(found.a[0]) > 2 * found.se[0])
    assert sum(far) <= 7  # of 60 at 5 %: 7 or more in 1 of 50 runs


def test_sums_do_not_depend_on_threads_or_blocks(parents, tmp_path):
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    one, four = (output.frame(checked(tmp_path, model, parents, threads=n)) for n in (1, 4))
    pd.testing.assert_frame_equal(one, four, check_exact=True)


def test_numbers_that_are_not_finite_are_counted_and_in_no_sum(parents, tmp_path):
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    model["model.layers.1.mlp.up_proj.weight"][3, 4:6] = np.nan, np.inf
    found = checked(tmp_path, model, parents)
    row = output.frame(found).set_index("tensor").loc["layers.1.mlp.up_proj.weight"]
    assert (
        row["not_finite"] == 2
        and row["a"] == pytest.approx(0.6, abs=0.01)
        and row["finding"] == "blend"
    )
    assert "2 numbers are NaN or infinite; they are in no sum" in output.lines(output.found(found))
