"""Scoring of many stored samples: it goes on where it was killed, and its memory against 600 MB.

usage: python benchmarks/stored.py [SAMPLES]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from harness.campaign import Plan, from_text
from harness.journal import Run, Sampled, Writer, begin_run, find_run
from harness.journal.schema import scores
from harness.sampling import prepare
from harness.targets import Booked, Context, Reply, Response

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
LIMIT_MB = 600
#: The share of the texts after which the first process is killed.
KILLED_AT = 0.4
TEXT = """campaign: many
targets:
  - {{name: t, role: suspect, engine: endpoint, base_url: 'http://h/v1', model: m,
      api_key_env: null}}
arms: [absent]
probes: [identity]
languages: [en]
samples: {each}
"""
CHILD = """
import resource, sys
from pathlib import Path
from harness.counting import Scoring
from harness.journal import find_run
run = find_run("many", Path(sys.argv[1]), None)
print(sum(1 for _ in Scoring(run.journal.engine).score(run.journal.rows())), flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def made(folder: Path) -> Run:
    """A run whose replies are all different."""
    each = SAMPLES // len(Plan(from_text(TEXT.format(each=1), "many.yaml", folder)))
    loaded = from_text(TEXT.format(each=each), "many.yaml", folder)
    run = begin_run(loaded, "many", folder, None)
    prepare(loaded, run.journal)
    writer = Writer(run.journal)
    for trial in Plan(loaded):
        for first in range(0, trial.samples, 1000):
            block = range(first, min(first + 1000, trial.samples))
            said = (f"I am Nex, and this is answer {trial.position}-{i} of many." for i in block)
            replies = [Reply(i, "ok", text=text) for i, text in zip(block, said, strict=True)]
            response = Response(replies, Context({"temperature": 1.0}), model="m")
            writer.save([Sampled(trial, response, Booked(1, 0, 9, 9))])
    return run


def scored(run: Run) -> int:
    """Texts that the database holds a score of."""
    with run.journal.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(scores)).scalar_one())


with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    made(folder).journal.engine.dispose()
    run = find_run("many", folder, None)
    command = [sys.executable, "-c", CHILD, str(folder)]
    began = time.monotonic()
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while scored(run) < KILLED_AT * SAMPLES and first.poll() is None:
        time.sleep(0.05)
    first.kill()
    first.wait()
    kept, took = scored(run), time.monotonic() - began
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, peak = map(int, done.stdout.split())
    rest = time.monotonic() - began
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    again = time.monotonic() - began
    share = rest / (took + rest)
    print(
        f"{rows:,} samples; killed at {kept:,}, the rest took {share:.0%} of the time; "
        f"read again in {again / (took + rest):.0%} of it; "
        f"peak {peak} MB, ratio to the limit {peak / LIMIT_MB:.2f}"
    )
