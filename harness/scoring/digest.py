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
    return _digest([*_own(), *folders.every("probes/identities", "*.yaml")])


@cache
def overlap_scorer() -> str:
    """The digest of what decides overlaps: all that decides verdicts, and the reference texts."""
    references = folders.every("probes/backstories", "*.md")
    return _digest([*_own(), *folders.every("probes/identities", "*.yaml"), *references])


def _own() -> list[Path]:
    """The rooms of this wing, and what was fitted; not the texts that it was fitted to."""
    fitted = (path for path in (HERE / "fitted").iterdir() if not path.name.startswith("."))
    files = [*HERE.glob("*.py"), *fitted, HERE / "training" / "never.txt"]
    return sorted(files, key=lambda path: path.relative_to(HERE).as_posix())


def _digest(paths: Iterable[Path]) -> str:
    said = hashlib.sha256()
    for path in paths:
        said.update(hashlib.sha256(path.read_bytes()).digest())
    return said.hexdigest()[:LENGTH]
