"""What scoring knows by heart, made from written texts.

That is the classifier's weights, the null's counts and the plain words. `make classifier` writes
them into `fitted/`, which ships; nothing is fitted at a user's machine. The same texts and features
give the same arrays, and `sources` tells of what texts and features they were made: a test fails
where those have changed since.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from harness.scoring import classifier, common
from harness.scoring.buckets import BUCKETS, Bools
from harness.scoring.classifier import Linear, Looks, Models, Trees
from harness.scoring.features import Found, Tokens
from harness.scoring.learning import crossed, curves, sentences, wholes, written
from harness.scoring.learning.crossed import Crossed
from harness.scoring.marks import MARKS, UNLISTED
from harness.scoring.normalize import normalize
from harness.scoring.overlap import Null
from harness.scoring.overlap import words as words_of
from harness.scoring.overlap.null import FITTED as NULL
from harness.scoring.unlisted import unlisted
from harness.scoring.vocabulary import numbered

LEAST_SEEN: Final = 2
#: Replies of no model in particular.
BOILERPLATE: Final = Path(__file__).parent
#: The inverse of the regularisation. From 0.15 to 1.5 it is right in as many of 250 replies that
#: nothing was learned of, and the weaker it is in more of those that were.
STRENGTH: Final = 0.5
#: How trees grow: few and small, for what they judge by is little. From 50 rounds of 8 leaves to
#: 250 of 24 they are right of as many mentions that nothing was learned of (89.5 to 89.8 %).
GROWTH: Final[dict[str, Any]] = {
    "learning_rate": 0.12,
    "max_iter": 80,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 60,
    "l2_regularization": 5,
    "early_stopping": False,
    "random_state": 0,
}
#: Sentences that are looked at together while fitting.
TOGETHER: Final = 4000
#: Whole replies that are; and how often each is drawn.
TOGETHER_WHOLE, REPLY_DRAWS = 500, 2
#: Of so many written sentences, and replies, one tells whether features are still those of the fit.
LOOKED_AT: Final = 40


class _Known(NamedTuple):
    """Features of windows or sentences, with the label and the written line of each."""

    found: Found
    labels: list[Any]
    lines: npt.NDArray[np.int64]


class _Learned(NamedTuple):
    """What the three models learn from, some sentences at a time."""

    roles: list[_Known]
    hedged: list[_Known]
    refuses: list[_Known]


class _Masked(NamedTuple):
    """A normalised sentence with its marks, and the role of each."""

    text: str
    roles: list[str]


def _masked(sentence: sentences.Sentence, rng: random.Random) -> _Masked:
    """A sentence as the models see it.

    Half of what only looks like a name is marked too: it teaches what is none.
    """
    normal = normalize(sentence.text)
    text, said, at = normal.text, list(sentence.roles), 0
    pieces: list[str] = []
    roles: list[str] = []
    for candidate in sorted(unlisted(normal, [], common.uncapitalised_words())):
        if not MARKS & set(text[candidate.start : candidate.end]) and rng.random() < 0.5:
            before = sum(c in MARKS for c in text[at : candidate.start])
            roles += [*said[:before], "other"]
            said = said[before:]
            pieces += [text[at : candidate.start], UNLISTED]
            at = candidate.end
    return _Masked("".join([*pieces, text[at:]]), [*roles, *said])


def fit() -> Models:
    """Fit all models on the written texts; the same bytes in give the same weights.

    It takes half an hour: the second look learns from what `crossed.FOLDS` first looks say.
    """
    every = list(wholes.wholes(written.written()))
    return _fit(every, list(crossing(every)))


def _fit(every: list[wholes.Whole], seen: list[Crossed]) -> Models:
    return Models(looks(every), *seconds(seen))


def crossing(every: list[wholes.Whole]) -> Iterator[Crossed]:
    """What first looks say of every written reply, none of which they have learned from."""
    fold_of = crossed.folds()
    for fold in range(crossed.FOLDS):
        others = looks([each for each in every if fold_of[each.file] != fold])
        mine = [each for each in every if fold_of[each.file] == fold]
        yield from crossed.looked_at(mine, others, fold)


def looks(every: list[wholes.Whole]) -> Looks:
    """Fit the models that look at words: on all written sentences, and on these replies."""
    learned = _Learned([], [], [])
    rng = random.Random(1)
    drawn = sentences.sentences()
    line = 0
    while some := list(islice(drawn, TOGETHER)):
        _learn(learned, some, [_masked(sentence, rng) for sentence in some])
        line = max(line, *(sentence.line for sentence in some))
    for _ in range(REPLY_DRAWS):
        _learn_mentions(learned, every, line + 1, rng)
    _learn_parts(learned, every, line + 1)
    roles, hedged = _fitted(learned.roles), _fitted(learned.hedged)
    return Looks(roles, hedged, _fitted(learned.refuses, balanced=True))


def seconds(seen: list[Crossed]) -> tuple[Trees, Trees]:
    """Fit the trees: of the roles, and of whether a reply declines, on what first looks say."""
    tables, _, labels = crossed.of_mentions(seen)
    # a reply with many mentions would outweigh the others
    weights = np.concatenate([np.full(len(some), len(some) ** -0.5) for some in labels])
    roles = _grown(np.concatenate(tables), np.concatenate(labels), weights)
    return roles, _grown(*crossed.of_declining(seen), None)


def _grown(
    table: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    weights: npt.NDArray[np.float64] | None,
) -> Trees:
    """Gradient-boosted trees of scikit-learn, as arrays."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums do not depend on how many cores there are
        model = HistGradientBoostingClassifier(**GROWTH).fit(table, labels, sample_weight=weights)
    # its trees have no public form; tests compare these arrays with its own probabilities
    rounds = model._predictors
    nodes = [tree.nodes for each in rounds for tree in each]
    starts = np.concatenate(([0], np.cumsum([len(some) for some in nodes])))[:-1]
    every = np.concatenate(nodes)
    here = np.arange(len(every))
    begins = np.repeat(starts, [len(some) for some in nodes])
    leaf = every["is_leaf"].astype(bool)
    return Trees(
        columns=np.where(leaf, 0, every["feature_idx"]).astype(np.int16),
        splits=every["num_threshold"].astype(np.float32),
        left=np.where(leaf, here, begins + every["left"]).astype(np.int32),
        right=np.where(leaf, here, begins + every["right"]).astype(np.int32),
        values=np.where(leaf, every["value"], 0).astype(np.float32),
        roots=starts.reshape(len(rounds), -1).astype(np.int32),
        baseline=np.ravel(model._baseline_prediction).astype(np.float32),
        depth=np.array(every["depth"].max(), dtype=np.int32),
    )


def _learn(learned: _Learned, some: list[sentences.Sentence], masked: list[_Masked]) -> None:
    """Add some sentences to what is learned from."""
    tokens = Tokens(numbered(text for text, _ in masked))
    every_role = [role for _, roles in masked for role in roles]
    lines = [s.line for s, (_, roles) in zip(some, masked, strict=True) for _ in roles]
    windows = tokens.windows(tokens.marks())
    learned.roles.append(_Known(windows.found, every_role, np.array(lines, dtype=np.int64)))

    own = np.array([any(role.startswith("self") for role in roles) for _, roles in masked])
    silent = np.array([s.section in ("refuses", "none") for s in some])
    named = np.array([bool(roles) for _, roles in masked])
    aside = ~own & (silent | (named & ~tokens.any_own()))
    told = [(s.section, s.line) for s in some]
    _learn_sections(learned, tokens, told, own, aside)


def _learn_sections(
    learned: _Learned, tokens: Tokens, told: list[tuple[str, int]], own: Bools, aside: Bools
) -> None:
    """Add how texts doubt and decline: ``told`` has the section and the line of each.

    Those that claim something of their ``own`` may doubt it, those ``aside`` may decline.
    """
    for kept, section, which, keep in (
        (learned.hedged, "hedged", own, tokens.unmarked()),
        (learned.refuses, "refuses", aside, np.ones(tokens.count, dtype=bool)),
    ):
        chosen = which[tokens.reply_of_sentences]
        here = [told[r] for r in tokens.reply_of_sentences[chosen].tolist()]
        labels = [found == section for found, _ in here]
        lines = np.array([line for _, line in here], dtype=np.int64)
        kept.append(_Known(tokens.bags(chosen, keep), labels, lines))


def _learn_mentions(
    learned: _Learned, every: list[wholes.Whole], line: int, rng: random.Random
) -> None:
    """Add the roles of the mentions of whole replies, which count as a line each."""
    for at in range(0, len(every), TOGETHER_WHOLE):
        some = [wholes.drawn(each, rng) for each in every[at : at + TOGETHER_WHOLE]]
        tokens = Tokens(numbered(text for text, _ in some))
        roles = [role for _, said in some for role in said]
        lines = [line + at + n for n, (_, said) in enumerate(some) for _ in said]
        found = tokens.windows(tokens.marks()).found
        learned.roles.append(_Known(found, roles, np.array(lines, dtype=np.int64)))


def _learn_parts(learned: _Learned, every: list[wholes.Whole], line: int) -> None:
    """Add how the sentences of whole replies claim, doubt and decline."""
    parts = [(line + n, part) for n, each in enumerate(every) for part in wholes.parts(each)]
    for at in range(0, len(parts), TOGETHER):
        some = parts[at : at + TOGETHER]
        tokens = Tokens(numbered(wholes.masked(part.text) for _, part in some))
        told = [(part.section, number) for number, part in some]
        own, aside = (
            np.array([section in either for section, _ in told], dtype=bool)
            for either in (("hedged", "identity"), ("refuses", "none"))
        )
        _learn_sections(learned, tokens, told, own, aside)


def _fitted(known: list[_Known], *, balanced: bool = False) -> Linear:
    """One model of the features and labels in ``known``.

    It is emptied on the way: there are millions of them.
    """
    from sklearn.linear_model import LogisticRegression

    labels = [label for some in known for label in some.labels]
    lines = np.concatenate([some.lines for some in known])
    seen, matrix = _matrix(known)
    # a line in many forms would outweigh the others
    weights = 1 / np.sqrt(np.bincount(lines)[lines])
    model = LogisticRegression(
        C=STRENGTH, max_iter=1000, tol=1e-4, class_weight="balanced" if balanced else None
    ).fit(matrix, labels, sample_weight=weights * len(weights) / weights.sum())
    coefficients, intercepts = model.coef_.T, model.intercept_
    return Linear.from_seen(seen, coefficients.astype(np.float32), intercepts.astype(np.float32))


def _matrix(known: list[_Known]) -> tuple[npt.NDArray[np.int64], Any]:
    """The buckets that have a column, and a sparse matrix of them and the plain features."""
    from scipy.sparse import csr_matrix, hstack

    hashed = np.concatenate([some.found.hashed for some in known])
    plain = csr_matrix(np.concatenate([some.found.plain for some in known]), dtype=np.float32)
    counts = np.concatenate([np.diff(some.found.ends) for some in known])
    ends = np.concatenate(([0], np.cumsum(counts)))
    known.clear()
    seen = np.flatnonzero(np.bincount(hashed, minlength=BUCKETS) >= LEAST_SEEN)
    columns = np.full(BUCKETS, -1, dtype=np.int32)
    columns[seen] = np.arange(len(seen))
    hashed = columns[hashed]
    ends = np.concatenate(([0], np.cumsum(hashed >= 0)))[ends]
    hashed = hashed[hashed >= 0]
    ones = np.ones(len(hashed), dtype=np.float32)
    buckets = csr_matrix((ones, hashed, ends), shape=(len(counts), len(seen)))
    matrix = hstack([buckets, plain], format="csr")
    matrix.sum_duplicates()
    return seen, matrix


def _weights(fitted: Models) -> dict[str, npt.NDArray[Any]]:
    """The arrays of all models; of the linear ones those buckets alone that have any weight."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, linear in fitted.first._asdict().items():
        seen = np.flatnonzero(linear.hashed.any(axis=1))
        weights = np.concatenate((linear.hashed[seen], linear.plain))
        arrays |= {
            f"{name}_seen": seen.astype(np.int32),
            f"{name}_weights": weights.astype(np.float16),
            f"{name}_intercepts": linear.intercepts,
        }
    for name, trees in (("second", fitted.second), ("declines", fitted.declines)):
        arrays |= {f"{name}_{field}": array for field, array in trees._asdict().items()}
    return arrays


def _usual() -> Iterator[str]:
    """What tells nothing of a model: boilerplate, the written replies, one form of each line.

    Without names, and without words that are hardly ever said.
    """
    for path in sorted(BOILERPLATE.glob("*.txt")):
        lines = path.read_text("utf-8").splitlines()
        yield from (line for line in lines if line and not line.startswith("#"))
    stretches = [some for reply in written.written() for some in written.nameless(reply)]
    forms = {sentence.line: sentence.text for sentence in sentences.sentences()}
    stretches += [some for text in forms.values() for some in re.split("[\ue000-\ue003]", text)]
    said = [words_of(text) for text in stretches]
    seen = Counter(chain.from_iterable(said))
    for some in said:
        for usual, run in groupby(some, key=lambda word: seen[word] >= LEAST_SEEN):
            if usual:
                yield " ".join(run)


def _words() -> set[str]:
    """The words of all lines, and those that several written replies have in small letters."""
    lines = (path.read_text("utf-8") for path in sentences.languages())
    seen = Counter[str]()
    for reply in written.written():
        seen.update(set(sentences.words_of(written.nameless(reply))))
    often = (word for word, times in seen.items() if times >= LEAST_SEEN and word.islower())
    return {*sentences.words_of(lines), *often}


def sources() -> str:
    """SHA-256 of what is fitted to: every written text, and the features of some sentences."""
    said = hashlib.sha256()
    texts = (sentences.FOLDER, written.FOLDER, BOILERPLATE, common.NEVER.parent)
    for path in sorted(chain.from_iterable(folder.glob("*.txt") for folder in texts)):
        said.update(path.name.encode() + path.read_bytes())
    rng = random.Random(1)
    some = [
        _masked(sentence, rng) for sentence in islice(sentences.sentences(), 0, None, LOOKED_AT)
    ]
    tokens = Tokens(numbered(text for text, _ in some))
    every_sentence = np.ones(len(tokens.reply_of_sentences), dtype=bool)
    every_token = np.ones(tokens.count, dtype=bool)
    for found in (tokens.windows(tokens.marks()).found, tokens.bags(every_sentence, every_token)):
        said.update(found.hashed.astype("<i8").tobytes())
        said.update(found.ends.astype("<i8").tobytes())
        said.update(found.plain.astype("<f4").tobytes())
    said.update("".join(role for _, roles in some for role in roles).encode())
    for each in islice(wholes.wholes(written.written()), 0, None, LOOKED_AT):
        said.update(crossed.shape(each).astype("<f4").tobytes())
    return said.hexdigest()


def fitted_sources(path: Path) -> str:
    """What `sources` said when a file of `fitted/` was made."""
    with np.load(path, allow_pickle=False) as stored:
        return str(stored["sources"])


def _write(path: Path, arrays: dict[str, npt.NDArray[Any]], made_of: str) -> None:
    path.parent.mkdir(exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    np.savez_compressed(scratch, sources=np.array(made_of), **cast(Any, arrays))
    os.replace(scratch, path)


def main() -> None:
    """Write the words, the classifier's weights and the null's counts; print the curves.

    With `--learning` print how much more written replies teach, too.
    """
    common.WORDS.write_text("\n".join(sorted(_words())), encoding="utf-8")
    made_of = sources()
    _write(NULL, Null.of(_usual()).arrays(), made_of)
    every = list(wholes.wholes(written.written()))
    seen = list(crossing(every))
    _write(classifier.FITTED, _weights(_fit(every, seen)), made_of)
    for line in curves.lines(seen, seconds):
        print(line, flush=True)
    for line in curves.learning(every, looks) if "--learning" in sys.argv else ():
        print(line, flush=True)


if __name__ == "__main__":
    main()
