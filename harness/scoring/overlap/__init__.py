"""Verbatim overlap: how much of a known text a reply says word for word, and how rare that is.

`tokens.py` cuts texts into words, `references.py` finds runs of them that a reply shares with known
texts, and `null.py` says how likely a run is where nobody recites anything.
"""

from harness.scoring.overlap.null import Null, null
from harness.scoring.overlap.references import (
    MIN_RUN,
    Overlap,
    Reference,
    References,
    Shared,
    published,
)
from harness.scoring.overlap.tokens import places, words

__all__ = [
    "MIN_RUN",
    "Null",
    "Overlap",
    "Reference",
    "References",
    "Shared",
    "null",
    "places",
    "published",
    "words",
]
