"""What is planned is what a run then has."""

from __future__ import annotations

import numpy as np
import pytest

from harness.counting.spread import by_language
from harness.sizes import beta_binomial, expected, questions_for, zeros_for
from harness.stats import clopper_pearson, clustered, unseen_share


def rates(rng, mean, icc, many):
    return rng.beta(mean * (1 - icc) / icc, (1 - mean) * (1 - icc) / icc, many)


def test_sizes():
    assert zeros_for(0.01) == 299
    assert questions_for(0.8, 0.1, 0.0, 1) == questions_for(0.8, 0.1, 0.9, 1)
    once, often = questions_for(0.8, 0.1, 0.5, 1), questions_for(0.8, 0.1, 0.5, 20)
    assert often > once / 2  # repeats buy little where samples of a question are alike
    found = clopper_pearson(0.8 * once, once)
    assert found.high - found.low <= 0.1


@pytest.mark.parametrize(
    ("rate", "width", "icc", "repeats"),
    [(0.3, 0.4, 0.3, 4), (0.8, 0.1, 0.5, 20), (0.5, 0.3, 0.8, 5), (0.01, 0.05, 0.3, 20)],
)
def test_a_run_as_it_was_planned_has_the_width_that_was_asked(rate, width, icc, repeats):
    rng, questions = np.random.default_rng(4), questions_for(rate, width, icc, repeats)
    widths = []
    for _ in range(100):
        hits = rng.binomial(repeats, rates(rng, rate, icc, questions))
        found = clustered(hits, np.full(questions, repeats))
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(width, rel=0.08)


@pytest.mark.parametrize(("rate", "width", "languages"), [(0.3, 0.55, 8), (0.1, 0.4, 12)])
def test_so_has_a_run_in_several_languages(rate, width, languages):
    about = {"languages": languages, "language_icc": 0.05}
    rng, questions = np.random.default_rng(5), questions_for(rate, width, 0.3, 4, **about)
    each, widths = round(questions / languages), []
    for _ in range(100):
        of = np.repeat(rates(rng, rate, 0.05, languages), each).clip(1e-6, 1 - 1e-6)
        hits = rng.binomial(4, rng.beta(of * 7 / 3, (1 - of) * 7 / 3))
        found = clustered(hits, np.full(len(of), 4))
        totals = hits.reshape(languages, each).sum(1)
        low, high = by_language(found, totals, np.full(languages, 4 * each))
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(width, rel=0.15)


def test_sizes_know_that_languages_differ():
    alone = questions_for(0.5, 0.6, 0.5, 4)
    assert questions_for(0.5, 0.6, 0.5, 4, languages=3, language_icc=0.1) is None
    assert alone < questions_for(0.5, 0.6, 0.5, 4, languages=12, language_icc=0.05)
    # a rate near 0 is no surer than what so many questions leave unseen
    assert unseen_share(questions_for(0.01, 0.05, 0.0, 100)) <= 0.05


def test_hits_of_a_cluster_have_their_mean_and_correlation():
    for rate, icc in ((0.2, 0.0), (0.2, 0.3), (0.7, 1.0), (0.0, 0.3)):
        chances, x = beta_binomial(rate, 5, icc), np.arange(6)
        assert chances.sum() == pytest.approx(1) and chances @ x == pytest.approx(5 * rate)
        variance = 5 * rate * (1 - rate) * (1 + 4 * icc)
        assert chances @ (x - 5 * rate) ** 2 == pytest.approx(variance)
    assert expected(0.0, 24, 5, 0.3) == (0.0, pytest.approx(unseen_share(24)))
