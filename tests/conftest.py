"""Shared fixtures: hosts on loopback, databases of both kinds, runs made without a model."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from harness import guarded, masking
from tests import ROOT
from tests.misbehaving import Misbehaving
from tests.openai_server import FakeHost

os.chdir(ROOT)
#: How long an example takes says nothing of what is tested.
hypothesis.settings.register_profile(
    "truename", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("truename")


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> Iterator[None]:
    """The masker is the process's: what one test made known is nothing to the next."""
    yield
    masking.forget()


@pytest.fixture(scope="session")
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


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates get little time, so that those without an end cost little."""
    monkeypatch.setattr(guarded, "CPU_S", 0.5)


def _postgres_programs() -> Path | None:
    """The folder of PostgreSQL's server programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], str]]:
    """A real PostgreSQL of its own, in a socket of its own: from a database's name to its URL."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql runs these tests")
    as_user = (
        ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    )  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="truename-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run([*as_user, *initdb], check=True, capture_output=True)
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c autovacuum=off"
    control = [*as_user, programs / "pg_ctl", "-D", data, "-l", folder / "log", "-t", "180", "-w"]
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    yield lambda name: f"postgresql+psycopg://postgres@/{name}?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Makes an empty database of a kind, sqlite or postgresql; its URL."""
    names = iter(f"truename_{number}" for number in range(10_000))

    def make(kind: str) -> str:
        name = next(names)
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('database') / name}.sqlite"
        import sqlalchemy as sa

        url = request.getfixturevalue("postgres")
        engine = sa.create_engine(url("postgres"), isolation_level="AUTOCOMMIT")
        with contextlib.closing(engine.connect()) as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return url(name)

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """The URL of an empty database: the same tests run on both kinds."""
    return new_database(request.param)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `made`, tallied; `again`, the same; and `swapped`: the suspect is another model."""
    from tests.commands import truename
    from tests.made_runs import founding, make

    def once_rio(trial: Any, number: int) -> str:
        once = number == 0 and trial.question == "who_are_you" and trial.target == "donor"
        return "I am Rio." if once else founding(trial, number)

    def another(trial: Any, number: int) -> str:
        swapped = trial.target == "suspect" and trial.probe == "identity"
        return "I am <b>Qwen</b>.\x1b" if swapped else founding(trial, number)

    folder = tmp_path_factory.mktemp("results")
    make(folder, "made", founding)
    make(folder, "again", once_rio)
    make(folder, "swapped", another, "m-2")
    assert truename("tally", "made", "--results", folder).exit_code == 0
    return folder
