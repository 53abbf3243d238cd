"""One process a run."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.journal.text import now


class Lock:
    """Keeps a second process off a run; the holder is named.

    A lock of a dead process frees itself (it is the kernel's).
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._file: Any = None

    def __enter__(self) -> Lock:
        import fcntl

        try:
            self._file = self.path.open("a+", encoding="utf-8")
        except OSError as problem:
            raise StoreError(
                f"the run's folder cannot be written: {problem.strerror}",
                where=str(self.path.parent),
                next="choose a folder that can be written with --results",
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise StoreError(
                f"the run is being sampled by {holder}",
                where=str(self.path.parent),
                next="wait for it to end, or stop it and run again",
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
