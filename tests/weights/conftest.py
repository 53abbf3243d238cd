"""The parents of merges."""

from __future__ import annotations

import pytest

from tests.weights.models import BASE, DONOR, saved


@pytest.fixture(scope="session")
def parents(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A donor in three shards, and its base."""
    folder = tmp_path_factory.mktemp("parents")
    return [str(saved(folder / "donor", DONOR, shards=3)), str(saved(folder / "base", BASE))]
