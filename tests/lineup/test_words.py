"""One word of a reply, in any script."""

from __future__ import annotations

import pytest

from harness.lineup import Word, word_of
from harness.lineup.words import LONGEST


@pytest.mark.parametrize(
    ("reply", "word", "direct"),
    [
        ("Blue", "blue", True),
        (" **Blue**.\n", "blue", True),
        ("I would say 7", "i", False),
        ("٤٢", "42", True),
        ("४२।", "42", True),
        ("４２", "42", True),
        ("Straße", "strasse", True),
        ("红色。", "红色", True),
        ("नीला", "नीला", True),
        ("Синий!", "синий", True),
        ("E\u0301te\u0301", "\u00e9t\u00e9", True),
    ],
)
def test_the_first_word_is_read_by_unicode(reply, word, direct):
    assert word_of(reply) == Word(word, direct)


@pytest.mark.parametrize("reply", [None, "", "  \n", "...", "🙂"])
def test_a_reply_without_a_word_has_none(reply):
    assert word_of(reply) is None


def test_a_word_without_end_is_cut():
    assert word_of("a" * 10_000_000) == Word("a" * LONGEST, True)
