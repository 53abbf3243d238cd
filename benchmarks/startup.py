"""How long `truename --help` takes, as a ratio to an interpreter that only imports click.

Medians of 15 runs each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def median_seconds(command: list[str]) -> float:
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


ours = median_seconds([sys.executable, "-m", "harness.cli", "--help"])
bare = median_seconds([sys.executable, "-c", "import click"])
print(f"truename --help {ours:.3f} s, import click {bare:.3f} s, ratio {ours / bare:.2f}")
