"""The report: what people look at and hand on.

In: tables, and the samples behind them. Out: a story in sentences (`story.py`, read it first; who
recites whom is told by `shared.py`), a page (`page.py`; what it shows of single samples is gathered
by `keeper.py`), the terminal's views (`terminal.py`), single samples (`trace.py`), a page to read
replies on (`sheet.py`), a run as
evidence (`bundle.py`) and for other tools (`export.py`).
"""

from harness.report.bundle import bundle, verify
from harness.report.evaluation import show_evaluation, write_evaluation
from harness.report.export import export
from harness.report.page import write_page
from harness.report.sheet import write_sheet
from harness.report.terminal import show_bars, show_ending, show_rates
from harness.report.trace import find_samples, whole_sample

__all__ = [
    "bundle",
    "export",
    "find_samples",
    "show_bars",
    "show_ending",
    "show_evaluation",
    "show_rates",
    "verify",
    "whole_sample",
    "write_evaluation",
    "write_page",
    "write_sheet",
]
