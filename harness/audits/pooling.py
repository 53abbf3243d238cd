"""How long a target stays in one of several states: whether it goes back and forth, or settled."""

from __future__ import annotations

from typing import Final

#: A switch back and forth is told as what it is from this return to a known state on.
RETURNS: Final = 2
#: Audits in a row in one of several states after which it is taken to stay there, and how many
#: times longer than ever before that is.
STAYS: Final = 30
LONGER: Final = 2


class Stays:
    """Audits in a row in one state; the first stay, before any change, counts for nothing."""

    def __init__(self, now: int = 0) -> None:
        self.now, self._longest = now, 0
        self._at: object = None
        self._first = True

    def add(self, at: object, audits: int = 1) -> None:
        """Some more audits in a state."""
        if self._at is not None and at != self._at:
            self._longest = 0 if self._first else max(self._longest, self.now)
            self.now, self._first = 0, False
        self._at = at
        self.now += audits

    def shorten(self, audits: int) -> None:
        """Some audits turn out to be of another state."""
        self.now = max(0, self.now - audits)

    @property
    def settled(self) -> bool:
        """Whether it stays longer than ever before."""
        return self.now > max(STAYS, LONGER * self._longest)
