"""Owed is what the plan has and the journal has not, whatever the size of its blocks was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.owed import missing

BLOCKS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=6)


@given(st.integers(0, 20), st.integers(1, 20), BLOCKS)
def test_no_stored_sample_is_asked_again_and_none_is_forgotten(first, length, stored):
    held = [range(at, at + size) for at, size in stored]
    block = range(first, first + length)
    asked = [number for part in missing(block, held) for number in part]
    assert asked == [n for n in block if not any(n in one for one in held)]


def test_a_block_that_nothing_holds_is_asked_whole():
    assert missing(range(8, 16), [range(8), range(16, 24)]) == [range(8, 16)]
