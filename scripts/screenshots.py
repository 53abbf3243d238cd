"""Screenshots for the README: `python scripts/screenshots.py results/rio-lab/report.html docs [results/weights-linear/weights.svg]`."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

report, to = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
executable = next(
    found
    for name in ("chromium", "chromium-browser", "google-chrome")
    if (found := shutil.which(name))
)
with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
    for scheme, height in (("light", 680), ("dark", 680)):
        tab = browser.new_page(viewport={"width": 1200, "height": height}, color_scheme=scheme)
        tab.goto(report.as_uri())
        tab.wait_for_selector("#transcripts li")
        picture = Image.open(io.BytesIO(tab.screenshot()))
        picture.convert("RGB").quantize(64).save(to / f"report-{scheme}.png", optimize=True)
    tab = browser.new_page(viewport={"width": 1200, "height": 520})
    tab.goto(report.as_uri() + "#recitals")
    tab.wait_for_selector("#transcripts li")
    tab.wait_for_timeout(800)
    Image.open(io.BytesIO(tab.screenshot())).convert("RGB").quantize(64).save(
        to / "report-recitals.png", optimize=True
    )
    if len(sys.argv) > 3:
        tab = browser.new_page(viewport={"width": 1000, "height": 420})
        tab.goto(Path(sys.argv[3]).resolve().as_uri())
        Image.open(io.BytesIO(tab.screenshot())).convert("RGB").quantize(64).save(
            to / "weights.png", optimize=True
        )
    browser.close()
