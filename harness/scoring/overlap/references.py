"""Verbatim overlap of replies with reference texts.

Exact runs, near-verbatim runs, and how unlikely they are by chance. Tokens are words and single
Han, Kana, Hangul or Thai characters (`tokens.py`).

All references share one index of hashed k-grams for k = 1..`MIN_RUN` (64-bit polynomial hashes,
Karp and Rabin 1987, doi:10.1147/rd.312.0249); a k-gram can only occur where both of its
(k-1)-grams do, so few places are left after three levels. Runs of `MIN_RUN` tokens or more are
then followed token by token in the reference, so their lengths and places are exact.

How unlikely a run is: a model of what unrelated models say (`null.py`) gives its probability
p0; with m tokens of reply and n of references, E = m n p0 such runs are expected by chance, and
the p-value is 1 - exp(-E) (Karlin and Altschul 1990, doi:10.1073/pnas.87.6.2264). Boilerplate
is likely, so it weighs nothing.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.campaign import load_backstories
from harness.scoring.overlap.null import Null, null
from harness.scoring.overlap.tokens import places, words

MIN_RUN: Final = 8
SEED: Final = 4
#: A near-verbatim run may skip or change so many tokens at a time.
EDITS: Final = 3
CHUNK: Final = 1000
#: Of a k-gram that stands in very many places only the first ones are followed.
PLACES: Final = 256
#: Tokens of a run that are weighed where many references share it.
WEIGHED: Final = 40
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)

Ids = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class Run(NamedTuple):
    """A maximal exact run.

    Where it stands in the original reply (characters), its tokens, and -log10 of its chance.
    """

    start: int
    end: int
    tokens: int
    rarity: float


class Overlap(NamedTuple):
    """The overlap with the best reference. Shares are of tokens, in 0 to 1."""

    identity: str | None
    reference: str | None
    longest_run: int  # against every reference, and below MIN_RUN too
    reference_share: float
    reply_share: float
    near_run: int  # longest near-verbatim run in tokens of the reply, against every reference
    rarity: float  # of the rarest run: -log10 of how many such runs chance gives; 0 at least
    entities: tuple[str, ...]  # rare names and numbers of the best reference that the reply holds
    runs: tuple[Run, ...]


class Shared(NamedTuple):
    """What a reply has word for word of some texts, in whichever of them each run stands.

    The longest run, the share of its tokens in runs of `MIN_RUN` or more (0 to 1), and the rarity
    of the rarest one: -log10 of how many such runs chance gives, 0 at least.
    """

    longest_run: int
    reply_share: float
    rarity: float


class Reference(NamedTuple):
    """A text that an identity is known by."""

    identity: str
    label: str
    text: str


NOTHING: Final = Overlap(None, None, 0, 0.0, 0.0, 0, 0.0, (), ())


class _Level(NamedTuple):
    """All k-grams of the references.

    Sorted hashes, the place of each, where those of the same k-gram end (for seeds), and a table
    that rules out most others.
    """

    hashes: Hashes
    where: Ids
    until: Ids
    table: npt.NDArray[np.bool_]
    shift: np.uint64

    def hits(self, asked: Hashes) -> npt.NDArray[np.bool_]:
        found = self.table[(asked >> self.shift).astype(np.int64)]
        maybe = np.flatnonzero(found)
        if len(maybe):
            at = np.searchsorted(self.hashes, asked[maybe])
            at[at == len(self.hashes)] = 0
            found[maybe] = self.hashes[at] == asked[maybe]
        return found


class _Known(NamedTuple):
    """What is known of a batch before any run is followed.

    The longest run of each reply; by k and reply the seeds in it (place, row in that level); the
    ids of all words, and where each reply begins.
    """

    longest: Ids
    seeds: dict[int, dict[int, list[tuple[int, int]]]]
    ids: Ids
    starts: Ids

    def row(self, number: int) -> Ids:
        return self.ids[self.starts[number] : self.starts[number + 1]]


_UNKNOWN: Final = bytes(8)


class References:
    """An index of reference texts; built once, then replies stream past it."""

    def __init__(self, references: Iterable[Reference], chance: Null | None = None) -> None:
        self.references = list(references)
        self.chance = chance or null()
        vocabulary: dict[str, int] = {}
        ids: list[int] = []
        owners: list[int] = []
        self.lengths: list[int] = []
        for number, reference in enumerate(self.references):
            said = words(reference.text)
            self.lengths.append(len(said))
            ids.extend(vocabulary.setdefault(word, len(vocabulary) + 1) for word in said)
            owners.extend([number] * len(said))
            ids.append(0)  # nothing runs over the end of a reference
            owners.append(-1)
        self._codes = {word: np.int64(number).tobytes() for word, number in vocabulary.items()}
        self._mixed = _mix(np.arange(len(vocabulary) + 1))
        self.ids: Ids = np.array(ids, dtype=np.int64)
        self.owners: Ids = np.array(owners, dtype=np.int64)
        self.entities = [self._rare(reference.text) for reference in self.references]
        self.levels = self._levels()

    def _rare(self, text: str) -> frozenset[str]:
        """Names (capitals in a sentence) and numbers of a reference that the null never says."""
        found = {
            w
            for m in re.finditer(r"(?<=[^\W_] )([^\W\d_][\w'’-]*)|\b(\d[\d.,]*\d|\d)\b", text)
            if (m.group(2) or m.group(1)[0].isupper())
            for w in words(m.group())
        }
        return frozenset(w for w in found if w not in self.chance)

    def _levels(self) -> list[_Level]:
        levels = []
        shift = np.uint64(64 - max(12, (16 * len(self.ids)).bit_length()))
        hashes = np.zeros(len(self.ids), dtype=np.uint64)
        alive = np.arange(len(self.ids))
        for k in range(1, MIN_RUN + 1):
            alive = alive[alive + k <= len(self.ids)]
            alive = alive[self.ids[alive + k - 1] > 0]
            hashes[alive] = _next(hashes[alive], self._mixed[self.ids[alive + k - 1]])
            order = np.argsort(hashes[alive], kind="stable")
            where = alive[order]
            until = (
                np.searchsorted(hashes[where], hashes[where], side="right")
                if k in (SEED, MIN_RUN)
                else where[:0]
            )
            table = np.zeros(1 << (64 - int(shift)), dtype=np.bool_)
            table[(hashes[where] >> shift).astype(np.int64)] = True
            levels.append(_Level(hashes[where], where, until, table, shift))
        return levels

    def compare(self, text: str | None) -> Overlap:
        """The overlap of one reply."""
        return next(self.stream([text]))

    def stream(self, texts: Iterable[str | None]) -> Iterator[Overlap]:
        """The overlap of each reply in order, in batches of `CHUNK`.

        None and blank replies overlap with nothing.
        """
        source = iter(texts)
        while batch := list(islice(source, CHUNK)):
            yield from self._batch([text or "" for text in batch])

    def figures(self, batch: Sequence[Sequence[str]]) -> list[tuple[int, list[tuple[int, int]]]]:
        """For each tokenised reply the longest run, and the maximal runs of `MIN_RUN` or more.

        Those are (place, length) in tokens, exact.
        """
        known = self.runs_of(batch)
        found: list[tuple[int, list[tuple[int, int]]]] = [
            (length, []) for length in known.longest.tolist()
        ]
        for row, seeded in known.seeds[MIN_RUN].items():
            runs = [run for runs in self._runs(known.row(row), seeded).values() for run in runs]
            found[row] = (
                max(length for *_, length in runs),
                [(place, length) for place, _, length in _maximal(runs)],
            )
        return found

    def shared(self, batch: Sequence[Sequence[str]]) -> Iterator[Shared]:
        """What each tokenised reply has of all references together.

        `stream` tells of the reference that is covered most, which of many short ones may be
        boilerplate; here a rare run counts wherever it stands. Of a run the first `WEIGHED` tokens
        are weighed: a part of a run is a run too, so the rarity errs on the low side.
        """
        for said, (longest, runs) in zip(batch, self.figures(batch), strict=True):
            weighed = {tuple(said[place : place + min(length, WEIGHED)]) for place, length in runs}
            rarest = max((_rarity(self.chance, run) for run in weighed), default=0.0)
            share = _covered(runs) / len(said) if runs else 0.0
            yield Shared(longest, share, max(0.0, rarest - self._tried(said)) if runs else 0.0)

    def _tried(self, said: Sequence[str]) -> float:
        """log10 of m n: in how many pairs of places a run of a reply could begin."""
        return math.log10(max(1, len(said)) * max(1, len(self.ids)))

    def runs_of(self, batch: Sequence[Sequence[str]]) -> _Known:
        """The bare figures of tokenised replies.

        The longest run of each, and the places of runs of `SEED` and `MIN_RUN` tokens.
        """
        lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
        ids = np.frombuffer(
            b"".join(map(self._codes.get, chain.from_iterable(batch), repeat(_UNKNOWN))),
            dtype=np.int64,
        )
        starts = np.concatenate(([0], np.cumsum(lengths)))
        longest = np.zeros(len(batch), dtype=np.int64)
        seeds: dict[int, dict[int, list[tuple[int, int]]]] = {SEED: {}, MIN_RUN: {}}
        row_of = np.repeat(np.arange(len(batch)), lengths)
        mixed = self._mixed[ids]
        alive = np.flatnonzero(ids)
        hashes = np.zeros(len(alive), dtype=np.uint64)
        present = np.zeros(len(ids) + 1, dtype=np.bool_)
        for k, level in enumerate(self.levels, 1):
            hashes = _next(hashes, mixed[alive + k - 1])
            if k > 1:  # every word of the vocabulary stands in a reference
                hits = level.hits(hashes)
                alive, hashes = alive[hits], hashes[hits]
            if not len(alive):
                break
            rows = row_of[alive]
            longest[rows] = k
            if k in seeds:
                found = list(
                    zip(
                        (alive - starts[rows]).tolist(),
                        np.searchsorted(level.hashes, hashes).tolist(),
                        strict=True,
                    )
                )
                seeded, firsts = (some.tolist() for some in np.unique(rows, return_index=True))
                seeds[k] = {
                    row: found[first:last]
                    for row, first, last in zip(
                        seeded, firsts, [*firsts[1:], len(rows)], strict=True
                    )
                }
            present[:] = False
            present[alive] = True
            going = present[alive + 1] & (alive + k < starts[rows + 1])
            alive, hashes = alive[going], hashes[going]
        return _Known(longest, seeds, ids, starts)

    def _places(self, k: int, at: int) -> list[int]:
        level = self.levels[k - 1]
        found: list[int] = level.where[at : min(at + PLACES, int(level.until[at]))].tolist()
        return found

    def _batch(self, texts: list[str]) -> Iterator[Overlap]:
        batch = [words(text) for text in texts]
        known = self.runs_of(batch)
        short, long = known.seeds[SEED], known.seeds[MIN_RUN]
        for row, (text, said, longest) in enumerate(
            zip(texts, batch, known.longest.tolist(), strict=True)
        ):
            if row in long:
                yield self._whole(text, said, self._runs(known.row(row), long[row]), short[row])
            elif len(short.get(row, ())) >= 2 * SEED:
                yield NOTHING._replace(longest_run=longest, near_run=self._near(short[row]))
            else:
                yield NOTHING._replace(longest_run=longest)

    def _whole(
        self,
        text: str,
        said: list[str],
        runs: dict[int, list[tuple[int, int, int]]],
        seeds: list[tuple[int, int]],
    ) -> Overlap:
        spans = places(text)
        best: tuple[float, int, str, int] | None = None
        for owner, found in runs.items():
            covered = _covered((where, length) for _, where, length in found)
            score = (
                covered / self.lengths[owner],
                max(length for *_, length in found),
                self.references[owner].label,
                owner,
            )
            best = max(best, score) if best else score
        assert best
        owner = best[3]
        kept = _maximal(runs[owner])
        tried = self._tried(said)
        chances = [
            Run(
                spans[place][0],
                spans[place + length - 1][1],
                length,
                round(self.chance.rarity(said[place : place + length]), 3),
            )
            for place, _, length in kept
        ]
        return Overlap(
            self.references[owner].identity,
            self.references[owner].label,
            max(length for found in runs.values() for *_, length in found),
            best[0],
            _covered((place, length) for place, _, length in kept) / len(said),
            self._near(seeds),
            round(max(0.0, max(run.rarity for run in chances) - tried), 3),
            tuple(sorted(self.entities[owner] & set(said))),
            tuple(chances),
        )

    def _runs(
        self, ids: Ids, seeds: list[tuple[int, int]]
    ) -> dict[int, list[tuple[int, int, int]]]:
        """Maximal runs by reference: place in the reply, place in the index, length."""
        runs: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        open_diagonals: set[int] = set()
        previous = -2
        for place, at in seeds:
            if place != previous + 1:
                open_diagonals = set()
            previous = place
            now = set()
            for where in self._places(MIN_RUN, at):
                now.add(where - place)
                if where - place not in open_diagonals:
                    mine = ids[place + MIN_RUN :]
                    other = self.ids[where + MIN_RUN : where + MIN_RUN + len(mine)]
                    differs = np.flatnonzero((mine[: len(other)] != other) | (other == 0))
                    runs[int(self.owners[where])].append(
                        (place, where, MIN_RUN + (int(differs[0]) if len(differs) else len(other)))
                    )
            open_diagonals = now
        return runs

    def _near(self, seeds: list[tuple[int, int]]) -> int:
        """Longest chain of seeds of one reference.

        Its gaps are at most `EDITS` tokens in the reply and in the reference.
        """
        chains: dict[int, list[tuple[int, int, int]]] = defaultdict(
            list
        )  # by reference: first place, last place, last diagonal
        longest = 0
        for place, at in seeds:
            for where in self._places(SEED, at)[:16]:
                diagonal, owner = where - place, int(self.owners[where])
                going = [c for c in chains[owner] if place - c[1] <= SEED + EDITS]
                fits = next((c for c in going if abs(c[2] - diagonal) <= EDITS), None)
                first = fits[0] if fits else place
                if fits:
                    going.remove(fits)
                chains[owner] = [*going[-32:], (first, place, diagonal)]
                longest = max(longest, place + SEED - first)
        return longest


def published() -> References:
    """The index of every reference text under `probes/backstories/`."""
    return References(Reference(b.identity, b.file, b.text) for b in load_backstories())


@lru_cache(maxsize=10_000)
def _rarity(chance: Null, run: tuple[str, ...]) -> float:
    """`Null.rarity`, for the same runs stand in many replies."""
    return chance.rarity(run)


def _mix(ids: Ids) -> Hashes:
    mixed = (ids.astype(np.uint64) + np.uint64(0x632BE59BD9B4E019)) * np.uint64(0xD6E8FEB86659FD93)
    return np.asarray((mixed >> np.uint64(29)) ^ mixed, dtype=np.uint64)


def _next(hashes: Hashes, mixed: Hashes) -> Hashes:
    """The hashes of k-grams from those of the (k-1)-grams before their last words, and of these."""
    return np.asarray((hashes ^ mixed) * _BASE, dtype=np.uint64)


def _covered(runs: Iterable[tuple[int, int]]) -> int:
    """How many places the runs (start, length) cover together."""
    total = reached = 0
    for start, length in sorted(runs):
        total += max(0, start + length - max(start, reached))
        reached = max(reached, start + length)
    return total


def _maximal(runs: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of the runs in a reply, those that do not lie inside another, in order."""
    kept: list[tuple[int, int, int]] = []
    reached = 0
    for place, where, length in sorted(runs, key=lambda r: (r[0], -r[2])):
        if place + length > reached:
            kept.append((place, where, length))
            reached = place + length
    return kept
