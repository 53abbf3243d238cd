"""Exposure: what stands before a question, injected by a template or hidden by a host.

In: a target, or a folder of a model's files (`named.py` says what a user may name). Out: evidence
(`Inspection`). Read `inspect.py` first; it asks three sources: the template (`injected.py`, by the
process of `watched.py`), token counts (`counts.py`) and recitals (`recited.py`).
"""

from harness.exposure.counts import Account, Counted, account, probes
from harness.exposure.findings import Inspection, write
from harness.exposure.injected import Injection
from harness.exposure.inspect import inspect
from harness.exposure.named import asked, named
from harness.exposure.tokenizers import Fingerprint, fingerprint

__all__ = [
    "Account",
    "Counted",
    "Fingerprint",
    "Injection",
    "Inspection",
    "account",
    "asked",
    "fingerprint",
    "inspect",
    "named",
    "probes",
    "write",
]
