"""What commands load before they can begin: once, by the server that processes are forked from."""

from __future__ import annotations

import matplotlib.backends.backend_svg
import matplotlib.figure
import pandas
import rich.console

import harness.audits
import harness.counting
import harness.report
import harness.sampling
import harness.targets.embedded
import harness.targets.endpoint
from harness.scoring import verdict

__all__ = ["harness", "matplotlib", "pandas", "rich"]
verdict("I am Nex, made by Nex-AGI.")
