"""The columns that are counted, of many samples in little memory."""

from __future__ import annotations

from array import array
from typing import Any, Final

import numpy as np
import pandas as pd

#: The columns that are counted, and that the terminal shows.
COUNTED: Final = (
    "target role arm probe language question status stance names makers base denied abstained recited_identity recited_share_of_reference "
    "rendered_prompt_tokens prompt_tokens_reported injected_text template_sha256 model fingerprint provider note"
).split()


_NUMBERS: Final = frozenset(
    ("recited_share_of_reference", "rendered_prompt_tokens", "prompt_tokens_reported")
)


class Columns:
    """Columns of many rows in little room: each value stands once, a row holds its number."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Any, int]] = {name: {} for name in COUNTED}
        self.codes = {name: array("i") for name in COUNTED}

    def add(self, frame: pd.DataFrame) -> None:
        for name in COUNTED:
            values, codes = self.values[name], self.codes[name]
            codes.extend(
                [
                    values.setdefault(
                        None if value is None or value is pd.NA or value != value else value,
                        len(values),
                    )
                    for value in frame[name].tolist()
                ]
            )

    def frame(self) -> pd.DataFrame:
        """Text as categories, numbers as numbers."""
        made: dict[str, Any] = {}
        for name in COUNTED:
            known: dict[Any, int] = self.values[name]
            codes = np.frombuffer(self.codes.pop(name), dtype=np.int32)
            if name in _NUMBERS:
                values = np.array(
                    [np.nan if value is None else float(value) for value in known] or [np.nan]
                )
                made[name] = values[codes]
            else:
                missing = known.get(None, -1)
                places = np.array(
                    [
                        -1 if value is None else place - (missing >= 0 and place > missing)
                        for value, place in known.items()
                    ]
                    or [-1],
                    dtype=np.int32,
                )
                made[name] = pd.Categorical.from_codes(
                    places[codes],
                    pd.Index([value for value in known if value is not None], dtype=object),
                )
        return pd.DataFrame(made, copy=False)
