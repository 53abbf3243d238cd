"""Scoring of many stored samples: it goes on where it was killed, and its memory against 600 MB.

usage: python benchmarks/stored.py [SAMPLES]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
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
#: Samples of a question that come with one request.
BLOCK = 32
#: One reply in so many names its speaker, which takes a verdict four times as long.
NAMING = 10
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


def _said(position: int, number: int) -> str:
    """A reply that no other is the same as; one in `NAMING` names its speaker."""
    own = "I am Nex, and this" if number % NAMING == 0 else "This"
    return f"{own} is answer {position}-{number} of many."


def made(folder: Path) -> Run:
    """A run whose replies are all different."""
    each = SAMPLES // len(Plan(from_text(TEXT.format(each=1), "many.yaml", folder)))
    loaded = from_text(TEXT.format(each=each), "many.yaml", folder)
    run = begin_run(loaded, "many", folder, None)
    prepare(loaded, run.journal)
    writer = Writer(run.journal)
    context = Context({"temperature": 1.0})
    for trial in Plan(loaded):
        blocks = []
        for first in range(0, trial.samples, BLOCK):
            numbers = range(first, min(first + BLOCK, trial.samples))
            replies = [Reply(i, "ok", text=_said(trial.position, i)) for i in numbers]
            response = Response(replies, context, model="m")
            blocks.append(Sampled(trial, response, Booked(1, 0, 9, 9)))
        writer.save(blocks)
    return run


def scored(run: Run) -> int:
    """Texts that the database holds a score of."""
    with run.journal.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(scores)).scalar_one())


class Scorer:
    """A process that scores a run; the most that its folder took on the disk meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.most_mb, self.began = folder, 0, time.monotonic()
        command = [sys.executable, "-c", CHILD, str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def until(self, done: Callable[[], bool]) -> float:
        """Wait until the process has ended, or something is so; returns the seconds."""
        while self.process.poll() is None and not done():
            with suppress(FileNotFoundError):  # SQLite takes files away as it likes
                sizes = [path.stat().st_size for path in self.folder.rglob("*.sqlite*")]
                self.most_mb = max(self.most_mb, sum(sizes) >> 20)
            time.sleep(1)  # to count a million costs as much as to score some hundreds
        return time.monotonic() - self.began


with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    made(folder).journal.engine.dispose()
    run = find_run("many", folder, None)
    first = Scorer(folder)
    took = first.until(lambda: scored(run) >= KILLED_AT * SAMPLES)
    first.process.kill()
    first.process.wait()
    kept = scored(run)
    second = Scorer(folder)
    rest = second.until(lambda: False)
    rows, peak = map(int, second.process.communicate()[0].split())
    again = Scorer(folder).until(lambda: False)
    share = rest / (took + rest)
    print(
        f"{rows:,} samples; killed at {kept:,}, the rest took {share:.0%} of the time; "
        f"read again in {again / (took + rest):.0%} of it; "
        f"peak {peak} MB, ratio to the limit {peak / LIMIT_MB:.2f}; "
        f"{max(first.most_mb, second.most_mb):,} MB on the disk at most"
    )
