"""Scoring: what a reply says of its speaker, and how much of a known text it recites.

In: text. Out: a `Verdict` (stance, names, makers, base, denied, each with its evidence) and an
`Overlap`. Read `verdict.py` first: normalise, find mentions, decide their roles, combine; then
`overlap.py`. Nothing is fitted here: `fitting.py` writes the weights that ship.
"""

from harness.scoring.digest import overlap_scorer, verdict_scorer
from harness.scoring.mentions import finder
from harness.scoring.normalize import normalize
from harness.scoring.overlap import Overlap, Reference, References, Shared, published
from harness.scoring.tokens import places, words
from harness.scoring.verdict import Verdict, names_in, verdict, verdicts

__all__ = [
    "Overlap",
    "Reference",
    "References",
    "Shared",
    "Verdict",
    "finder",
    "names_in",
    "normalize",
    "overlap_scorer",
    "places",
    "published",
    "verdict",
    "verdict_scorer",
    "verdicts",
    "words",
]
