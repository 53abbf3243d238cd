"""The classifier and the null: what they were made of, and what it takes to load them."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import chain, islice

import numpy as np
import pytest

from harness.scoring import classifier
from harness.scoring import unlisted as unlisted_names
from harness.scoring.learning import fitting, sentences
from harness.scoring.overlap import Null, null
from harness.scoring.overlap.null import FITTED as NULL

LANGUAGES = set("en zh pt es fr de ja ko ru ar hi it tr id vi".split())


def test_training_holds_every_language_and_draws_the_same_twice():
    assert {path.stem for path in sentences.languages()} >= LANGUAGES
    once, again = (list(islice(sentences.sentences(), 20_000)) for _ in range(2))
    assert once == again and len(once) > 5000


def test_what_ships_was_made_of_what_is_written():
    """Else: `make classifier`."""
    made_of = fitting.sources()
    for path in (classifier.FITTED, NULL):
        assert fitting.fitted_sources(path) == made_of, path.name


@pytest.mark.slow
def test_fitting_again_gives_the_weights_and_counts_that_ship():
    """Half an hour."""
    fitted, shipped = fitting.fit(), classifier.models()
    every = zip((*fitted.first, *fitted[1:]), (*shipped.first, *shipped[1:]), strict=True)
    for ours, theirs in chain.from_iterable(zip(*both, strict=True) for both in every):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)  # some in two bytes
    counted = Null.of(fitting._usual()).arrays()
    for name, theirs in null().arrays().items():
        np.testing.assert_array_equal(counted[name], theirs)


@pytest.mark.parametrize("classes", [2, 5])
def test_trees_say_what_scikit_learn_says(classes):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    draw = np.random.default_rng(3)
    table = draw.normal(size=(900, 6)).astype(np.float32)
    labels = (table[:, 0] + table[:, 1] * table[:, 2] > 0).astype(int) + (table[:, 3] > 1)
    labels = np.clip(labels * (1 + (table[:, 4] > 0)), 0, classes - 1)
    ours = fitting._grown(table, labels, None).probabilities(table)
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(**fitting.GROWTH).fit(table, labels)
        theirs = model.predict_proba(table)
    np.testing.assert_allclose(ours, theirs if ours.shape[1] > 1 else theirs[:, 1:], atol=1e-5)


def test_what_ships_is_small():
    assert sum(path.stat().st_size for path in classifier.FITTED.parent.iterdir()) < 10_000_000


def test_loading_the_classifier_imports_neither_scikit_learn_nor_scipy():
    code = (
        "import sys; from harness.scoring import verdict; verdict('I am Nex.');"
        "print(sorted({'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_what_the_classifier_learns_does_not_depend_on_the_book(monkeypatch):
    """Its weights ship: a book of the user's own may not change what they mean."""
    monkeypatch.setattr(unlisted_names, "finder", lambda: pytest.fail("the book was looked at"))
    draw = random.Random(1)
    some = islice(sentences.sentences(), 5000)
    assert sum(len(fitting._masked(sentence, draw)[1]) for sentence in some) > 5000
