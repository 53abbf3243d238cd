"""Lineup: whose behaviour it is, whatever it says of itself.

In: one-word answers of a target, and references, which are counts of known models' answers to the
same questions. Out: how much better each reference foretells the answers than they foretell
themselves (`score.py`, read it first).
"""

from harness.lineup.score import PRIOR, Cells, Prior, Score

__all__ = ["PRIOR", "Cells", "Prior", "Score"]
