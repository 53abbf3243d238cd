"""Words of a reply, and the bands of length in which the classifier's errors are counted."""

from __future__ import annotations

import re
from typing import Final

#: The fewest and the most words of a reply in each band.
LENGTHS: Final = ((0, 20), (21, 60), (61, 150), (151, None))
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\s\u3040-\u30ff\u3400-\u9fff]+")


def length(reply: str) -> int:
    """Words of a reply; two Han or Kana characters count as one."""
    return len(_WORD.findall(reply))


def band(reply: str) -> int:
    """The place in `LENGTHS` of a reply's length."""
    words = length(reply)
    return next(at for at, (_, most) in enumerate(LENGTHS) if most is None or words <= most)


def named(at: int) -> str:
    """A band as people read it: ``21 to 60``."""
    least, most = LENGTHS[at]
    return f"{least} or more" if most is None else f"{least} to {most}"
