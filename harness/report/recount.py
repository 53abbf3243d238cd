"""A bundle's journal scored and counted anew, in a process of its own.

That process is `python -m harness.report.recount`. Nothing that the journal's database says
of its texts is believed: that is what verifying means.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.counting import Scoring, make_tables
from harness.errors import TruenameError
from harness.journal import Journal, Run, campaign_of, open_engine, sqlite_url


def recount(folder: Path, name: str) -> None:
    """Write the tables of the run ``name`` in a folder again.

    Raises
    ------
    TruenameError
        The journal cannot be read, or holds no such run.
    """
    engine = open_engine(sqlite_url(folder / "journal.sqlite"))
    run = Run(name, folder, Journal(engine, name))
    make_tables(run.journal, campaign_of(run), folder, scoring=Scoring(None))
    engine.dispose()


if __name__ == "__main__":
    try:
        recount(Path(sys.argv[1]), sys.argv[2])
    except TruenameError as error:
        sys.exit(str(error))
