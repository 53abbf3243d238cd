"""Shared fixtures: a clean cache for lab models, and the book from the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
os.chdir(ROOT)


@pytest.fixture
def root() -> Path:
    return ROOT
