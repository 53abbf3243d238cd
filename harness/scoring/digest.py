"""What a scorer is: the digest of everything that decides what it finds in a text.

Two texts are scored alike where the digests are the same, so what was found once may be kept under
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from harness.campaign import folders

HERE: Final = Path(__file__).parent
LENGTH: Final = 16


@cache
def verdict_scorer() -> str:
    """The digest of what decides verdicts: code, weights and word lists, and the identity book."""
    return _digest([*_own(), *_book()])


@cache
def overlap_scorer() -> str:
    """The digest of what decides overlaps: all that decides verdicts, and the reference texts."""
    rooms = sorted((HERE / "overlap").glob("*.py"))
    return _digest([*_own(), *_book(), *rooms, *folders.every("probes/backstories", "*.md")])


def _own() -> list[Path]:
    """The rooms that judge, what was fitted, and the word lists; not what was learned from."""
    patterns = ("*.py", "data/*.yaml", "data/*.txt", "fitted/[!.]*")
    return [path for pattern in patterns for path in sorted(HERE.glob(pattern))]


def _book() -> list[Path]:
    return folders.every("probes/identities", "*.yaml")


def _digest(paths: Iterable[Path]) -> str:
    said = hashlib.sha256()
    for path in paths:
        said.update(hashlib.sha256(path.read_bytes()).digest())
    return said.hexdigest()[:LENGTH]
