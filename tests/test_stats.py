"""Intervals against published and independent values."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from harness.stats import wilson


def test_the_published_case_95_of_120():
    low, high = wilson(95, 120)
    assert (round(low, 3), round(high, 3)) == (0.711, 0.855)


@pytest.mark.parametrize(("hits", "samples"), [(0, 1), (0, 120), (1, 3), (50, 100), (120, 120), (999, 1000)])
def test_wilson_agrees_with_scipy(hits, samples):
    expected = binomtest(hits, samples).proportion_ci(0.95, method="wilson")
    assert wilson(hits, samples) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("hits", "samples"), [(0, 0), (2, 1), (-1, 5)])
def test_no_rate_without_samples(hits, samples):
    with pytest.raises(ValueError, match="no rate"):
        wilson(hits, samples)
