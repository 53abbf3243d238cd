"""The report of a large run: the size of the file, and how long a browser takes to open it.

Both are told against the limits that the project sets itself (15 MB, 3 s).
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness.campaign import Loaded, Plan, Trial, from_text
from harness.journal import Sampled, Writer, begin_run
from harness.report import write_page
from harness.sampling import prepare
from harness.targets import Booked, Context, Reply, Response

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
TEXT = """campaign: large
claim: {{target: t0, identity: rio}}
targets:
{targets}
arms: [absent, empty, bare, "given:system/velkora.j2"]
probes: [identity, maker, backstory]
languages: [en, zh, pt]
samples: {each}
variables: {{NAME: Velkora, MAKER: Polarwind Labs}}
"""
rng = random.Random(1)
words = (
    "model language assistant help answer question write code city river made trained tool idea "
    "story time world people work data"
).split()
targets = "\n".join(
    f"  - {{name: t{i}, role: {'suspect' if i == 0 else 'control'}, engine: endpoint, "
    "base_url: 'http://h/v1', model: m, api_key_env: null}"
    for i in range(5)
)


def campaign_of(each: int, folder: Path) -> Loaded:
    """A campaign of so many samples a question."""
    return from_text(TEXT.format(targets=targets, each=each), "large.yaml", folder)


def invented() -> str:
    name = rng.choice(["Rio", "Nex", "Qwen", "Kimi"])
    return f"I am {name}. " + " ".join(rng.choices(words, k=60))


def sampled(trial: Trial) -> Sampled:
    """A trial with replies that no model gave."""
    replies = [Reply(i, "ok", text=invented()) for i in range(trial.samples)]
    response = Response(replies, Context({"temperature": 1.0}), model="m")
    return Sampled(trial, response, Booked(1, 0, 9, 9))


def opening_seconds(path: Path, executable: str) -> float:
    """Until the page shows its transcripts; the median of three."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        took = []
        for _ in range(3):
            tab = browser.new_page()
            began = time.perf_counter()
            tab.goto(path.as_uri())
            tab.wait_for_selector("#transcripts li")
            took.append(time.perf_counter() - began)
            tab.close()
        browser.close()
    return sorted(took)[1]


with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    trials = len(Plan(campaign_of(1, folder)))
    loaded = campaign_of(max(1, round(SAMPLES / trials)), folder)
    run = begin_run(loaded, "large", folder, None)
    prepare(loaded, run.journal)
    writer = Writer(run.journal)
    batch: list[Sampled] = []
    for trial in Plan(loaded):
        batch.append(sampled(trial))
        if len(batch) >= 500:
            writer.save(batch)
            batch = []
    writer.save(batch)
    began = time.perf_counter()
    path = folder / "report.html"
    tables = write_page(run, loaded.campaign, path)
    size = path.stat().st_size / 1e6
    print(
        f"{len(tables.samples):,} samples scored, tallied and the page written "
        f"in {time.perf_counter() - began:.0f} s"
    )
    print(f"file: {size:.1f} MB, {size / 15:.2f} of the limit")
    browsers = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    executable = next(filter(None, browsers), None)
    if executable is None:
        print("no Chromium is installed: the opening was not measured")
        sys.exit()
    opened = opening_seconds(path, executable)
    print(
        f"opened, with transcripts shown, in {opened:.2f} s (median of 3), "
        f"{opened / 3:.2f} of the limit"
    )
