"""Three linear models over windows: the role of a mention, whether a claim is hedged, whether a sentence refuses.

Logistic regressions of scikit-learn, fitted from `training/` at first use and kept as plain arrays (never pickled)
in the cache folder, under the digest of everything that they were made from.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.campaign.folders import cache_folder
from harness.scoring import (
    concepts,
    features,
    memory,
    mentions,
    normalize,
    phrases,
    training,
    unlisted,
)
from harness.scoring.features import BUCKETS, MARKS, UNLISTED, Found, Tokens, numbered

LEAST_SEEN: Final = 2
#: The inverse of the regularisation: 0.15 to 1.5 are right in as many of 250 replies that nothing was learned of, weaker ones in more of those that were.
STRENGTH: Final = 0.5
#: Sentences that are looked at together while fitting.
TOGETHER: Final = 4000
#: Bytes that stay with the process between batches, roughly; without them every batch has its pages made anew.
ROOM: Final = 31 << 20
Floats = npt.NDArray[np.float32]


class Linear(NamedTuple):
    """Weights of one logistic regression: of each bucket of hashed features, of each plain column, and the intercepts."""

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


def _summed(weights: Floats, ends: npt.NDArray[np.int64]) -> Floats:
    """The sums of the rows of ``weights`` between each two ``ends``."""
    padded = np.concatenate(
        (weights, np.zeros((1, weights.shape[1]), dtype=np.float32))
    )  # the last row may be empty
    return np.where(
        (ends[1:] > ends[:-1])[:, None], np.add.reduceat(padded, ends[:-1]), np.float32(0)
    )


class Models(NamedTuple):
    roles: Linear
    hedged: Linear
    refuses: Linear


class _Known(NamedTuple):
    """Features of windows or sentences, with the label and the written line of each."""

    found: Found
    labels: list[Any]
    lines: npt.NDArray[np.int64]


def _masked(sentence: training.Sentence, rng: random.Random) -> tuple[str, list[str]]:
    """Normalised text with its marks, and the role of each. Half of what only looks like a name is marked too: it teaches what is none."""
    normal = normalize.normalize(sentence.text)
    text, said, at = normal.text, list(sentence.roles), 0
    pieces: list[str] = []
    roles: list[str] = []
    for candidate in sorted(unlisted.unlisted(normal, [], training.uncapitalised_words())):
        if not MARKS & set(text[candidate.start : candidate.end]) and rng.random() < 0.5:
            before = sum(c in MARKS for c in text[at : candidate.start])
            roles += [*said[:before], "other"]
            said = said[before:]
            pieces += [text[at : candidate.start], UNLISTED]
            at = candidate.end
    return "".join([*pieces, text[at:]]), [*roles, *said]


def fit() -> Models:
    """Fit all three models on the written sentences (seconds; the same bytes in give the same weights)."""
    roles: list[_Known] = []
    hedged: list[_Known] = []
    refuses: list[_Known] = []
    rng = random.Random(1)
    written = training.sentences()
    while some := list(islice(written, TOGETHER)):
        masked = [_masked(sentence, rng) for sentence in some]
        tokens = Tokens(numbered(text for text, _ in masked))
        marks = tokens.marks()
        lines = np.array(
            [s.line for s, (_, known) in zip(some, masked, strict=True) for _ in known],
            dtype=np.int64,
        )
        roles.append(
            _Known(
                tokens.windows(marks).found, [role for _, known in masked for role in known], lines
            )
        )
        own = np.array([any(role.startswith("self") for role in known) for _, known in masked])
        aside = ~own & (
            np.array([s.section in ("refuses", "none") for s in some])
            | (np.array([bool(known) for _, known in masked]) & ~tokens.any_own())
        )
        reply = tokens.reply_of_sentences
        for kept, section, which, keep in (
            (hedged, "hedged", own, tokens.unmarked()),
            (refuses, "refuses", aside, np.ones(tokens.count, dtype=bool)),
        ):
            chosen = which[reply]
            here = [some[r] for r in reply[chosen].tolist()]
            kept.append(
                _Known(
                    tokens.bags(chosen, keep),
                    [s.section == section for s in here],
                    np.array([s.line for s in here], dtype=np.int64),
                )
            )
    return Models(_fitted(roles), _fitted(hedged), _fitted(refuses, balanced=True))


def _fitted(known: list[_Known], *, balanced: bool = False) -> Linear:
    """One model of the features and labels in ``known``, which is emptied on the way: there are millions of them."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    labels = [label for some in known for label in some.labels]
    lines = np.concatenate([some.lines for some in known])
    hashed, plain = (
        np.concatenate([some.found.hashed for some in known]),
        csr_matrix(np.concatenate([some.found.plain for some in known]), dtype=np.float32),
    )
    ends = np.concatenate(
        ([0], np.cumsum(np.concatenate([np.diff(some.found.ends) for some in known])))
    )
    known.clear()
    seen = np.flatnonzero(np.bincount(hashed, minlength=BUCKETS) >= LEAST_SEEN)
    columns = np.full(BUCKETS, -1, dtype=np.int32)
    columns[seen] = np.arange(len(seen))
    hashed = columns[hashed]
    ends = np.concatenate(([0], np.cumsum(hashed >= 0)))[ends]
    hashed = hashed[hashed >= 0]
    matrix = hstack(
        [
            csr_matrix(
                (np.ones(len(hashed), dtype=np.float32), hashed, ends),
                shape=(len(labels), len(seen)),
            ),
            plain,
        ],
        format="csr",
    )
    matrix.sum_duplicates()
    weights = 1 / np.sqrt(
        np.bincount(lines)[lines]
    )  # a line in many forms would outweigh the others
    model = LogisticRegression(
        C=STRENGTH, max_iter=1000, tol=1e-4, class_weight="balanced" if balanced else None
    ).fit(matrix, labels, sample_weight=weights * len(weights) / weights.sum())
    return _linear(seen, model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32))


def _linear(seen: npt.NDArray[np.int64], weights: Floats, intercepts: Floats) -> Linear:
    hashed = np.zeros((BUCKETS, weights.shape[1]), dtype=np.float32)
    hashed[seen] = weights[: len(seen)]
    return Linear(hashed, weights[len(seen) :], intercepts)


def digest() -> str:
    """SHA-256 of everything that the weights are made from: sentences, code, versions."""
    sources = [
        *sorted(training.FOLDER.glob("*.txt")),
        *(
            Path(str(m.__file__))
            for m in (
                concepts,
                features,
                memory,
                mentions,
                normalize,
                phrases,
                training,
                unlisted,
                sys.modules[__name__],
            )
        ),
    ]
    said = hashlib.sha256(f"{version('scikit-learn')} {np.__version__}".encode())
    for path in sources:
        said.update(path.read_bytes())
    return said.hexdigest()


@lru_cache(maxsize=1)
def models() -> Models:
    """The fitted models, from the cache if they are there; a process of its own fits them, for that takes memory which this one would keep."""
    path = cache_folder() / f"verdict-{digest()[:16]}.npz"
    known = _stored(path)
    np.empty(
        ROOM, dtype=np.uint8
    )  # glibc, once it has got so much back, keeps what the arrays of a batch leave for those of the next (mallopt(3): dynamic M_MMAP_THRESHOLD)
    if known is None:
        if sys.stderr.isatty():
            print(
                "fitting the classifier: once for this version, half a minute or so",
                file=sys.stderr,
                flush=True,
            )
        if (
            subprocess.run(
                [sys.executable, "-m", __name__, str(path)], capture_output=True, check=False
            ).returncode
            == 0
        ):
            known = _stored(path)
    return known or fit()  # no cache: fitted here, and again next time


def _stored(path: Path) -> Models | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Models(
                *(
                    _linear(
                        stored[f"{name}_seen"],
                        stored[f"{name}_weights"],
                        stored[f"{name}_intercepts"],
                    )
                    for name in Models._fields
                )
            )
    except (OSError, ValueError, KeyError):
        return None


def _store(fitted: Models, path: Path) -> None:
    arrays: dict[str, Any] = {}
    for name, linear in fitted._asdict().items():
        seen = np.flatnonzero(linear.hashed.any(axis=1))
        arrays |= {
            f"{name}_seen": seen,
            f"{name}_weights": np.concatenate((linear.hashed[seen], linear.plain)),
            f"{name}_intercepts": linear.intercepts,
        }
    scratch = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez(scratch, **arrays)
    os.replace(scratch, path)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    _store(fit(), target)
