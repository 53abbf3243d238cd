"""What a table may hold."""

from __future__ import annotations

from harness.tables import neutral


def test_neutral_leaves_numbers_alone():
    assert neutral(-1) == -1
    assert neutral(None) is None
