"""Where runs land: `results/<run>/` with the campaign verbatim, the journal, and the tables."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path
from typing import NamedTuple

from harness.campaign import Campaign, Loaded, from_text
from harness.errors import RunError, StoreError, did_you_mean
from harness.journal.address import shown
from harness.journal.database import open_engine, sqlite_url
from harness.journal.journal import Journal
from harness.journal.lock import Lock
from harness.masking import hide


class Run(NamedTuple):
    """One run: its folder and its journal."""

    name: str
    folder: Path
    journal: Journal


def checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise RunError(
            f"'{name}' cannot name a run",
            next="use letters, digits, dots, dashes and underscores, 64 at most",
        )
    return name


def begin_run(loaded: Loaded, name: str, results: Path, store: str | None) -> Run:
    """Open the run's folder and journal, making them if need be.

    The campaign's text is kept beside them.

    Raises
    ------
    RunError
        The folder cannot be written.
    StoreError
        The journal cannot be opened, or a part of it is missing.
    """
    folder = results / checked_name(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "campaign.yaml").exists():
            scratch = folder / f".campaign.{os.getpid()}"
            scratch.write_text(hide(loaded.source), "utf-8")
            os.replace(scratch, folder / "campaign.yaml")
    except OSError as problem:
        raise RunError(
            f"cannot write the run's folder: {problem}",
            where=str(folder),
            next="free some space, or choose another place with --results",
        ) from None
    return _opened(folder, store)


def _opened(folder: Path, store: str | None) -> Run:
    engine = open_engine(store or sqlite_url(folder / "journal.sqlite"))
    run = Run(folder.name, folder, Journal(engine, folder.name, folder))
    try:
        run.journal.check_whole()
    except StoreError:
        engine.dispose()
        raise
    return run


def set_aside(name: str, results: Path, store: str | None) -> str | None:
    """Give the run of some name another one, so that it can be begun anew.

    Returns the other name, or None where there is no such run.

    Raises
    ------
    RunError
        It is being sampled, or lies in a database of the user's own, which is not renamed in.
    """
    folder = results / checked_name(name)
    if not (folder / "campaign.yaml").is_file():
        return None
    if store is not None:
        raise RunError(
            "a run in a database of your own is not set aside",
            where=shown(store),
            next="begin another run with --run ANOTHER-NAME",
        )
    with Lock(folder):
        names = (f"{name}.before-{number}" for number in count(1))
        kept = next(other for other in names if not (results / other).exists())
        folder.rename(results / kept)
        engine = open_engine(sqlite_url(results / kept / "journal.sqlite"))
        Journal(engine, name).record.rename(kept)
        engine.dispose()
    return kept


def find_run(name: str, results: Path, store: str | None) -> Run:
    """A run by name, or by the path of its folder.

    Raises
    ------
    RunError
        There is no such run, or its journal is elsewhere.
    StoreError
        The journal cannot be opened, or a part of it is missing.
    """
    folder = Path(name) if Path(name, "campaign.yaml").is_file() else results / name
    if not (folder / "campaign.yaml").is_file():
        known = [p.parent.name for p in results.glob("*/campaign.yaml")]
        raise RunError(
            f"there is no run '{name}'{': ' + did_you_mean(name, known) if known else ''}",
            where=str(results),
            next="truename run CAMPAIGN makes one",
        )
    if store is None and not (folder / "journal.sqlite").is_file():
        alone = " but for its -wal" if (folder / "journal.sqlite-wal").is_file() else ""
        raise RunError(
            f"the run has no journal here{alone}",
            where=str(folder),
            next="give the database that it was sampled into with --store"
            if not alone
            else "copy journal.sqlite to its -wal; truename bundle makes a copy in one file",
        )
    return _opened(folder, store)


def campaign_of(run: Run) -> Campaign:
    """The campaign that a run was begun with.

    Raises
    ------
    RunError
        The journal does not know the run.
    """
    known = run.journal.record.describe()
    if known is None:
        raise RunError(
            "the journal does not know this run",
            where=run.name,
            next="truename run CAMPAIGN begins it",
        )
    where, folder = str(run.folder / "campaign.yaml"), Path(known["campaign_folder"])
    return from_text(known["campaign_source"], where, folder).campaign
