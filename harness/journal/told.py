"""How many samples of a run somebody was told of: a journal that holds fewer has lost some.

The number stands in a small file beside the journal, and is written after each commit, before the
progress is told. So it is never more than the journal held, unless a part of the journal was lost:
its `-wal` was not copied or was deleted, or an older copy was put in its place.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

NAME = "journal.told"


class Told:
    """The number, in a file of a run's folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / NAME

    def read(self) -> int:
        """Samples that were told of; 0 where nobody knows."""
        try:
            return int(self.path.read_text("ascii")[:20]) if self.path else 0
        except (OSError, ValueError):
            return 0

    def note(self, samples: int) -> None:
        """Write down that so many are in the journal; where that cannot be, less is promised."""
        if self.path is not None:
            with suppress(OSError), self.path.open("r+" if self.path.exists() else "w") as out:
                out.write(f"{samples:<20}\n")  # as many bytes each time: never half a number
