"""The score equals a slow one by the definition, and is an e-process."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from harness.lineup import Prior, Score
from harness.lineup.score import UNSEEN

REFERENCES = [
    {"en:colour": {"blue": 9, "red": 1}, "en:number": {"7": 5, "42": 5}},
    {"en:colour": {"blue": 2, "green": 8}, "en:number": {"7": 10}},
    {"en:colour": {"teal": 10}},
]
SAID = [
    *(("en:colour", "blue"), ("en:number", "42"), ("en:colour", "mauve"), ("en:colour", "blue")),
    *(("en:number", "7"), ("en:colour", "mauve"), ("en:other", "x"), ("en:number", "42")),
]


def slow(references, said, claimed, prior):
    """The log Bayes factor of one reference, step by step as its definition says."""
    d, theta, added = prior
    factor, past = 0.0, []
    for cell, x in said:
        mine = references[claimed].get(cell)
        if mine:
            others = [ref.get(cell, {}) for at, ref in enumerate(references) if at != claimed]
            every = {answer for ref in references for answer in ref.get(cell, {})}
            room = sum(sum(ref.values()) for ref in others) + added * (len(every) + 1)
            given = sum(ref.get(x, 0) for ref in others)
            g = (given + added) / room if x in every else added / UNSEEN / room

            def foretold(counts, g=g, x=x):
                n, t = sum(counts.values()), len(counts)
                known = max(counts.get(x, 0) - d, 0) / (n + theta)
                return known + (theta + d * t) / (n + theta) * g

            own = {}
            for where, answer in past:
                if where == cell:
                    own[answer] = own.get(answer, 0) + 1
            both = {a: mine.get(a, 0) + own.get(a, 0) for a in {*mine, *own}}
            factor += math.log(foretold(both)) - math.log(foretold(own))
        past.append((cell, x))
    return factor


@pytest.mark.parametrize("prior", [Prior(), Prior(0.0, 2.0, 1.0), Prior(0.9, 0.1, 0.05)])
def test_it_is_the_definition_step_by_step(prior):
    score = Score(REFERENCES, prior)
    for place, (cell, answer) in enumerate(SAID, 1):
        score.see(cell, answer)
        wanted = [slow(REFERENCES, SAID[:place], claimed, prior) for claimed in range(3)]
        np.testing.assert_allclose(score.factors, wanted, rtol=1e-9, atol=1e-12)
    assert score.seen.tolist() == [7, 7, 4]  # the third has no numbers, and no one the other cell


def test_the_model_itself_ranks_first_and_others_fall_below_zero():
    draw = random.Random(3)
    for own in range(2):
        score = Score(REFERENCES[:2])
        for _ in range(40):
            cell = draw.choice(["en:colour", "en:number"])
            counts = REFERENCES[own][cell]
            (answer,) = draw.choices(list(counts), list(counts.values()))
            score.see(cell, answer)
        assert score.factors[own] > 5 and score.factors[1 - own] < -5


def test_rejecting_a_true_claim_is_as_rare_as_the_level():
    """Answers drawn as the reference foretells them: no stop at 1/alpha more often than alpha."""
    draw, lives, alpha, rejected = np.random.default_rng(5), 400, 0.1, 0
    for _ in range(lives):
        score = Score(REFERENCES[:2])
        cell = score.cells["en:colour"]
        answers = list(cell.numbers)
        for _ in range(60):
            d, theta, added = score.prior
            n = cell.sizes[0] + sum(cell.said.values())
            t = cell.different[0] + cell.new[0]
            chances = [
                max(cell.column(x)[0] + cell.said.get(x, 0) - d, 0) / (n + theta)
                + (theta + d * t) / (n + theta) * cell.base(x, cell.column(x), added)[0]
                for x in answers
            ]
            rest = 1 - sum(chances)  # an answer that nobody gave
            assert rest > 0
            said = draw.choice([*answers, f"new {draw.integers(UNSEEN)}"], p=[*chances, rest])
            score.see("en:colour", str(said))
            if score.factors[0] <= math.log(alpha):
                rejected += 1
                break
    assert rejected <= lives * alpha + 2 * math.sqrt(lives * alpha * (1 - alpha))
