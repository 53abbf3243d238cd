"""The columns that are counted, of many samples in little memory."""

from __future__ import annotations

from array import array
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.counting.lengths import band

#: The columns that are counted, and that the terminal shows; `band` is that of the reply's length.
COUNTED: Final = (
    *("target", "role", "arm", "probe", "language", "question", "status"),
    *("stance", "names", "makers", "base", "denied", "abstained"),
    *("recited_identity", "recited_share_of_reference", "recital_denied"),
    *("rendered_prompt_tokens", "prompt_tokens_reported", "injected_text", "template_sha256"),
    *("expected_prompt_tokens", "expected_injected_text"),
    *("model", "fingerprint", "provider", "note", "band"),
)
_NUMBERS: Final = frozenset(
    (
        "recited_share_of_reference",
        "expected_prompt_tokens",
        "rendered_prompt_tokens",
        "prompt_tokens_reported",
        "band",
    )
)
Codes = npt.NDArray[np.int32]


class Columns:
    """Columns of many rows in little room: each value stands once, a row holds its number."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Any, int]] = {name: {} for name in COUNTED}
        self.codes = {name: array("i") for name in COUNTED}

    def add(self, frame: pd.DataFrame) -> None:
        bands = [band(text) if isinstance(text, str) else None for text in frame["reply"]]
        for name in COUNTED:
            values = self.values[name]
            cells = bands if name == "band" else frame[name].tolist()
            known = [None if _is_missing(value) else value for value in cells]
            self.codes[name].extend([values.setdefault(value, len(values)) for value in known])

    def __len__(self) -> int:
        """How many rows it holds."""
        return len(self.codes["target"])

    def frame(self) -> pd.DataFrame:
        """Text as categories, numbers as numbers."""
        made: dict[str, Any] = {}
        for name in COUNTED:
            known = self.values[name]
            codes = np.frombuffer(self.codes.pop(name), dtype=np.int32)
            made[name] = _numbers(known, codes) if name in _NUMBERS else _texts(known, codes)
        return pd.DataFrame(made, copy=False)


def _is_missing(value: Any) -> bool:
    """Whether a cell is None, NA or NaN, which alone differs from itself."""
    return value is None or value is pd.NA or value != value


def _numbers(known: dict[Any, int], codes: Codes) -> npt.NDArray[np.float64]:
    values = [np.nan if value is None else float(value) for value in known]
    return np.array(values or [np.nan])[codes]


def _texts(known: dict[Any, int], codes: Codes) -> pd.Categorical:
    """Texts by their numbers; what is missing is -1, and the texts after it move up by one."""
    missing = known.get(None, len(known))
    places = [-1 if value is None else place - (place > missing) for value, place in known.items()]
    texts = pd.Index([value for value in known if value is not None], dtype=object)
    return pd.Categorical.from_codes(np.array(places or [-1], dtype=np.int32)[codes], texts)
