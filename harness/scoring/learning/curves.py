"""The curves that the thresholds were chosen by, and how much more replies teach.

Everything is measured on written replies whose writers the models have not learned from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.scoring.buckets import Bools
from harness.scoring.classifier import Floats, Looks, Trees
from harness.scoring.learning import crossed
from harness.scoring.learning.crossed import Crossed
from harness.scoring.learning.wholes import Whole
from harness.scoring.roles import ROLES
from harness.scoring.second import blended
from harness.scoring.thresholds import SECOND_LOOK

Fit = Callable[[list[Crossed]], tuple[Trees, Trees]]
NEEDS: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WEIGHTS: Final = (0.0, 0.3, 0.6, 1.0)
#: So many written replies are learned from.
SIZES: Final = (500, 1000, 2000, 4000)
_OTHER: Final = ROLES.index("other")


def lines(seen: list[Crossed], fit: Fit) -> Iterator[str]:
    """Precision and recall of roles and of refusals by threshold, as lines of a table."""
    parts = [_of_fold(seen, fold, fit) for fold in range(crossed.FOLDS)]
    first, second, roles, listed, refuses, says = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    yield "second look   roles right"
    for weight in WEIGHTS:
        right = (blended(first, second, weight).argmax(axis=1) == roles).mean()
        yield f"{weight:11.1f}   {100 * right:.1f} %"
    both = blended(first, second, SECOND_LOOK)
    for title, which in (("listed names", listed), ("unlisted names", ~listed)):
        yield f"{title:14}   precision   recall"
        found, mine = both[which], roles[which]
        for needs in NEEDS:
            claims = (found.argmax(axis=1) != _OTHER) & (found.max(axis=1) >= needs)
            right = claims & (found.argmax(axis=1) == mine)
            yield _row(needs, right.sum(), claims.sum(), (mine != _OTHER).sum())
    yield "refuses          precision   recall"
    for needs in NEEDS:
        yield _row(needs, (says & (refuses > needs)).sum(), (refuses > needs).sum(), says.sum())


def _row(needs: float, right: float, said: float, there: float) -> str:
    return f"{needs:14.1f}   {100 * right / max(1, said):7.1f} %  {100 * right / there:5.1f} %"


def _of_fold(
    seen: list[Crossed], fold: int, fit: Fit
) -> tuple[Floats, Floats, npt.NDArray[np.int64], Bools, Floats, Bools]:
    """Both looks at the mentions of a fold, their roles, and which of them the book lists.

    Then how likely its replies refuse, and whether they do.
    """
    second, declines = fit([each for each in seen if each.fold != fold])
    mine = [each for each in seen if each.fold == fold]
    tables, first, roles = crossed.of_mentions(mine)
    listed = np.array([m.unlisted is None for each in mine for m in each.mentions])
    columns, says = crossed.of_declining(mine)
    refuses = declines.probabilities(columns)[:, 0]
    again = second.probabilities(np.concatenate(tables))
    return np.concatenate(first), again, np.concatenate(roles), listed, refuses, says


def learning(every: Sequence[Whole], look: Callable[[list[Whole]], Looks]) -> Iterator[str]:
    """How many roles the first look gets right of the first fold, by replies learned from."""
    fold_of = crossed.folds()
    others = [each for each in every if fold_of[each.file] != 0]
    mine = [each for each in every if fold_of[each.file] == 0]
    random.Random(1).shuffle(others)
    yield "written replies   roles right"
    for size in (*(size for size in SIZES if size < len(others)), len(others)):
        seen = list(crossed.looked_at(mine, look(others[:size]), 0))
        roles = np.concatenate([each.roles for each in seen])
        first = np.concatenate([each.chances for each in seen])
        yield f"{size:15,}   {100 * (first.argmax(axis=1) == roles).mean():.1f} %"
