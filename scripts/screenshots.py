"""Screenshots for the README.

usage: python scripts/screenshots.py results/rio-lab/report.html docs
       [results/weights-linear/weights.svg]
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

report, to = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
browsers = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
executable = next(filter(None, browsers))


def save(tab: Page, name: str) -> None:
    """A screenshot in 64 colours, which are enough for it."""
    picture = Image.open(io.BytesIO(tab.screenshot()))
    picture.convert("RGB").quantize(64).save(to / name, optimize=True)


with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
    for scheme, height in (("light", 680), ("dark", 680)):
        tab = browser.new_page(viewport={"width": 1200, "height": height}, color_scheme=scheme)
        tab.goto(report.as_uri())
        tab.wait_for_selector("#transcripts li")
        save(tab, f"report-{scheme}.png")
    tab = browser.new_page(viewport={"width": 1200, "height": 520})
    tab.goto(report.as_uri() + "#recitals")
    tab.wait_for_selector("#transcripts li")
    tab.wait_for_timeout(800)
    save(tab, "report-recitals.png")
    if len(sys.argv) > 3:
        tab = browser.new_page(viewport={"width": 1000, "height": 420})
        tab.goto(Path(sys.argv[3]).resolve().as_uri())
        save(tab, "weights.png")
    browser.close()
