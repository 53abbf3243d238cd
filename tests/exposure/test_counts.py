"""What a host's bill says of the prompt: counts of honest hosts and of others."""

from __future__ import annotations

import random

import pytest

from harness.exposure.counts import QUESTIONS, SYSTEMS, Counted, account


def counts(
    hidden=0, always=False, exact=True, said=lambda true, words, repeat: true, turn=9, system_turn=5
):
    found = []
    for repeat in range(2):
        for words in QUESTIONS:
            for system in SYSTEMS:
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
