"""How text and numbers are shown to people: strangers' text made harmless, rates with intervals."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any, Final

#: Control and direction characters; a line break and a tabulator are none.
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def plain(text: str) -> str:
    """Text from a model without terminal escapes and direction overrides.

    They are shown as their code point.
    """
    return _CONTROL.sub(lambda m: f"<U+{ord(m.group()):04X}>", text)


def percent(rate: Any, low: Any, high: Any) -> str:
    """A rate and its interval in percent, such as `91.1 (83-96)`; NA where there is none."""
    if not isinstance(rate, Real) or math.isnan(rate):
        return "NA"
    return f"{100 * float(rate):.1f} ({100 * low:.0f}-{100 * high:.0f})"
