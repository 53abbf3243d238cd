"""Normal forms of texts, and where their characters stand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.scoring import normalize


@given(st.text(max_size=60))
def test_normalized_offsets_point_at_their_characters(text):
    normal = normalize(text)
    assert len(normal.text) == len(normal.offsets)
    assert all(0 <= offset < len(text) for offset in normal.offsets)
    assert list(normal.offsets) == sorted(normal.offsets)
