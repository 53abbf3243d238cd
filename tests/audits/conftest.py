"""An empty history of audits, on a database of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.audits.history import History
from harness.journal import open_engine


@pytest.fixture
def history(database: str) -> Iterator[History]:
    made = History(open_engine(database))
    yield made
    made.engine.dispose()
