"""CPU seconds of each command on a sampled run, against its limit.

usage: python benchmarks/commands.py [FOLDER]; where it holds no results/rio-lab, that is sampled.
The least of some runs of each, so `tally` is that of a run that was tallied before; its first one
stands above. Python may keep its bytecode, as it does where truename is installed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

TIMES = 3
#: Command, its limit in CPU seconds; None: it scores anew, on purpose.
COMMANDS = {
    "tally rio-lab": 3.0,
    "report rio-lab": 3.0,
    "compare rio-lab rio-lab": 3.0,
    "bundle rio-lab": 3.0,
    "verify rio-lab.bundle.zip": None,
    "export rio-lab --to jsonl": 3.0,
    "show rio-lab --where arm=bare": 3.0,
    "score one.jsonl": 1.0,
}


KEEPING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cpu_seconds(folder: Path, command: str, times: int = TIMES) -> float:
    """The least of some runs, children included."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    least = float("inf")
    for _ in range(times):
        before = spent()
        program = [sys.executable, "-m", "harness.cli", *command.split()]
        subprocess.run(program, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=KEEPING)
        least = min(least, spent() - before)
    return least


with tempfile.TemporaryDirectory() as scratch:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
    (folder / "one.jsonl").write_text('{"reply": "I am Qwen, made by Alibaba Cloud."}\n', "utf-8")
    if not (folder / "results/rio-lab").exists():
        first = [sys.executable, "-m", "harness.cli", "run", "rio-lab", "--no-live"]
        subprocess.run(first, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "results/rio-lab/counted.json").unlink(missing_ok=True)
    print(f"tally rio-lab, first            {cpu_seconds(folder, 'tally rio-lab', 1):5.1f} CPU s")
    for command, limit in COMMANDS.items():
        seconds = cpu_seconds(folder, command)
        ratio = f", ratio to the limit {seconds / limit:.2f}" if limit else ", scores anew"
        print(f"{command:32} {seconds:5.1f} CPU s{ratio}")
