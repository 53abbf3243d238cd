"""The verdict: what answers allow to be said, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.lineup import Answered, Lineup, Reference, Word, judged

CELLS = [f"en:q{number}" for number in range(20)]


def made(model, seed, *, asked=200, answered=200, tokens=30):
    """A reference whose habits are drawn by a seed."""
    draw = np.random.default_rng(seed)
    cells = {}
    for cell in CELLS:
        counts = draw.multinomial(10, draw.dirichlet(np.full(6, 0.3)))
        cells[cell] = {f"w{word}": int(n) for word, n in enumerate(counts) if n}
    counted = {cell: tokens + place for place, cell in enumerate(CELLS)}
    return Reference(
        model=model, asked=asked, answered=answered, cells=cells, prompt_tokens=counted
    )


KNOWN = [made("a", 1), made("b", 2), made("c", 3)]


def says(reference, number, seed=0, *, shift=0, silent=0.0):
    """Answers drawn from a reference's own counts."""
    draw = np.random.default_rng(seed)
    for turn in range(number):
        cell = CELLS[turn % len(CELLS)]
        words = [w for w, count in reference.cells[cell].items() for _ in range(count)]
        tokens = reference.prompt_tokens[cell] + shift
        if draw.random() < silent:
            yield Answered(cell, None, tokens)
        else:
            yield Answered(cell, Word(str(draw.choice(words)), True), tokens)


def test_a_true_claim_holds():
    found = judged(says(KNOWN[0], 80), KNOWN, "a")
    assert (found.said, found.nearest) == ("is it", "a")
    assert found.decided_after < 80


def test_a_false_claim_is_contradicted_and_the_nearest_named():
    found = judged(says(KNOWN[1], 80), KNOWN, "a")
    assert (found.said, found.nearest) == ("is not", "b")


def test_without_a_claim_the_nearest_is_named():
    found = judged(says(KNOWN[2], 80), KNOWN)
    assert (found.said, found.nearest) == ("is it", "c")
    assert "'c'" in found.why


def test_an_unknown_model_is_none_of_these():
    found = judged(says(made("stranger", 9), 120), KNOWN)
    assert found.said == "none of these"


def test_few_answers_name_nobody():
    assert judged(says(KNOWN[0], 30), KNOWN).said == "cannot tell"


@pytest.mark.parametrize(("shift", "words"), [(12, "12 tokens longer"), (-7, "7 tokens shorter")])
def test_a_host_that_changes_the_prompt_is_not_accused(shift, words):
    found = judged(says(KNOWN[1], 80, shift=shift), KNOWN, "a")
    assert found.said == "cannot tell"
    assert found.shift == shift
    assert words in found.why


def test_token_counts_that_differ_unevenly_excuse_nothing():
    answers = [
        one._replace(prompt_tokens=one.prompt_tokens + place % 3)
        for place, one in enumerate(says(KNOWN[1], 80))
    ]
    found = judged(answers, KNOWN, "a")
    assert (found.said, found.shift) == ("is not", None)


def test_a_model_that_hardly_answers_is_not_judged():
    found = judged(says(KNOWN[1], 120, silent=0.7), KNOWN, "a")
    assert found.said == "cannot tell"
    assert "hold a word" in found.why


def test_a_suspect_that_answers_less_than_the_reference_is_not_accused():
    """A reasoning model may be cut before it answers: that is no other model."""
    found = judged(says(KNOWN[1], 120, silent=0.4), KNOWN, "a")
    assert found.said == "cannot tell"
    assert "of the reference's do" in found.why


def test_true_claims_are_seldom_contradicted_however_often_one_looks():
    """Answers as the reference foretells them: what is bounded by alpha."""
    alpha, lives = 0.1, 60
    wrong = 0
    for seed in range(lives):
        draw = np.random.default_rng(seed)
        urns = {c: [w for w, n in KNOWN[0].cells[c].items() for _ in range(n)] for c in CELLS}
        lineup = Lineup(KNOWN, "a", alpha)
        for turn in range(160):
            cell = CELLS[turn % len(CELLS)]
            word = str(draw.choice(urns[cell]))
            urns[cell].append(word)
            lineup.see(Answered(cell, Word(word, True)))
        wrong += lineup.verdict().said == "is not"
    assert wrong <= lives * alpha


def test_what_decided_stays_decided():
    """Later answers do not take a contradiction back: it was sure when it was reached."""
    answers = [*says(KNOWN[1], 60), *says(KNOWN[0], 400, seed=5)]
    assert judged(answers, KNOWN, "a").said == "is not"
