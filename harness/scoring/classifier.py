"""Three linear models over windows: the role of a mention, whether a claim is hedged, whether a sentence refuses.

Logistic regressions of scikit-learn, fitted from `training/` at first use and kept as plain arrays (never pickled)
in the cache folder, under the digest of everything that they were made from.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.folders import cache_folder
from harness.scoring import concepts, features, mentions, normalize, training
from harness.scoring.features import MARKS, UNLISTED, bag, tokenize

SENTENCE_ENDS: Final = frozenset(".!?。！？।؟\n")
LEAST_SEEN: Final = 2
Floats = npt.NDArray[np.float32]


class Linear(NamedTuple):
    """Weights of one logistic regression: the row of each feature, a last row of zeros, and the intercepts."""

    rows: dict[str, int]
    weights: Floats  # (features + 1, classes)
    intercepts: Floats  # (classes,)

    def probabilities(self, found: Sequence[Sequence[str]]) -> Floats:
        """Softmax (or logistic, one column) probabilities, shape (windows, classes)."""
        if not found:
            return np.zeros((0, self.weights.shape[1]), dtype=np.float32)
        get = self.rows.get
        nothing = len(self.weights) - 1
        ids: list[int] = []
        starts = []
        for window in found:
            starts.append(len(ids))
            ids.extend([get(f, nothing) for f in window] or [nothing])
        scores = np.add.reduceat(self.weights[ids], starts, axis=0) + self.intercepts
        if scores.shape[1] == 1:
            return np.asarray(1 / (1 + np.exp(-np.clip(scores, -40, 40))), dtype=np.float32)
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


class Models(NamedTuple):
    roles: Linear
    hedged: Linear
    refuses: Linear


def split_sentences(tokens: list[str]) -> list[list[str]]:
    """Runs of tokens between sentence ends."""
    found, start = [], 0
    for at, token in enumerate(tokens):
        if token in SENTENCE_ENDS:
            if at > start:
                found.append(tokens[start:at])
            start = at + 1
    if start < len(tokens):
        found.append(tokens[start:])
    return found


def _masked(sentence: training.Sentence, rng: random.Random) -> tuple[list[str], list[tuple[int, str]]]:
    """Tokens, and place and role of each mark. Half of what only looks like a name is marked too: it teaches what is none."""
    normal = normalize.normalize(sentence.text)
    text, said, at = normal.text, list(sentence.roles), 0
    pieces: list[str] = []
    roles: list[str] = []
    for candidate in sorted(mentions.unlisted(normal, [], training.uncapitalised_words())):
        if not MARKS & set(text[candidate.start : candidate.end]) and rng.random() < 0.5:
            before = sum(c in MARKS for c in text[at : candidate.start])
            roles += [*said[:before], "other"]
            said = said[before:]
            pieces += [text[at : candidate.start], UNLISTED]
            at = candidate.end
    tokens = tokenize("".join([*pieces, text[at:]]))
    places = [place for place, token in enumerate(tokens) if token in MARKS]
    return tokens, list(zip(places, [*roles, *said], strict=True))


def fit() -> Models:
    """Fit all three models on the written sentences (seconds; the same bytes in give the same weights)."""
    role_rows: list[list[str]] = []
    roles: list[str] = []
    hedge_rows: list[list[str]] = []
    hedged: list[bool] = []
    refusal_rows: list[list[str]] = []
    refuses: list[bool] = []
    rng = random.Random(1)
    for sentence in training.sentences():
        tokens, known = _masked(sentence, rng)
        own = False
        for at, role in known:
            window = features.features(tokens, at)
            role_rows.append(window)
            roles.append(role)
            own = own or role.startswith("self")
        if own:
            hedge_rows.append(bag([t for t in tokens if t not in MARKS and t not in SENTENCE_ENDS]))
            hedged.append(sentence.section == "hedged")
        elif sentence.section in ("refuses", "none") or (known and not any(features.is_own(t) for t in tokens)):
            for part in split_sentences(tokens):
                refusal_rows.append(bag(part))
                refuses.append(sentence.section == "refuses")
    return Models(_fitted(role_rows, roles, 0.5), _fitted(hedge_rows, hedged, 1.0), _fitted(refusal_rows, refuses, 1.0, balanced=True))


def _fitted(found: list[list[str]], labels: Sequence[Any], strength: float, *, balanced: bool = False) -> Linear:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    seen = Counter(f for window in found for f in set(window))
    rows = {f: row for row, f in enumerate(sorted(f for f, n in seen.items() if n >= LEAST_SEEN))}
    ids: list[int] = []
    ends = [0]
    for window in found:
        ids.extend(rows[f] for f in window if f in rows)
        ends.append(len(ids))
    matrix = csr_matrix((np.ones(len(ids)), ids, ends), shape=(len(found), len(rows)))
    matrix.sum_duplicates()
    model = LogisticRegression(C=strength, max_iter=100, tol=1e-3, class_weight="balanced" if balanced else None).fit(matrix, labels)
    weights = np.vstack([model.coef_.T, np.zeros((1, len(model.coef_)))]).astype(np.float32)
    return Linear(rows, weights, model.intercept_.astype(np.float32))


def digest() -> str:
    """SHA-256 of everything that the weights are made from: sentences, code, versions."""
    sources = [*sorted(training.FOLDER.glob("*.txt")), *(Path(str(m.__file__)) for m in (concepts, features, mentions, normalize, training, sys.modules[__name__]))]
    said = hashlib.sha256(f"{version('scikit-learn')} {np.__version__}".encode())
    for path in sources:
        said.update(path.read_bytes())
    return said.hexdigest()


@lru_cache(maxsize=1)
def models() -> Models:
    """The fitted models, from the cache if they are there."""
    path = cache_folder() / f"verdict-{digest()[:16]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Models(*(Linear({f: r for r, f in enumerate(str(stored[f"{name}_rows"]).split("\x00"))}, stored[f"{name}_weights"], stored[f"{name}_intercepts"]) for name in Models._fields))
    except (OSError, ValueError, KeyError):
        fitted = fit()
    arrays: dict[str, Any] = {}
    for name, linear in fitted._asdict().items():
        arrays |= {f"{name}_rows": np.array("\x00".join(linear.rows)), f"{name}_weights": linear.weights, f"{name}_intercepts": linear.intercepts}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.npz")
        np.savez(scratch, **arrays)
        os.replace(scratch, path)
    except OSError:
        pass  # no cache: fitted again next time
    return fitted
