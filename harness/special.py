"""The special functions of scipy, which are imported when one is first called.

That takes a third of a second, and commands that only show what was counted need none.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from scipy import special

    return getattr(special, name)
