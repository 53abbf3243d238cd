"""Counting: verdicts to rates, comparisons and tables.

In: rows of a journal (or replies of other tools, or labels of people) and what scoring finds in
them. Out: tables. Read `scored.py` first (each text is scored once), then `tally.py`; `rates.py`
counts, `compare.py` sets two runs side by side, `evaluate.py` says how right the classifier is.
"""

from harness.counting.compare import compare, compare_runs, junit, read_samples, told
from harness.counting.confusion import Confusion, confusion
from harness.counting.counted import Counted
from harness.counting.evaluate import evaluate
from harness.counting.replies import score_file
from harness.counting.scored import Scored, Scoring
from harness.counting.tally import TABLES, Tables, tally

__all__ = [
    "TABLES",
    "Confusion",
    "Counted",
    "Scored",
    "Scoring",
    "Tables",
    "compare",
    "compare_runs",
    "confusion",
    "evaluate",
    "junit",
    "read_samples",
    "score_file",
    "tally",
    "told",
]
