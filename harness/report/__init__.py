"""The report: what people look at and hand on.

In: tables, and the samples behind them. Out: a story in sentences (`story.py`, read it first; who
recites whom is told by `shared.py`), a page (`page.py`; what it shows of single samples is gathered
by `keeper.py`), the terminal's views (`terminal.py`), single samples (`trace.py`), a page to read
replies on (`sheet.py`), a run as evidence (`evidence/`) and for other tools (`export.py`).

A room is imported when one of its names is taken: a stranger's bundle is looked at by a process
that needs no charts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.report.evaluation import show_evaluation, write_evaluation
    from harness.report.evidence.packing import bundle
    from harness.report.evidence.registration import register, to_begin_with
    from harness.report.evidence.signatures import make_keys
    from harness.report.evidence.verify import verify
    from harness.report.export import export
    from harness.report.machine import as_data
    from harness.report.page import write_page
    from harness.report.sheet import write_sheet
    from harness.report.shortfall import Reasons, unfinished
    from harness.report.story import Story
    from harness.report.terminal import (
        show_banner,
        show_bars,
        show_ending,
        show_rates,
        told_of,
    )
    from harness.report.trace import find_samples, judged_sample, whole_sample

__all__ = [
    "Reasons",
    "Story",
    "as_data",
    "bundle",
    "export",
    "find_samples",
    "judged_sample",
    "make_keys",
    "register",
    "show_banner",
    "show_bars",
    "show_ending",
    "show_evaluation",
    "show_rates",
    "to_begin_with",
    "told_of",
    "unfinished",
    "verify",
    "whole_sample",
    "write_evaluation",
    "write_page",
    "write_sheet",
]
#: The room of each name.
_ROOMS = {
    "Reasons": "shortfall",
    "Story": "story",
    "as_data": "machine",
    "bundle": "evidence.packing",
    "export": "export",
    "find_samples": "trace",
    "judged_sample": "trace",
    "make_keys": "evidence.signatures",
    "register": "evidence.registration",
    "show_banner": "terminal",
    "show_bars": "terminal",
    "show_ending": "terminal",
    "show_evaluation": "evaluation",
    "show_rates": "terminal",
    "to_begin_with": "evidence.registration",
    "told_of": "terminal",
    "unfinished": "shortfall",
    "verify": "evidence.verify",
    "whole_sample": "trace",
    "write_evaluation": "evaluation",
    "write_page": "page",
    "write_sheet": "sheet",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = found  # a room of the same name must not hide it
    return found
