"""The report of a large run: the size of the file, and how long a browser takes to open it, against the limits that the project sets itself (15 MB, 3 s)."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness.campaign import campaign as campaigns
from harness.campaign.plan import Plan
from harness.journal import runs
from harness.journal.journal import Sampled
from harness.report import page
from harness.sampling.sampler import prepare
from harness.targets import Context, Reply, Response
from harness.targets.limits import Booked

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
words = "model language assistant help answer question write code city river made trained tool idea story time world people work data".split()
targets = "\n".join(
    f"  - {{name: t{i}, role: {'suspect' if i == 0 else 'control'}, engine: endpoint, base_url: 'http://h/v1', model: m, api_key_env: null}}"
    for i in range(5)
)
with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    trials = len(
        Plan(campaigns.from_text(TEXT.format(targets=targets, each=1), "large.yaml", folder))
    )
    loaded = campaigns.from_text(
        TEXT.format(targets=targets, each=max(1, round(SAMPLES / trials))), "large.yaml", folder
    )
    run = runs.create(loaded, "large", folder, None)
    prepare(loaded, run.journal)
    batch: list[Sampled] = []
    for trial in Plan(loaded):
        texts = [
            f"I am {rng.choice(['Rio', 'Nex', 'Qwen', 'Kimi'])}. "
            + " ".join(rng.choices(words, k=60))
            for _ in range(trial.samples)
        ]
        batch.append(
            Sampled(
                trial,
                Response(
                    [Reply(i, "ok", text=text) for i, text in enumerate(texts)],
                    Context({"temperature": 1.0}),
                    model="m",
                ),
                Booked(1, 0, 9, 9),
            )
        )
        if len(batch) >= 500:
            run.journal.save(batch)
            batch = []
    run.journal.save(batch)
    began = time.perf_counter()
    path = folder / "report.html"
    tables = page.write(run, loaded.campaign, path)
    size = path.stat().st_size / 1e6
    print(
        f"{len(tables.samples):,} samples scored, tallied and the page written in {time.perf_counter() - began:.0f} s"
    )
    print(f"file: {size:.1f} MB, {size / 15:.2f} of the limit")
    executable = next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )
    if executable is None:
        print("no Chromium is installed: the opening was not measured")
        sys.exit()
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
    opened = sorted(took)[1]
    print(
        f"opened, with transcripts shown, in {opened:.2f} s (median of 3), {opened / 3:.2f} of the limit"
    )
