"""The only writer of CSV: whole files or none, NA for what is missing, and text that no spreadsheet runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from harness.errors import RunError

#: What starts a formula in a spreadsheet.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def neutral(value: Any) -> Any:
    """Text that a spreadsheet shows and does not run: a leading apostrophe before what would start a formula.

    Source: OWASP, "CSV Injection". The journal keeps the text as it was.
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS) else value


def write_csv(frames: pd.DataFrame | Iterable[pd.DataFrame], path: Path) -> int:
    """Write one frame, or frames of the same columns one after the other, whole or not at all; returns the rows.

    Without a row nothing is written.

    Raises
    ------
    RunError
        The disk refuses; what stood at ``path`` before is still there.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    rows = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("w", encoding="utf-8", errors="replace", newline="") as out:
            for number, frame in enumerate([frames] if isinstance(frames, pd.DataFrame) else frames):
                safe = frame.copy()
                for column in safe.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in safe.dtypes]]:
                    safe[column] = safe[column].map(neutral)
                safe.to_csv(out, index=False, header=number == 0, na_rep="NA", lineterminator="\n")
                rows += len(safe)
        if rows:
            os.replace(scratch, path)
    except OSError as problem:
        raise RunError(f"cannot write the table: {problem}", where=str(path), next="free some space, then do it again: nothing else is lost") from None
    finally:
        scratch.unlink(missing_ok=True)
    return rows
