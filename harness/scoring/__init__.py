"""Scoring: what a reply says of its speaker, and how much of a known text it recites.

In: text. Out: a `Verdict` (stance, names, makers, base, denied, each with its evidence) and an
`Overlap`. ::

    text -- reply.py         its own turn, normalised (normalize.py)
         |  mentions.py      names of the identity book      }  each becomes a mark,
         |  unlisted.py      what could be another name      }  so that any name is judged alike
         |  vocabulary.py    tokens as numbers, and what they are about (concepts.py)
         |  features.py      what stands around each mark (around.py), hashed (buckets.py)
         |  classifier.py    first look: how likely each role of a mention is
         |  second.py        second look: the mentions of a reply beside each other
         |  judging.py       what a mention says (slips.py: of one misspelt)
         |  claims.py        less what the reply takes back
         +- verdict.py       -> Verdict

    text -- overlap/         runs of words shared with known texts -> Overlap

Numbers that decide stand in `thresholds.py`, word lists in `data/<language>.yaml`, what was learned
in `fitted/`. How it was learned is a room of its own, `learning/`, which nothing here needs.
"""

from harness.scoring.digest import overlap_scorer, verdict_scorer
from harness.scoring.mentions import finder
from harness.scoring.normalize import normalize
from harness.scoring.overlap import (
    Overlap,
    Reference,
    References,
    Shared,
    places,
    published,
    words,
)
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
