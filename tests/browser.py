"""A real browser: the machine's Chromium, and what axe-core says of a page."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@contextlib.contextmanager
def chromium() -> Iterator[Callable[..., Any]]:
    """Opens pages, each in a tab that notes its troubles and requests.

    While the browser runs, no other event loop can run in this thread.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    executable = next((found for name in names if (found := shutil.which(name))), None)
    if executable is None:
        pytest.skip("no Chromium is installed: apt-get install chromium runs the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=executable, args=["--no-sandbox"])

        def watched(url: str, scheme: str = "light") -> Any:
            tab = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
            tab.trouble, tab.requests = [], []
            tab.on("console", lambda message: tab.trouble.append(message.text))
            tab.on("pageerror", lambda error: tab.trouble.append(str(error)))
            tab.on("request", lambda asked: tab.requests.append(asked.url))
            tab.goto(url)
            return tab

        yield watched
        browser.close()


def axe(tab: Any) -> list[Any]:
    """What axe-core finds wrong with a page, all details open."""
    import axe_playwright_python

    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    tab.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8"))
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in tab.evaluate("axe.run()")["violations"]]
