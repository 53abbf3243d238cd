"""What a run's repeats show, and what follows for its tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.counting.dependence import Dependence, Repeats, together
from harness.counting.scored import Scored
from harness.scoring import verdicts


def repeats(say, temperature=1.0, ids=lambda question, number: None):
    """Twenty questions, six repeats; ``say(question, number)`` gives a text."""
    gathered, rows = Repeats(), []
    for question, number in itertools.product(range(20), range(6)):
        row = {"target": "t", "arm": "bare", "trial": f"q{question}", "first": number}
        row |= {"text": say(question, number), "sent": f'{{"temperature": {temperature}}}'}
        rows.append(row | {"response_id": ids(question, number)})
    found = verdicts(row["text"] for row in rows)
    gathered.add(Scored(*both, None, None) for both in zip(rows, found, strict=True))
    return gathered.found()


def test_other_words_each_time_are_independent():
    rng = np.random.default_rng(1)
    found = repeats(lambda q, n: f"I am {rng.choice(['Rio', 'Nex'])}. {rng.integers(0, 5)}")
    assert found.kind("t", "bare") == "independent" and not found.notes
    assert found.permuted(("t", "bare"), ("other", "bare")) == "replies"
    assert found.columns("t", "bare")["repeats"] == "independent"


@pytest.mark.parametrize(
    ("temperature", "kind", "said"),
    [(1.0, "copies", "copies from a cache, or a model"), (0, "temperature 0", "by design")],
)
def test_the_same_words_each_time_are_copies_but_by_design_at_temperature_0(
    temperature, kind, said
):
    found = repeats(lambda q, n: f"I am Rio{'.' * n} I answer {q}.", temperature)
    assert found.kind("t", "bare") == kind and said in found.notes[0]
    assert found.notes[0].startswith("t bare: ")
    assert found.permuted(("t", "bare"), ("other", "bare")) == "questions"


def test_a_router_that_alternates_is_told_by_the_names_that_it_gives():
    rng = np.random.default_rng(2)
    found = repeats(lambda q, n: f"I am {('Rio', 'Nex')[n % 2]}. {rng.integers(0, 10**6)}")
    assert found.kind("t", "bare") == "rounds" and "router" in found.notes[0]
    assert found.permuted(("other", "bare"), ("t", "bare")) == "nothing"


def test_a_cache_of_first_replies_is_told_by_their_order():
    rng = np.random.default_rng(4)

    def say(question, number):
        again = number == 0 or rng.random() < 0.6
        return f"I am Rio. {question if again else rng.integers(0, 10**6)}"

    found = repeats(say)
    assert found.kind("t", "bare") == "order" and "as a cache's do" in found.notes[0]
    assert found.permuted(("other", "bare"), ("t", "bare")) == "questions"


def test_response_ids_that_come_again_with_their_text_are_a_cache():
    rng = np.random.default_rng(3)
    texts = {}

    def say(question, number):
        again = number == 5 and question < 4
        texts[question, number] = (
            texts[question, 0] if again else f"I am Rio. {rng.integers(0, 10**6)}"
        )
        return texts[question, number]

    def ids(question, number):
        return f"{question}/{0 if number == 5 and question < 4 else number}"

    found = repeats(say, ids=ids)
    assert found.findings["t", "bare"].same_ids == 4
    assert found.kind("t", "bare") == "response ids" and "from a cache" in found.notes[0]
    # a host that gives every reply one id, or ids to other replies, says nothing by them
    assert repeats(say, ids=lambda q, n: "x").kind("t", "bare") == "independent"
    assert repeats(say, ids=lambda q, n: f"{n % 3}").kind("t", "bare") == "independent"


def test_two_runs_together_are_dependent_where_either_is():
    same = repeats(lambda q, n: "I am Rio.")
    other = repeats(lambda q, n: f"I am Rio. {n} {q}")
    assert other.kind("t", "bare") == "independent"
    for both in (together(same, other), together(other, same)):
        assert both.kind("t", "bare") == "copies"
    assert together(Dependence({})).notes == []
