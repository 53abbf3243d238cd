"""Sampling: the orchestrator.

In: a plan, and targets to ask. Out: samples in the journal, which are there before they count. Read
`sitting.py`, then `sampler.py`; `owed.py` says what is still owed, `committer.py` is the one
writer, `ending.py` says what a signal does, `stopping.py` ends an arm once its case is clear,
`watch.py` shows how far the run is.
"""

from harness.sampling.ending import first_of, stop_at_signals
from harness.sampling.owed import owing
from harness.sampling.progress import Counts, Progress
from harness.sampling.resume import REGISTERED_AS, prepare, versions
from harness.sampling.sampler import Sampler
from harness.sampling.sitting import Sat, Sitting, sit
from harness.sampling.stopping import Answer, Decision, Early, MakeEarly
from harness.sampling.watch import Watch

__all__ = [
    "REGISTERED_AS",
    "Answer",
    "Counts",
    "Decision",
    "Early",
    "MakeEarly",
    "Progress",
    "Sampler",
    "Sat",
    "Sitting",
    "Watch",
    "first_of",
    "owing",
    "prepare",
    "sit",
    "stop_at_signals",
    "versions",
]
