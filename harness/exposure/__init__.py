"""Exposure: what stands before a question, injected by a template or hidden by a host.

In: a target, or a folder of a model's files. Out: evidence (`Inspection`). Read `inspect.py` first;
`evidence.py` holds its parts (templates, token counts, recitals), `named.py` what a user may name.
"""

from harness.exposure.inspect import Inspection, inspect, write
from harness.exposure.named import named

__all__ = ["Inspection", "inspect", "named", "write"]
