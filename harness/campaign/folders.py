"""Where `probes/` and `prompts/` lie: a user's own folders first, then those that ship.

Nothing is read from outside them: what is read of prompts is sent to hosts, and a campaign, or a
folder with a link in it, may be a stranger's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness.errors import PromptError

PACKAGE: Final = Path(__file__).parent.parent
#: In a wheel the data folders lie inside the package; in a checkout beside it.
SHIPPED: Final = PACKAGE / "_data" if (PACKAGE / "_data").is_dir() else PACKAGE.parent
_shipped_too = [True]


def candidates(relative: str | Path) -> Iterator[Path]:
    """The user's and the shipped path of ``relative``, existing or not.

    ``relative`` is such as ``prompts/identity/en.j2``.
    """
    yield Path.cwd() / relative
    if _shipped_too[0] and Path.cwd() != SHIPPED:
        yield SHIPPED / relative


def only_here() -> None:
    """From now on this process reads the folders where it stands, and none that ship.

    So what a run of before rested on is not mixed with what ships today.
    """
    _shipped_too[0] = False


def find(relative: str | Path) -> Path | None:
    """The first existing path of ``relative``, or None. Raises as `kept_within`."""
    found = next((path for path in candidates(relative) if path.exists()), None)
    return found and kept_within(Path(relative).parts[0], found)


def kept_within(folder: str, path: Path) -> Path:
    """The path, which really lies below the user's or the shipped ``folder``.

    Raises
    ------
    PromptError
        It leads elsewhere, by `..` or by a link.
    """
    roots = list(candidates(folder))
    # what ships may be made of links: some installers do that
    if path.is_relative_to(roots[-1]) and ".." not in path.parts and len(roots) > 1:
        return path
    real = path.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise PromptError(
            f"the file lies outside {folder}/; nothing is read from there",
            where=str(path),
            next=f"copy it into {folder}/ of the folder that you are in, and name it from there",
        )
    return path


def every(folder: str, pattern: str) -> list[Path]:
    """Files that match ``pattern`` under the shipped and the user's ``folder``.

    A user's file hides a shipped one of its name.
    """
    found: dict[str, Path] = {}
    for root in reversed(list(candidates(folder))):
        for path in sorted(root.glob(pattern)):
            kept_within(Path(folder).parts[0], path)
            found[str(path.relative_to(root))] = path
    return [found[name] for name in sorted(found)]


def cache_folder() -> Path:
    """Where what can be made again is kept: `TRUENAME_CACHE`, or the user's cache folder."""
    if chosen := os.environ.get("TRUENAME_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "truename"
