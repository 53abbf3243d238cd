"""Audits: a campaign on a schedule, compared with what was seen before.

In: an audit's file and the history of its runs. Out: events, told once to whom they concern, and a
page. Read `config.py` (what an audit is), then `audit.py` (one from beginning to end);
`watching.py` judges what was seen (`seen.py`) with the tests of `drift.py`, `alarms.py` tells,
`serve.py` keeps the schedule.
"""

from harness.audits.audit import open_history, present, reaches, run_audit, told
from harness.audits.config import Audit, load_audit
from harness.audits.exporting import events_frame, history_frame
from harness.audits.forget import forget_older
from harness.audits.instants import duration
from harness.audits.metrics import exposition
from harness.audits.operating import accept, acknowledge, silence, test_alarm
from harness.audits.power import drops
from harness.audits.serve import open_server
from harness.audits.status import show_status, status_data
from harness.audits.timeline import write_timeline

__all__ = [
    "Audit",
    "accept",
    "acknowledge",
    "drops",
    "duration",
    "events_frame",
    "exposition",
    "forget_older",
    "history_frame",
    "load_audit",
    "open_history",
    "open_server",
    "present",
    "reaches",
    "run_audit",
    "show_status",
    "silence",
    "status_data",
    "test_alarm",
    "told",
    "write_timeline",
]
