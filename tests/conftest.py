"""Shared fixtures: a clean cache for lab models, and the book from the checkout."""

from __future__ import annotations

import os
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
