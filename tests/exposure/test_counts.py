"""What a host's bill says of the prompt: counts of honest hosts and of others."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from harness.exposure.counts import TURNS, Counted, account, probes


def counts(
    hidden=0,
    always=False,
    exact=True,
    said=lambda true, words, repeat: true,
    turn=9,
    system_turn=5,
    seed=0,
):
    found, asked = [], probes(seed)
    for repeat in range(2):
        for words in asked.questions:
            for system in asked.systems:
                sent = turn + words + (0 if system is None else system_turn + system)
                found.append(
                    Counted(
                        words,
                        system,
                        said(sent + (hidden if always or system is None else 0), words, repeat),
                        sent if exact else None,
                    )
                )
    return found


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("hidden", [11, 22, 400])
def test_a_hidden_prompt_of_eleven_tokens_is_found(hidden, exact):
    found = account(counts(hidden, exact=exact))
    assert found.finding == "hidden" and found.low <= hidden <= found.high
    assert account(counts(hidden, always=True)).tokens == hidden


def test_clean_hosts_are_not_accused_whatever_their_template():
    rng = random.Random(5)
    for _ in range(300):
        shape = {
            "turn": rng.randint(3, 20),
            "system_turn": rng.randint(0, 8),
            "exact": rng.random() < 0.5,
        }
        bos = rng.choice((-1, 0, 1))
        found = account(counts(said=lambda true, *_, bos=bos: true + bos, **shape))
        assert found.finding == "clean"


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("said", "findings"),
    [
        (lambda true, words, repeat: 100, {"nonsense", "other tokenizer"}),
        (lambda true, words, repeat: 0, {"nonsense"}),
        (lambda true, words, repeat: None, {"not known"}),
        (lambda true, words, repeat: (true * 5) // 4, {"nonsense", "other tokenizer"}),
        (lambda true, words, repeat: true - repeat * 7, {"nonsense"}),
        (lambda true, words, repeat: true + words % 7 * 3, {"nonsense", "other tokenizer"}),
    ],
)
def test_hosts_that_report_nonsense_are_said_to(said, findings, exact):
    assert account(counts(exact=exact, said=said)).finding in findings


def test_lengths_are_drawn_by_a_seed_and_share_no_divisor():
    drawn = [probes(seed) for seed in range(200)]
    assert probes(7) == drawn[7] and len(set(drawn)) > 150
    for questions, systems in drawn:
        assert all(math.gcd(a, b) == 1 for a, b in itertools.combinations(questions, 2))
        assert len({k % 8 for k in questions}) == len(questions) == 5
        assert systems[0] is None and systems[1] < systems[2]


def up_to(step):
    return lambda true, *_: -(-true // step) * step


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("step", [2, 8, 16, 64])
def test_a_host_that_rounds_is_not_told_to_hide_what_it_rounds_up(step, exact):
    for seed in range(60):
        shape = {"turn": 3 + seed % 15, "system_turn": seed % 7, "seed": seed, "exact": exact}
        assert account(counts(said=up_to(step), **shape)).finding == "clean", seed
        found = account(counts(400, said=up_to(step), **shape))
        assert found.finding == "hidden" and found.low <= 400 <= found.high, (seed, found)


def test_counts_of_one_prompt_that_differ_a_little_are_used_with_the_claimed_tokenizer():
    rng = random.Random(6)

    def jitter(true, *_):
        return true + rng.randint(0, 4)

    for seed in range(60):
        assert account(counts(said=jitter, seed=seed)).finding == "clean"
        found = account(counts(40, said=jitter, seed=seed))
        assert found.finding == "hidden" and found.low <= 40 <= found.high
        assert account(counts(said=jitter, seed=seed, exact=False)).finding == "nonsense"


def conversations(once=0, each=0, said=lambda true: true, by_message=lambda n: n, exact=True):
    """Both designs: a host that hides ``once``, and puts ``each`` after every question."""
    found, asked = [], probes(3)
    for system, words in itertools.product(asked.systems, asked.questions):
        messages = [words] if system is None else [5 + system, words]
        sent = 9 + sum(messages)
        billed = said(9 + sum(map(by_message, messages)) + once + each)
        found.append(Counted(words, system, billed, sent if exact else None))
    for words in (asked.questions, asked.questions[::-1]):
        messages = [4 + n for n in words]
        sent = 5 + sum(messages)
        billed = said(5 + sum(map(by_message, messages)) + once + TURNS * each)
        expected = sent if exact else None
        found.append(Counted(sum(words), None, billed, expected, 0, TURNS))
    return found * 2


def test_what_stands_once_is_told_from_what_comes_with_each_question():
    once = account(conversations(once=40))
    assert (once.finding, once.tokens) == ("hidden", 40)
    assert "they stand once in a conversation, and not with each question" in once.sentence
    each = account(conversations(each=12))
    assert (each.finding, each.tokens) == ("hidden", 12)
    assert "12 tokens that were not sent come with each further question" in each.sentence
    both = account(conversations(once=40, each=12))
    assert both.tokens == 52 and "12 tokens that were not sent come with each" in both.sentence
    assert account(conversations()).finding == "clean"
    unknown = account(conversations(once=80, exact=False))
    assert unknown.finding == "hidden" and "it is not known what stands with each" in (
        unknown.sentence
    )


@pytest.mark.parametrize("step", [2, 8, 16])
def test_a_host_that_rounds_hides_nothing_in_a_conversation(step):
    whole = account(conversations(said=up_to(step)))
    assert whole.finding == "clean" and "each message" not in whole.sentence, whole


def test_a_host_that_rounds_each_message_is_not_told_to_add_to_each_question():
    found = account(conversations(by_message=up_to(8)))
    assert "come with each further question" not in found.sentence, found


def test_a_host_that_takes_no_conversation_is_judged_by_single_questions():
    refused = [c._replace(reported=None) if c.turns > 1 else c for c in conversations(once=40)]
    assert account(refused).tokens == 40
