"""Counting: verdicts to rates, comparisons and tables.

In: rows of a journal (or replies of other tools, or labels of people) and what scoring finds in
them. Out: tables. Read `scored.py` first (each text is scored once), then `tally.py`; `rates.py`
counts, `compare.py` sets two runs side by side, `evaluate.py` says how right the classifier is.
What people read of a run: `drawn.py` (which replies), `labels.py` (what they say), `readings.py`
and `checked.py` (rates that hold whatever the classifier errs in), `agreement.py`. What a model
says of the same replies: `judge.py` (which), `hearing.py` (the asking), `judged.py` (one answer).

A room is imported when one of its names is taken: to score one reply needs no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.counting.agreement import agreement_of_judges, agreement_of_labels
    from harness.counting.agreement import told as agreement_lines
    from harness.counting.agreement import told_of_judges as agreement_lines_of_judges
    from harness.counting.compare import compare_runs, junit, told
    from harness.counting.confusion import Confusion
    from harness.counting.confusion import confusion as error_rates
    from harness.counting.counted import Counted
    from harness.counting.drawn import Draw, drawn_for
    from harness.counting.evaluate import evaluate as evaluate_labels
    from harness.counting.judge import Wanted as Judging
    from harness.counting.judge import judge as judge_replies
    from harness.counting.judge import told as judging_lines
    from harness.counting.kept import COUNTED
    from harness.counting.labels import (
        LABELLED,
        LABELS,
        NAMED_BY,
        Label,
        Stance,
        add_labels,
        append_labels,
        checked_labeller,
        choices,
        complaint,
        identity_of,
        now,
        readable,
    )
    from harness.counting.readings import Read
    from harness.counting.replies import score_file, score_input
    from harness.counting.samples import denies
    from harness.counting.scored import Scored, Scoring
    from harness.counting.sheet import Shown, to_read
    from harness.counting.tally import TABLES, Tables
    from harness.counting.tally import tally as make_tables

__all__ = [
    "COUNTED",
    "LABELLED",
    "LABELS",
    "NAMED_BY",
    "TABLES",
    "Confusion",
    "Counted",
    "Draw",
    "Judging",
    "Label",
    "Read",
    "Scored",
    "Scoring",
    "Shown",
    "Stance",
    "Tables",
    "add_labels",
    "agreement_lines",
    "agreement_lines_of_judges",
    "agreement_of_judges",
    "agreement_of_labels",
    "append_labels",
    "checked_labeller",
    "choices",
    "compare_runs",
    "complaint",
    "denies",
    "drawn_for",
    "error_rates",
    "evaluate_labels",
    "identity_of",
    "judge_replies",
    "judging_lines",
    "junit",
    "make_tables",
    "now",
    "readable",
    "score_file",
    "score_input",
    "to_read",
    "told",
]
#: The room of each name, and what it is called there.
_ROOMS = {
    "COUNTED": ("kept", "COUNTED"),
    "LABELS": ("labels", "LABELS"),
    "NAMED_BY": ("labels", "NAMED_BY"),
    "LABELLED": ("labels", "LABELLED"),
    "TABLES": ("tally", "TABLES"),
    "Confusion": ("confusion", "Confusion"),
    "Counted": ("counted", "Counted"),
    "Draw": ("drawn", "Draw"),
    "Judging": ("judge", "Wanted"),
    "Label": ("labels", "Label"),
    "Read": ("readings", "Read"),
    "Scored": ("scored", "Scored"),
    "Scoring": ("scored", "Scoring"),
    "Shown": ("sheet", "Shown"),
    "Stance": ("labels", "Stance"),
    "Tables": ("tally", "Tables"),
    "add_labels": ("labels", "add_labels"),
    "agreement_lines": ("agreement", "told"),
    "agreement_lines_of_judges": ("agreement", "told_of_judges"),
    "agreement_of_judges": ("agreement", "agreement_of_judges"),
    "agreement_of_labels": ("agreement", "agreement_of_labels"),
    "append_labels": ("labels", "append_labels"),
    "checked_labeller": ("labels", "checked_labeller"),
    "choices": ("labels", "choices"),
    "compare_runs": ("compare", "compare_runs"),
    "complaint": ("labels", "complaint"),
    "denies": ("samples", "denies"),
    "drawn_for": ("drawn", "drawn_for"),
    "error_rates": ("confusion", "confusion"),
    "evaluate_labels": ("evaluate", "evaluate"),
    "identity_of": ("labels", "identity_of"),
    "judge_replies": ("judge", "judge"),
    "judging_lines": ("judge", "told"),
    "junit": ("compare", "junit"),
    "make_tables": ("tally", "tally"),
    "now": ("labels", "now"),
    "readable": ("labels", "readable"),
    "score_file": ("replies", "score_file"),
    "score_input": ("replies", "score_input"),
    "to_read": ("sheet", "to_read"),
    "told": ("compare", "told"),
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, called = _ROOMS[name]
    return getattr(import_module(f"{__name__}.{room}"), called)
