"""Pictures of pages for README and docs: 1280 and 390 pixels wide, light and dark.

usage: python scripts/screenshots.py FOLDER NAME=PAGE ...

`docs report=results/rio-lab/report.html audits=results/index.html` writes FOLDER/NAME-light.png,
NAME-dark.png, NAME-phone-light.png and NAME-phone-dark.png, and of a page with recitals or heat
maps NAME-recitals.png and NAME-phone-heat.png. A PAGE that is an SVG file becomes NAME.png.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

WIDE, PHONE = (1280, 720), (390, 844)


def save(tab: Page, path: Path) -> None:
    """A screenshot in 256 colours, which are enough for it."""
    tab.wait_for_function("!document.fonts || document.fonts.status == 'loaded'")
    picture = Image.open(io.BytesIO(tab.screenshot()))
    picture.convert("RGB").quantize(256).save(path, optimize=True)


def opened(browser: Browser, page: Path, size: tuple[int, int], scheme: str = "light") -> Page:
    """A tab of a size that shows the page."""
    view = {"width": size[0], "height": size[1]}
    tab = browser.new_page(viewport=view, color_scheme=scheme, reduced_motion="reduce")
    tab.goto(page.resolve().as_uri())
    return tab


def take(browser: Browser, page: Path, folder: Path, name: str) -> None:
    """All pictures of one page."""
    if page.suffix == ".svg":
        save(opened(browser, page, (1000, 420)), folder / f"{name}.png")
        return
    for kind, size in (("", WIDE), ("-phone", PHONE)):
        for scheme in ("light", "dark"):
            save(opened(browser, page, size, scheme), folder / f"{name}{kind}-{scheme}.png")
    for section, kind, size in (("recitals", "", WIDE), ("heat", "-phone", PHONE)):
        tab = opened(browser, page, size)
        if tab.locator(f"#{section}").count():
            tab.locator(f"#{section}").evaluate("e => e.scrollIntoView({behavior: 'instant'})")
            save(tab, folder / f"{name}{kind}-{section}.png")


if __name__ == "__main__":
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for words in sys.argv[2:]:
            name, _, page = words.partition("=")
            take(browser, Path(page), Path(sys.argv[1]), name)
        browser.close()
