"""How often the classifier errs, as measured on labels; rates are corrected for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from harness.errors import RunError


class Errors(msgspec.Struct):
    """How often the classifier is right on one measure.

    (right, of) where the claim is there, and where it is not.
    """

    sensitivity: tuple[int, int]
    specificity: tuple[int, int]


class Confusion(msgspec.Struct):
    """What `truename eval-classifier` measured: by measure, and where it comes from."""

    measures: dict[str, Errors]
    replies: int
    source: str


SHIPPED: Final = Path(__file__).with_name("confusion.json")


def confusion(path: Path | None = None) -> Confusion:
    """The classifier's errors, as `truename eval-classifier` measured them.

    By default those that ship.

    Raises
    ------
    RunError
        The file is not one that the command wrote.
    """
    path = path or SHIPPED
    try:
        return msgspec.json.decode(path.read_bytes(), type=Confusion)
    except OSError as problem:
        raise RunError(
            f"the confusion rates cannot be read: {problem.strerror}",
            where=str(path),
            next="truename eval-classifier LABELS.jsonl writes such a file",
        ) from None
    except msgspec.DecodeError as problem:
        raise RunError(
            f"these are no confusion rates: {problem}",
            where=str(path),
            next="truename eval-classifier LABELS.jsonl writes such a file",
        ) from None
