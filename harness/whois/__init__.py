"""Who answers? One short check of a target: what it says, what stands before, how it behaves.

In: a target, and who it is presented as. Out: a `Dossier`: a verdict by a rule that was written
down before (docs/whois.md), and a line for each witness, which are never folded into one number.
Read `dossier.py` first; `asking.py` asks.
"""

from harness.whois.asking import REQUESTS, ask
from harness.whois.dossier import Dossier, Outcome, Witness, decided, lines

__all__ = ["REQUESTS", "Dossier", "Outcome", "Witness", "ask", "decided", "lines"]
