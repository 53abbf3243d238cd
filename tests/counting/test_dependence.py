"""What a run's repeats show, and what follows for its tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.counting.dependence import Dependence, Repeats, together
from harness.counting.scored import Scored
from harness.scoring import verdicts


def saved(at):
    return f"2026-11-27T10:{at // 60:02}:{at % 60:02}.000+00:00"


def repeats(
    say,
    temperature=1.0,
    ids=lambda question, number: None,
    provider=lambda question, number: None,
    at=lambda question, number: 20 * number + question,
):
    """Twenty questions, six repeats; ``say(question, number)`` gives a text."""
    gathered, rows = Repeats(), []
    for question, number in itertools.product(range(20), range(6)):
        row = {"target": "t", "arm": "bare", "trial": f"q{question}", "first": number}
        row |= {"text": say(question, number), "sent": f'{{"temperature": {temperature}}}'}
        row |= {"response_id": ids(question, number), "provider": provider(question, number)}
        row |= {"model": "m", "fingerprint": None, "saved": saved(at(question, number))}
        rows.append(row)
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


def test_a_stamp_in_a_long_reply_hides_no_copy():
    long = "I am a model that was trained on many kinds of text to answer what is asked. " * 3
    found = repeats(lambda q, n: f"{long} Answer {q}, request {n}.")
    assert found.kind("t", "bare") == "copies" and "but for a word or a stamp" in found.notes[0]


def test_a_router_that_switches_by_the_clock_is_told():
    """Half of a round each, and rounds begin elsewhere: none differs in its sum."""
    rng = np.random.default_rng(7)

    def at(question, number):
        return 20 * number + (question + 5 * number) % 20

    def say(question, number):
        return f"I am {('Rio', 'Nex')[at(question, number) // 10 % 2]}. {rng.integers(0, 10**6)}"

    found = repeats(say, at=at)
    assert found.kind("t", "bare") == "rounds"
    assert "from one stretch of time to the next" in found.notes[0]
    assert found.permuted(("t", "bare"), ("other", "bare")) == "nothing"


def test_a_router_that_keeps_a_question_with_a_backend_is_told_where_the_host_names_it():
    rng = np.random.default_rng(8)
    home = rng.integers(0, 2, 20)

    def say(question, number):
        name = ("Rio", "Nex")[int(rng.random() < (0.3, 0.9)[home[question]])]
        return f"I am {name}. {rng.integers(0, 10**6)}"

    hidden = repeats(say)
    assert hidden.kind("t", "bare") == "independent"  # replies alone cannot tell it
    named = repeats(say, provider=lambda q, n: f"host{home[q]}")
    assert named.kind("t", "bare") == "backends"
    assert "a question keeps to some of them" in named.notes[0]
    assert named.permuted(("t", "bare"), ("other", "bare")) == "questions"
    mixed = repeats(say, provider=lambda q, n: f"host{rng.integers(0, 2)}")
    assert mixed.kind("t", "bare") == "independent"


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
