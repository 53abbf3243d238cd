"""The journal: what was asked, what was sent and what came back.

In: responses of targets. Out: rows, in the order of the plan, that scoring and counting read alone.
Read `journal.py` first, then `writer.py` (exactly once) and `scores.py` (each text is scored once).
"""

from harness.journal.database import checkpoint, open_engine, sqlite_url
from harness.journal.journal import Counted, Journal
from harness.journal.lock import Lock
from harness.journal.rows import Sampled
from harness.journal.runs import Run, begin_run, campaign_of, checked_name, find_run, set_aside
from harness.journal.scores import Scores, text_key
from harness.journal.writer import Writer

__all__ = [
    "Counted",
    "Journal",
    "Lock",
    "Run",
    "Sampled",
    "Scores",
    "Writer",
    "begin_run",
    "campaign_of",
    "checked_name",
    "checkpoint",
    "find_run",
    "open_engine",
    "set_aside",
    "sqlite_url",
    "text_key",
]
