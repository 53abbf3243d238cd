"""How often the classifier errs, as measured on labelled replies; rates are corrected for it.

Counts are of replies, each once, by the length of the reply: the classifier is right on one-liners,
and less often on long replies. A rate is corrected for the lengths of the replies that it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from harness import stats
from harness.counting.lengths import LENGTHS, named
from harness.errors import RunError

#: Labelled replies of a kind at which the classifier's errors on it count as measured.
FEWEST: Final = 20
#: Replies that all lengths together are worth where a band's own are counted.
PRIOR: Final = 4.0
#: Where a correction comes from, or why there is none (column `corrected_by`).
PEOPLE: Final = "people's labels"
LABELLED: Final = "labelled replies"
NOT_MEASURED: Final = "none: not measured"
TOO_FEW: Final = "none: too few labelled replies"
ONE_QUESTION: Final = "none: one question"
USELESS: Final = "none: as often wrong as right"


class Errors(msgspec.Struct):
    """How often the classifier is right on one measure, in replies of one length.

    (right, of): ``sensitivity`` of replies that show an identity, those in which it finds all that
    they show; ``specificity`` of replies that do not, those in which it finds none that is not
    there. For a stance, replies of that stance, and all others.
    """

    sensitivity: tuple[int, int]
    specificity: tuple[int, int]


class Confusion(msgspec.Struct):
    """What `truename eval-classifier` measured: by measure and length, and where it comes from."""

    measures: dict[str, dict[str, Errors]]
    replies: int
    source: str


class Known(NamedTuple):
    """What is known of a measure's errors on replies of certain lengths."""

    sensitivity: stats.Share
    specificity: stats.Share


SHIPPED: Final = Path(__file__).with_name("confusion.json")


def key_of(measure: str, identity: str) -> str:
    """The measure's name in the file; a stance has errors of its own."""
    return f"stance {identity}" if measure == "stance" else measure


def known(errors: Confusion, key: str, lengths: Sequence[float]) -> Known | str:
    """Sensitivity and specificity where ``lengths`` of the replies lie in each of `LENGTHS`.

    Each band's is the mean of a beta distribution: its own counts on top of a prior that is worth
    `PRIOR` replies of all lengths. Where they were not measured, the reason.
    """
    by_band = errors.measures.get(key)
    if by_band is None:
        return NOT_MEASURED
    found = [by_band.get(named(at), Errors((0, 0), (0, 0))) for at in range(len(LENGTHS))]
    both = [e.sensitivity for e in found], [e.specificity for e in found]
    if min(sum(of for _, of in counts) for counts in both) < FEWEST:
        return TOO_FEW
    return Known(*(_mixed(counts, lengths) for counts in both))


def _mixed(counts: Sequence[tuple[int, int]], lengths: Sequence[float]) -> stats.Share:
    right, of = (sum(column) for column in zip(*counts, strict=True))
    prior = stats.share(right, of)
    mean = variance = 0.0
    for (hits, size), weight in zip(counts, lengths, strict=True):
        one = stats.share(hits, size, prior.mean * PRIOR, (1 - prior.mean) * PRIOR)
        mean += weight * one.mean
        variance += weight * weight * one.variance
    return stats.Share(mean, variance)


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
