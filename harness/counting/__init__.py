"""Counting: verdicts to rates, comparisons and tables.

In: rows of a journal (or replies of other tools, or labels of people) and what scoring finds in
them. Out: tables. Read `scored.py` first (each text is scored once), then `tally.py`; `rates.py`
counts, `compare.py` sets two runs side by side, `evaluate.py` says how right the classifier is.

A room is imported when one of its names is taken: to score one reply needs no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.counting.compare import compare_runs, junit, told
    from harness.counting.confusion import Confusion
    from harness.counting.confusion import confusion as error_rates
    from harness.counting.counted import Counted
    from harness.counting.evaluate import evaluate as evaluate_labels
    from harness.counting.replies import score_file
    from harness.counting.scored import Scored, Scoring
    from harness.counting.tally import TABLES, Tables
    from harness.counting.tally import tally as make_tables

__all__ = [
    "TABLES",
    "Confusion",
    "Counted",
    "Scored",
    "Scoring",
    "Tables",
    "compare_runs",
    "error_rates",
    "evaluate_labels",
    "junit",
    "make_tables",
    "score_file",
    "told",
]
#: The room of each name, and what it is called there.
_ROOMS = {
    "TABLES": ("tally", "TABLES"),
    "Confusion": ("confusion", "Confusion"),
    "Counted": ("counted", "Counted"),
    "Scored": ("scored", "Scored"),
    "Scoring": ("scored", "Scoring"),
    "Tables": ("tally", "Tables"),
    "compare_runs": ("compare", "compare_runs"),
    "error_rates": ("confusion", "confusion"),
    "evaluate_labels": ("evaluate", "evaluate"),
    "junit": ("compare", "junit"),
    "make_tables": ("tally", "tally"),
    "score_file": ("replies", "score_file"),
    "told": ("compare", "told"),
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, called = _ROOMS[name]
    return getattr(import_module(f"{__name__}.{room}"), called)
