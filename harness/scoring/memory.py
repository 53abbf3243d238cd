"""What was looked up once, remembered up to a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """A mapping that makes what it lacks; full, it begins anew.

    Unlike `functools.lru_cache` it is a plain dict where nothing is missing, and what
    `str.translate` takes.
    """

    def __init__(self, make: Callable[[K], V], most: int) -> None:
        self._make, self._most = make, most

    def __missing__(self, key: K) -> V:
        if len(self) >= self._most:
            self.clear()
        self[key] = made = self._make(key)
        return made
