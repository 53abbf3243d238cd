"""Shared fixtures: a clean cache for lab models, and the book from the checkout."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving
from openai_server import FakeHost

ROOT = Path(__file__).parent.parent
os.chdir(ROOT)


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def host() -> Iterator[Callable[..., Misbehaving]]:
    """Starts hosts that misbehave to the byte."""
    yield from _started(Misbehaving)


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeHost]]:
    """Starts hosts that answer by a function."""
    yield from _started(FakeHost)


def _started(kind: Any) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def start(*arguments: Any) -> Any:
        made.append(kind(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.close()


def _postgres_programs() -> Path | None:
    """The folder of PostgreSQL's server programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL of its own on loopback; its URL without a database's name."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql runs these tests")
    as_user = (
        ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    )  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="truename-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run(
        [*as_user, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *as_user,
            programs / "pg_ctl",
            "-D",
            data,
            "-o",
            options,
            "-l",
            folder / "log",
            "-w",
            "start",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    yield f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    subprocess.run(
        [*as_user, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(folder, ignore_errors=True)


_databases = iter(range(10_000))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: the same tests run on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database.sqlite'}"
    import sqlalchemy as sa

    server = request.getfixturevalue("postgres")
    name = f"truename_{next(_databases)}"
    engine = sa.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with contextlib.closing(engine.connect()) as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
def watched() -> Iterator[Callable[..., Any]]:
    """Opens a page in a Chromium of the machine, in a tab that notes its troubles and requests.

    The browser is started at the first call: while it runs, no other event loop can run in this thread.
    """
    executable = next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
            if (found := shutil.which(name))
        ),
        None,
    )
    with contextlib.ExitStack() as stack:
        browser: list[Any] = []

        def start(url: str, scheme: str = "light") -> Any:
            if executable is None:
                pytest.skip(
                    "no Chromium is installed: apt-get install chromium runs the browser tests"
                )
            if not browser:
                from playwright.sync_api import sync_playwright

                browser.append(
                    stack.enter_context(sync_playwright()).chromium.launch(
                        executable_path=executable, args=["--no-sandbox"]
                    )
                )
                stack.callback(browser[0].close)
            tab = browser[0].new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
            tab.trouble, tab.requests = [], []
            tab.on("console", lambda message: tab.trouble.append(message.text))
            tab.on("pageerror", lambda error: tab.trouble.append(str(error)))
            tab.on("request", lambda asked: tab.requests.append(asked.url))
            tab.goto(url)
            return tab

        yield start


def axe(tab: Any) -> list[Any]:
    """What axe-core finds wrong with a page, all details open."""
    import axe_playwright_python

    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    tab.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8"))
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in tab.evaluate("axe.run()")["violations"]]
