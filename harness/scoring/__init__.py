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
         +- scorer.py        -> Verdict (found.py)

    text -- overlap/         runs of words shared with known texts -> Overlap

Numbers that decide stand in `thresholds.py`, word lists in `data/<language>.yaml`, what was learned
in `fitted/`. How it was learned is a room of its own, `learning/`, which nothing here needs. The
rooms that judge are imported when one of their names is taken: to show what was found before needs
none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.scoring.digest import overlap_scorer, verdict_scorer
from harness.scoring.found import Verdict
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

if TYPE_CHECKING:
    from harness.scoring.mentions import finder
    from harness.scoring.scorer import names_in, verdict, verdicts

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
_ROOMS = {"finder": "mentions"} | dict.fromkeys(("names_in", "verdict", "verdicts"), "scorer")


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
