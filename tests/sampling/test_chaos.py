"""A run in a storm of everything that hosts do, killed on the way; `benchmarks/chaos.py` at large.

Nothing is lost, doubled or given a status that is not so, and the key is in nothing that is left.
"""

from __future__ import annotations

import pytest

from benchmarks.chaos import KINDS, chaos


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_run_in_a_storm_loses_nothing(tmp_path, tls):
    found = chaos(tmp_path, samples=900, kills=2, seed=7, share=0.4, tls=tls)
    assert (found.planned, found.kills) == (900, 2)
    assert (found.lost, found.doubled, found.false_status) == (0, 0, 0)
    assert found.hits == 0 and found.searched > 100_000
    assert len(found.played) > len(KINDS) / 2
