"""The models: three linear ones over words, and two sets of trees over what those say.

The role of a mention, whether a claim is hedged, whether a sentence refuses: logistic regressions
of scikit-learn. The role again, seen beside the others of the reply, and whether a reply as a whole
refuses: its gradient-boosted trees (Friedman 2001, doi:10.1214/aos/1013203451). All are fitted by
`harness.scoring.learning` from `training/` and ship as plain arrays (never pickled); here they are
loaded and asked.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.scoring.buckets import BUCKETS
from harness.scoring.features import Found

FITTED: Final = Path(__file__).with_name("fitted") / "verdict.npz"
#: Bytes that stay with the process between batches, roughly.
ROOM: Final = 31 << 20
Floats = npt.NDArray[np.float32]


class Linear(NamedTuple):
    """Weights of one logistic regression.

    Of each bucket of hashed features, of each plain column, and the intercepts.
    """

    hashed: Floats  # (BUCKETS, classes)
    plain: Floats  # (columns, classes)
    intercepts: Floats  # (classes,)

    def probabilities(self, found: Found) -> Floats:
        """Softmax (or logistic, one column) probabilities, shape (rows, classes)."""
        if not len(found.plain):
            return np.zeros((0, len(self.intercepts)), dtype=np.float32)
        row, column = np.divmod(np.flatnonzero(found.plain), found.plain.shape[1])
        ends = np.searchsorted(row, np.arange(len(found.plain) + 1))
        scores = (
            _summed(self.hashed.take(found.hashed, axis=0), found.ends)
            + _summed(self.plain.take(column, axis=0), ends)
            + self.intercepts
        )  # no BLAS: its threads would cost more
        if scores.shape[1] == 1:
            return np.asarray(1 / (1 + np.exp(-np.clip(scores, -40, 40))), dtype=np.float32)
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)

    @classmethod
    def from_seen(cls, seen: npt.NDArray[np.int64], weights: Floats, intercepts: Floats) -> Linear:
        """The model whose first weights are those of the ``seen`` buckets, the others zero."""
        hashed = np.zeros((BUCKETS, weights.shape[1]), dtype=np.float32)
        hashed[seen] = weights[: len(seen)]
        return cls(hashed, weights[len(seen) :].astype(np.float32), intercepts)


def _summed(weights: Floats, ends: npt.NDArray[np.int64]) -> Floats:
    """The sums of the rows of ``weights`` between each two ``ends``."""
    padded = np.concatenate(
        (weights, np.zeros((1, weights.shape[1]), dtype=np.float32))
    )  # the last row may be empty
    return np.where(
        (ends[1:] > ends[:-1])[:, None], np.add.reduceat(padded, ends[:-1]), np.float32(0)
    )


#: Rows that go through all trees together.
TOGETHER: Final = 1024


class Trees(NamedTuple):
    """Gradient-boosted trees as flat arrays of nodes; a leaf's children are itself."""

    columns: npt.NDArray[np.int16]  # (nodes,): the column that a node asks
    splits: Floats  # (nodes,): it goes left up to this
    left: npt.NDArray[np.int32]  # (nodes,)
    right: npt.NDArray[np.int32]  # (nodes,)
    values: Floats  # (nodes,)
    roots: npt.NDArray[np.int32]  # (rounds, classes)
    baseline: Floats  # (classes,)
    depth: npt.NDArray[np.int32]  # (): questions on the longest way

    def probabilities(self, table: Floats) -> Floats:
        """Softmax (or logistic, one class) probabilities, shape (rows, classes)."""
        chances = np.zeros((len(table), len(self.baseline)), dtype=np.float32)
        for at in range(0, len(table), TOGETHER):
            chances[at : at + TOGETHER] = self._chances(table[at : at + TOGETHER])
        return chances

    def _chances(self, table: Floats) -> Floats:
        rows, width = np.arange(len(table))[:, None], self.roots.size
        nodes = np.broadcast_to(self.roots.reshape(-1), (len(table), width))
        for _ in range(int(self.depth)):
            left = table[rows, self.columns[nodes]] <= self.splits[nodes]
            nodes = np.where(left, self.left[nodes], self.right[nodes])
        values = self.values[nodes].reshape(len(table), *self.roots.shape)
        scores = values.sum(axis=1) + self.baseline
        if scores.shape[1] == 1:
            return np.asarray(1 / (1 + np.exp(-np.clip(scores, -40, 40))), dtype=np.float32)
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


class Looks(NamedTuple):
    """What looks at words: the role of a mention, whether a sentence doubts, or declines."""

    roles: Linear
    hedged: Linear
    refuses: Linear


class Models(NamedTuple):
    first: Looks
    #: The role of a mention beside the others, and whether the reply declines.
    second: Trees
    declines: Trees


@lru_cache(maxsize=1)
def models() -> Models:
    """The models that ship."""
    # glibc, once it has got so much back, keeps what the arrays of a batch leave for those of the
    # next, whose pages would be made anew otherwise (mallopt(3): dynamic M_MMAP_THRESHOLD).
    np.empty(ROOM, dtype=np.uint8)
    with np.load(FITTED, allow_pickle=False) as stored:
        first = Looks(*(_loaded(stored, name) for name in Looks._fields))
        return Models(first, *(_trees(stored, name) for name in ("second", "declines")))


def _loaded(stored: Any, name: str) -> Linear:
    weights = stored[f"{name}_weights"].astype(np.float32)
    return Linear.from_seen(stored[f"{name}_seen"], weights, stored[f"{name}_intercepts"])


def _trees(stored: Any, name: str) -> Trees:
    return Trees(*(stored[f"{name}_{field}"] for field in Trees._fields))
