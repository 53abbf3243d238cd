"""What stands around a mark: its neighbours, its clause, its sentence, and what is beside.

A window ends with its sentence; the sentences beside it lend a few tokens under names of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.scoring.buckets import Bools, Buckets, Hashes, bucket, column, placed, unpacked
from harness.scoring.marks import EITHER, MAKER, NAME, UNLISTED
from harness.scoring.vocabulary import Ints, Is, hashed

if TYPE_CHECKING:
    from harness.scoring.features import Tokens

#: Tokens of a sentence on each side of a mark; tokens beside the sentence; tokens before it in
#: which a speaker is looked for.
NEAR, BESIDE, BEFORE = 16, 6, 12
#: A sentence of fewer tokens beside its mark goes with the one before it.
BRIEF: Final = 4
#: So far back an open quotation mark is looked for.
QUOTED_IN: Final = 60
_KINDS: Final = tuple(map(hashed, (NAME, MAKER, EITHER, UNLISTED)))


class Around:
    """What stands around each of some marks, and the features made of it."""

    def __init__(self, tokens: Tokens, at: Ints) -> None:
        self.tokens, self.at = tokens, at
        reply = np.searchsorted(tokens.starts, at, side="right") - 1
        self.begin, self.stop = tokens.starts[reply], tokens.starts[reply + 1]
        left = self.left = _Side(tokens, at, -1, self.begin, self.stop)
        right = self.right = _Side(tokens, at, 1, self.begin, self.stop)
        self.mark = tokens.whole[at]
        #: Has the sentence a word for the speaker, or has what stands before it?
        self.own: Bools = np.asarray(
            (left.own & left.live).any(axis=1) | (right.own & right.live).any(axis=1)
        )
        first = at - left.count
        self.spoke = (first > self.begin) & self._spoke_before(first)
        #: Both in one number.
        before = np.where(self.spoke, np.uint64(2), np.uint64(0))
        self.speaks: Hashes = np.where(self.own, np.uint64(1), before)
        #: Where the clause has a word for the speaker: before the mark, behind it, nowhere.
        behind = np.where((right.own & right.clause).any(axis=1), 1, 2)
        in_clause = np.where((left.own & left.clause).any(axis=1), 0, behind)
        self.in_clause = in_clause.astype(np.uint64)
        quotes = tokens.quotes
        self.quoted = (quotes[at] - quotes[np.maximum(self.begin, at - QUOTED_IN)]) % 2 == 1
        opened = np.maximum(tokens.quoted_from[at], self.begin)
        #: Something stands before the quotation: the speaker's "I said", or another's.
        self.told = self.quoted & (opened > self.begin)
        self.own_words = self._spoke_before(opened)

    def _spoke_before(self, place: Ints) -> Bools:
        """Where a word for the speaker stands not far before a place."""
        speakers = self.tokens.speakers
        return np.asarray(speakers[place] > speakers[np.maximum(self.begin, place - BEFORE)])

    def hashed(self) -> list[Buckets]:
        """Columns of buckets; their order is that in which weights are added up."""
        return [
            *self._neighbours(),
            *self.left.sentence(self.tokens, 30),
            *self.right.sentence(self.tokens, 40),
            *self._of_the_speaker(),
            *self._of_the_clause(),
            *self._of_the_quotation(),
        ]

    def _neighbours(self) -> list[Buckets]:
        mark, left, right = self.mark, self.left, self.right
        (l1, l2, l3), (r1, r2, r3) = left.next, right.next
        parts: tuple[tuple[Hashes, ...], ...] = (
            (mark,), (l1,), (l2,), (l3,), (l2, l1), (r1,), (r2,), (r3,), (r1, r2),
            (l1, r1), (mark, l1), (mark, r1), (mark, l2, l1), (mark, r1, r2),
            (left.first4,), (left.last3,), (right.first4,), (right.last3,),
            (left.beyond,), (right.beyond,), (left.second_last3, l1),
        )  # fmt: skip
        return [column(number, *hashes) for number, hashes in enumerate(parts)]

    def _of_the_speaker(self) -> list[Buckets]:
        mark, left, right, speaks = self.mark, self.left, self.right, self.speaks
        lone = ~self.own & ((left.count > 0) | (right.count > 0))
        before, behind = (side.nearest(side.about != 0, side.about) for side in (left, right))
        columns = [
            column(50, mark, speaks),
            column(51, left.next[0], where=lone),
            column(52, speaks, *before, *behind),
            column(53, mark, speaks, before[0], behind[0]),
        ]
        for number, side in ((54, left), (56, right)):
            columns += side.speaker(number)
            columns.append(column(number + 20, mark, *side.nearest(side.marked, side.whole)))
        counts = (np.minimum(3, side.marked.sum(axis=1)) for side in (left, right))
        columns.append(column(60, *(count.astype(np.uint64) for count in counts)))
        return columns

    def _of_the_clause(self) -> list[Buckets]:
        left, right = self.left, self.right
        before, behind = (
            side.nearest(side.clause & (side.about != 0), side.about) for side in (left, right)
        )
        return [
            column(61, left.limit, right.limit),
            column(62, self.in_clause, *before, *behind),
            column(63, self.in_clause, self.mark),
        ]

    def _of_the_quotation(self) -> list[Buckets]:
        own_words = self.own_words.astype(np.uint64)
        return [
            column(64, self.mark, where=self.quoted),
            column(65, self.mark, own_words, where=self.told),
        ]

    def plain(self) -> list[Bools]:
        """Columns of their own: what holds of the mark, and the concepts on both sides."""
        tokens, told, own_words = self.tokens, self.told, self.own_words
        in_a_quoted_line = tokens.are(Is.QUOTES)[tokens.line[self.at]]
        flags = (
            self.own, ~self.own, self.spoke, self.right.question,
            in_a_quoted_line, self.quoted, told & own_words, told & ~own_words,
        )  # fmt: skip
        kinds = [(self.mark == hashed) * number for number, hashed in enumerate(_KINDS)]
        kind, in_clause = np.sum(kinds, axis=0), self.in_clause.astype(np.int64)
        return [
            np.stack(flags, axis=1),
            *self.left.concepts(kind, in_clause),
            *self.right.concepts(kind, in_clause),
        ]

    def nobody(self) -> Bools:
        """Where no word for the speaker stands in the sentence, nor beside a brief one."""
        left, right, speakers = self.left, self.right, self.tokens.speakers
        past, on = (np.minimum(right.past + further, self.stop) for further in (0, BESIDE))
        # "My name? Rio.", "Rio? That is not me."
        beside = self.spoke | (speakers[on] > speakers[past])
        brief = (left.count + right.count < BRIEF) & beside
        return np.asarray(~self.own & ~brief)


class _Side:
    """What stands on one side of each mark, the nearest first: arrays of (marks, `NEAR`)."""

    def __init__(self, tokens: Tokens, at: Ints, step: int, begin: Ints, stop: Ints) -> None:
        self.step, self.begin, self.stop = step, begin, stop
        place = at[:, None] + step * np.arange(1, NEAR + 1)
        inside = (place >= begin[:, None]) & (place < stop[:, None])
        place = np.clip(place, 0, tokens.count - 1)
        self._flags = tokens.flags.take(place)
        self.live = np.logical_and.accumulate(inside & ~self.are(Is.END), axis=1)
        self.count = self.live.sum(axis=1)
        self.whole = tokens.whole.take(place)
        self.about = np.where(self.live, tokens.about.take(place), np.uint16(0))
        self.own = self.are(Is.OWN)
        self.marked = self.are(Is.MARK) & self.live
        self.clause = np.logical_and.accumulate(self.live & ~self.are(Is.CLAUSE_END), axis=1)
        #: The first token beyond the sentence (or the window).
        self.past = at + step * (self.count + 1)
        there = (self.past >= begin) & (self.past < stop)
        past = np.clip(self.past, 0, tokens.count - 1)
        self.beyond = np.where(there, tokens.whole[past], np.uint64(1))
        self.question = there & ((tokens.flags[past] & Is.QUESTION) != 0)
        outside = (self.beyond * np.uint64(3), np.uint64(5), np.uint64(7))
        self.next = []
        for k in range(3):
            away = k - self.count
            beyond = np.where(away == 0, outside[0], np.where(away == 1, outside[1], outside[2]))
            self.next.append(np.where(away < 0, self.whole[:, k], beyond))
        near = self.count > 0
        self.first4 = np.where(near, tokens.first4[place[:, 0]], outside[0])
        self.last3 = np.where(near, tokens.last3[place[:, 0]], outside[0])
        self.second_last3 = np.where(self.count > 1, tokens.last3[place[:, 1]], self.next[1])
        self.field = near & self.are(Is.FIELD)[:, 0]
        length = self.clause.sum(axis=1)
        at_its_end = self.whole[np.arange(len(at)), np.minimum(length, NEAR - 1)]
        self.limit = np.where(length < self.count, at_its_end, np.uint64(1))

    def are(self, flag: int) -> Bools:
        return np.asarray((self._flags & flag) != 0)

    def sentence(self, tokens: Tokens, number: int) -> list[Buckets]:
        """Buckets of the tokens of the sentence, of pairs of them, of its clause, and beyond it."""
        pairs = bucket(number + 1, self.whole[:, :-1], self.whole[:, 1:])
        return [
            np.where(self.live, bucket(number, self.whole), 0),
            np.where(self.live[:, 1:], pairs, 0),
            np.where(self.clause, bucket(number + 2, self.whole), 0),
            self.beside(tokens, number + 3),
        ]

    def concepts(self, kind: Ints, in_clause: Ints) -> list[Bools]:
        """Concepts by distance; those of the sentence by mark; those of the clause by speaker."""
        # 2, 3, 3 and 6 tokens
        stretches = np.pad(self.about, ((0, 0), (1, 2)))[:, :15].reshape(len(self.about), 5, 3)
        near = np.bitwise_or.reduce(stretches, axis=2)
        near[:, 3] |= near[:, 4]
        of_sentence = np.bitwise_or.reduce(self.about, axis=1)
        of_clause = np.bitwise_or.reduce(np.where(self.clause, self.about, 0), axis=1)
        return [
            unpacked(near[:, :4]),
            placed(unpacked(of_sentence[:, None]), kind, len(_KINDS)),
            placed(unpacked(of_clause[:, None]), in_clause, 3),
        ]

    def beside(self, tokens: Tokens, number: int) -> Buckets:
        """Buckets of the tokens beyond the sentence."""
        place = self.past[:, None] + self.step * np.arange(BESIDE)
        inside = (place >= self.begin[:, None]) & (place < self.stop[:, None])
        return np.where(inside, bucket(number, tokens.whole.take(place, mode="clip")), 0)

    def nearest(self, here: Bools, values: npt.NDArray[Any]) -> tuple[Hashes, Hashes]:
        """The values at the nearest two places that are meant, or 0."""
        rows = np.arange(len(here))
        first = here.argmax(axis=1)
        found = here[rows, first]
        rest = here.copy()
        rest[rows, first] = False
        second = rest.argmax(axis=1)
        nearest = np.where(found, values[rows, first], 0)
        next_nearest = np.where(rest[rows, second], values[rows, second], 0)
        return nearest.astype(np.uint64), next_nearest.astype(np.uint64)

    def speaker(self, number: int) -> list[Buckets]:
        """How far the nearest word for the speaker is, and what stands between it and the mark."""
        own = self.own & self.live
        found: Bools = np.asarray(own.any(axis=1))
        distance = own.argmax(axis=1)
        rows, last = np.arange(len(own)), np.maximum(distance - 1, 0)
        between = distance > 0
        passed = np.bitwise_or.accumulate(self.about, axis=1)[rows, last]
        about = np.where(between, passed, 0).astype(np.uint64)

        def passes(flag: int) -> Hashes:
            passed = np.logical_or.accumulate(self.are(flag), axis=1)[rows, last]
            return np.asarray(between & passed).astype(np.uint64)

        return [
            column(number, about, passes(Is.CLAUSE_END), passes(Is.MARK), where=found),
            column(number + 1, np.minimum(distance, 6).astype(np.uint64), where=found),
        ]
