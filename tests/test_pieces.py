"""Pieces of secrets are all found, each run once, however the text is divided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import pieces
from harness.masking import PART, Masker
from harness.pieces import Pieces

KEYS = ("sk-planted/key+0123456789", "abcabcabcabcabc", "\u00fc\U0001f511keyed-words-only")
#: Texts that are mostly made of pieces, some too short to be hidden.
MADE_OF_PIECES = st.lists(
    st.one_of(
        st.builds(
            lambda key, at, size: key[at : at + size],
            st.sampled_from(KEYS),
            st.integers(0, 20),
            st.integers(1, 25),
        ),
        st.sampled_from([" ", "1", "abc", "\ud800", "e\u0301"]),
    ),
    max_size=12,
).map("".join)


def runs_of(text):
    """The same, letter by letter."""
    known = {key[at : at + PART] for key in KEYS for at in range(len(key) - PART + 1)}
    found = []
    for at in range(len(text) - PART + 1):
        if text[at : at + PART] in known:
            if not found or found[-1][-1] != at - 1:
                found.append([at])
            found[-1].append(at)
    spans = [(run[0], run[-1] + PART) for run in found]
    return [(at, to, any("0" <= letter <= "9" for letter in text[at:to])) for at, to in spans]


@given(MADE_OF_PIECES, st.integers(1, 40))
def test_all_pieces_are_found_wherever_windows_end(text, window):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "WINDOW", window)
        found = Pieces(KEYS).runs(text)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == runs_of(text)


@given(MADE_OF_PIECES)
def test_what_is_left_holds_no_piece_with_a_digit(text):
    known = Masker()
    for key in KEYS:
        known.know(key)
    assert not [run for run in runs_of(known.hide(text)) if run[2]]


def test_parts_are_as_long_here_as_they_are_there():
    assert pieces.PART == PART
