"""Features of the windows around marks, and of sentences, for many replies at once.

All is made of arrays: a feature is the hash of where it stands and of the tokens that it is made of
(`buckets.py`), and what is known of a token is looked up once (`vocabulary.py`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from harness.scoring.around import Around
from harness.scoring.buckets import Bools, Buckets, bucket, placed, unpacked
from harness.scoring.concepts import CONCEPTS, in_a_row
from harness.scoring.vocabulary import Ints, Is, Numbered

_REFUSAL_CONCEPTS: Final = sum(
    1 << CONCEPTS.index(c)
    for c in ("tell", "assistant", "name", "make", "not", "you", "company", "base")
)
#: A sentence of so many tokens can refuse without a word for the speaker.
SHORT: Final = 12


class Found(NamedTuple):
    """The features of windows or sentences.

    Some are hashed, some have a column of their own.
    """

    hashed: Buckets  # row after row
    ends: Ints  # (rows + 1,): where each row begins in ``hashed``
    plain: Bools  # (rows, columns)


class Windows(NamedTuple):
    """The features of marks, and what else is known of the place of each."""

    found: Found
    nobody: Bools  # no word for the speaker in its sentence, nor before a brief one
    field: Bools  # behind the sign of a field in a table or form


class Tokens:
    """The tokens of some replies, one behind the other, with what is known of each.

    Mentions are masked.
    """

    def __init__(self, numbered: Numbered) -> None:
        numbers, known = numbered.numbers, numbered.vocabulary
        #: Where each reply begins; the last one's end.
        self.starts, self.count = numbered.starts, len(numbers)
        self.whole, self.first3, self.first4, self.first5, self.last3 = (
            hashes.take(numbers) for hashes in known.hashes
        )
        self.flags, self.about = known.flags.take(numbers), known.about.take(numbers)
        for reply in np.unique(numbered.text_of(np.flatnonzero(self.are(Is.SPACELESS)))).tolist():
            for concept, place in in_a_row([known.tokens[n] for n in numbered.of(reply).tolist()]):
                self.about[self.starts[reply] + place] |= concept
        self.quotes = np.concatenate(([0], np.cumsum(self.are(Is.QUOTE))))
        self.speakers = np.concatenate(([0], np.cumsum(self.are(Is.SPEAKER))))
        opens = np.zeros(self.count + 1, dtype=bool)
        opens[self.starts] = True
        places = np.arange(self.count)
        #: The last quotation mark before a token, or the token itself, if it is one.
        self.quoted_from = _since(self.are(Is.QUOTE), places)
        self.line = _since(opens[:-1] | self._behind(Is.NEW_LINE), places)
        begins = opens[:-1] | self._behind(Is.SENTENCE_END)
        #: Number of the sentence that a token is in, and where each sentence begins.
        self.sentence, self.begins = np.cumsum(begins) - 1, np.flatnonzero(begins)

    def are(self, flag: int) -> Bools:
        return np.asarray((self.flags & flag) != 0)

    def _behind(self, flag: int) -> Bools:
        """Tokens right behind one with the flag."""
        return np.concatenate(([False], self.are(flag)[:-1]))

    def marks(self) -> Ints:
        """Places of all marks."""
        return np.flatnonzero(self.are(Is.MARK))

    def windows(self, at: Ints) -> Windows:
        """Features of the marks at some places: neighbours, clause, sentence, what is beside."""
        around = Around(self, at)
        table = np.concatenate(around.hashed(), axis=1)
        there = table != 0
        ends = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
        found = Found(table[there], ends, np.concatenate(around.plain(), axis=1))
        return Windows(found, around.nobody(), around.left.field)

    def bags(self, chosen: Bools, keep: Bools) -> Found:
        """Features of whole sentences.

        Of those ``chosen`` (by number), and of the tokens to ``keep`` in them.
        """
        place = np.flatnonzero(keep & chosen[self.sentence] & ~self.are(Is.SENTENCE_END))
        rank = np.cumsum(chosen) - 1
        row, rows = rank[self.sentence[place]], int(chosen.sum())
        parts = self._hashed_bags(place, row)
        rows_of = np.concatenate([rows_of for rows_of, _ in parts])
        hashed = np.concatenate([hashed for _, hashed in parts])
        ends = np.concatenate(([0], np.cumsum(np.bincount(rows_of, minlength=rows))))
        order = np.argsort(rows_of, kind="stable")
        return Found(hashed[order], ends, self._plain_bags(place, row, rows))

    def _hashed_bags(self, place: Ints, row: Ints) -> list[tuple[Ints, Buckets]]:
        """Buckets of the tokens at some places, and of pairs of them, with the row of each."""
        whole, about = self.whole[place], self.about[place].astype(np.uint64)
        together = row[1:] == row[:-1]
        parts = [
            (row, bucket(70, whole)),
            (row[1:][together], bucket(71, whole[:-1], whole[1:])[together]),
        ]
        for number, start in ((72, self.first5[place]), (73, self.first3[place])):
            parts.append((row[start != 0], bucket(number, start)[start != 0]))
        said = np.flatnonzero(about)
        pairs = row[said[1:]] == row[said[:-1]]
        of_concepts = bucket(74, about[said[:-1]], about[said[1:]])
        parts.append((row[said[1:]][pairs], of_concepts[pairs]))
        return parts

    def _plain_bags(self, place: Ints, row: Ints, rows: int) -> Bools:
        """A word for the speaker, and the concepts: alone, and with or without that word."""
        own = np.zeros(rows, dtype=bool)
        own[row[self.are(Is.OWN)[place]]] = True
        every = np.zeros(rows, dtype=np.uint16)
        np.bitwise_or.at(every, row, self.about[place])
        bits = unpacked(every[:, None])
        return np.concatenate((own[:, None], bits, placed(bits, own.astype(np.int64), 2)), axis=1)

    def unmarked(self) -> Bools:
        """Tokens that are no marks."""
        return ~self.are(Is.MARK)

    def unquoted(self) -> Bools:
        """Tokens that no quotation mark of their sentence stands open before.

        One that a sentence begins with closes what was open.
        """
        quote, starts = self.are(Is.QUOTE), self.quotes[self.begins]
        left_open = np.concatenate(([False], np.diff(starts) % 2 == 1))
        closed = starts + (left_open & quote[self.begins])
        inside = (self.quotes[:-1] - closed[self.sentence]) % 2 == 1
        return np.asarray(~inside & ~quote)

    def could_refuse(self, keep: Bools, short: Bools) -> Bools:
        """Sentences in which a speaker could decline.

        They have a word for it or for what is declined, or are short and of a reply marked so.
        """
        rows = len(self.begins)
        words = keep & ~self.are(Is.SENTENCE_END)
        count = np.bincount(self.sentence[words], minlength=rows)
        telling = self.are(Is.OWN) | ((self.about & _REFUSAL_CONCEPTS) != 0)
        could = np.zeros(rows, dtype=bool)
        could[self.sentence[words & telling]] = True
        return could | ((count > 0) & (count <= SHORT) & short[self.reply_of_sentences])

    @cached_property
    def reply_of_sentences(self) -> Ints:
        """The number of the reply of each sentence."""
        return np.asarray(np.searchsorted(self.starts, self.begins, side="right") - 1)

    def any_own(self) -> Bools:
        """Replies with a word by which a speaker speaks of itself."""
        counted = np.concatenate(([0], np.cumsum(self.are(Is.OWN))))
        return np.asarray(counted[self.starts[1:]] > counted[self.starts[:-1]])


def _since(marked: Bools, places: Ints) -> Ints:
    """For each place the last one that is marked, itself included."""
    return np.asarray(np.maximum.accumulate(np.where(marked, places, 0)))
