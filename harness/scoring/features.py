"""Tokens of replies in which mentions are marks, and the features of the windows around marks.

Words in scripts with spaces, single characters in Han, Kana and Thai, every sign a token of its
own. A window ends with its sentence; the sentences beside it lend a few tokens under names of their
own.

All is made of arrays, for many replies at once: what is known of a token is looked up once in a
`Vocabulary`, and a feature is the hash of where it stands and of the tokens that it is made of
(feature hashing: Weinberger et al. 2009, doi:10.1145/1553374.1553516).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.scoring.concepts import CONCEPTS, concepts_of, in_a_row
from harness.scoring.lists import any_of, words
from harness.scoring.normalize import normalize

#: Marks that stand for mentions: a family, a maker, a word that is both, a name that no book lists.
NAME, MAKER, EITHER, UNLISTED = "\ue000", "\ue001", "\ue002", "\ue003"
MARKS: Final = frozenset((NAME, MAKER, EITHER, UNLISTED))
#: What stands between texts that are looked at together.
BORDER: Final = "\ue004"
ENDS: Final = frozenset(".!?。！？।؟\n;；…")
SENTENCE_ENDS: Final = frozenset(".!?。！？।؟\n")
#: Signs and words that end a clause.
CLAUSE_ENDS: Final = frozenset((*', ; : ( ) | " - ، 、 ，'.split(), *words("clause_ends")))
_REFUSAL_CONCEPTS: Final = sum(
    1 << CONCEPTS.index(c)
    for c in ("tell", "assistant", "name", "make", "not", "you", "company", "base")
)
#: A sentence of so many tokens can refuse without a word for the speaker.
SHORT: Final = 12
_QUESTIONS: Final = frozenset("?？؟")
_TOKEN: Final = re.compile(
    "[\ue000-\ue003]|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|"
    "(?:[^\\W_]|[\u0300-\u036f\u0900-\u0dff])+(?:'[^\\W_]+)*|[^\\w\\s]|\n"
)

#: Tokens of a sentence on each side of a mark; tokens beside the sentence; tokens before it in
#: which a speaker is looked for.
NEAR, BESIDE, BEFORE = 16, 6, 12
#: A sentence of fewer tokens beside its mark goes with the one before it.
BRIEF: Final = 4
#: So far back an open quotation mark is looked for.
QUOTED_IN: Final = 60
#: Features fall into this many buckets; the first stays empty.
BUCKETS: Final = 1 << 20
#: Words by which a speaker speaks of itself; characters for Han and Kana.
_SELF: Final = frozenset(words("speaker"))
_SELF_ENDING: Final = re.compile(f"(?:{any_of('speaker_endings')})$")
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Buckets = npt.NDArray[np.int32]
(
    _OWN,
    _SPEAKER,
    _END,
    _CLAUSE_END,
    _MARK,
    _QUESTION,
    _SENTENCE_END,
    _QUOTE,
    _NEW_LINE,
    _QUOTES,
    _FIELD,
    _SPACELESS,
) = (1 << bit for bit in range(12))
_MEMBERS: Final[dict[int, frozenset[str]]] = {
    _SPEAKER: _SELF,
    _END: ENDS,
    _CLAUSE_END: CLAUSE_ENDS,
    _MARK: MARKS,
    _QUESTION: _QUESTIONS,
    _SENTENCE_END: SENTENCE_ENDS,
    _QUOTE: frozenset('"'),
    _NEW_LINE: frozenset("\n"),
    _QUOTES: frozenset(">"),
    _FIELD: frozenset("|:"),
}
#: So many different tokens, and pieces of text, are remembered.
_MOST: Final = 1 << 18
_WIDTH: Final = len(CONCEPTS)
_BITS: Final = np.arange(_WIDTH, dtype=np.uint16)


def _hash(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little") | 1


_KINDS: Final = tuple(map(_hash, (NAME, MAKER, EITHER, UNLISTED)))


class Vocabulary(dict[str, int]):
    """The numbers of the tokens seen so far, as they are written.

    What is known of each is in arrays by number.
    """

    def __init__(self) -> None:
        #: Hashes of the whole token, its first 3, 4 and 5 letters and its last 3.
        self.hashes = np.zeros((5, 4096), dtype=np.uint64)
        self.flags = np.zeros(4096, dtype=np.uint16)
        self.about = np.zeros(4096, dtype=np.uint16)
        #: The tokens, normalised.
        self.tokens: list[str] = []
        self.pieces = _Pieces(self)
        self.border = self[BORDER]

    def __missing__(self, written: str) -> int:
        number, token = len(self.tokens), normalize(written, join=False).text
        if number == len(self.flags):
            self.hashes = np.concatenate((self.hashes, np.zeros_like(self.hashes)), axis=1)
            self.flags = np.concatenate((self.flags, np.zeros_like(self.flags)))
            self.about = np.concatenate((self.about, np.zeros_like(self.about)))
        self.hashes[:, number] = (
            _hash(token),
            _hash(token[:3]) if len(token) > 3 and token[0] > "\u0500" else 0,
            _hash(token[:4]),
            _hash(token[:5]) if len(token) > 5 else 0,
            _hash(token[-3:]),
        )
        about = concepts_of(token)
        own = token in _SELF or _SELF_ENDING.search(token) is not None
        self.flags[number] = sum(flag for flag, members in _MEMBERS.items() if token in members)
        self.flags[number] |= _OWN * own | _SPACELESS * ("\u3040" <= token <= "\u9fff")
        self.about[number] = about
        self.tokens.append(token)
        self[written] = number
        return number


class _Pieces(dict[str, bytes]):
    """The numbers of the tokens of what stands between spaces, as the bytes of an array.

    Those of short pieces are remembered.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def __missing__(self, piece: str) -> bytes:
        folded = normalize(piece, join=False).text
        written = piece if len(folded) == len(piece) else folded
        numbers = np.array(
            [self._vocabulary[written[m.start() : m.end()]] for m in _TOKEN.finditer(folded)],
            dtype=np.int64,
        ).tobytes()
        if len(piece) < SHORT_PIECE:
            if len(self) >= _MOST:
                self.clear()
            self[piece] = numbers
        return numbers


#: The tokens of pieces shorter than this are remembered.
SHORT_PIECE: Final = 20
_VOCABULARY = Vocabulary()


class Numbered(NamedTuple):
    """The numbers of the tokens of some texts, one behind the other."""

    numbers: Ints
    starts: Ints  # where each text begins; the last one's end
    vocabulary: Vocabulary

    def of(self, text: int) -> Ints:
        """Those of one text."""
        return self.numbers[self.starts[text] : self.starts[text + 1]]

    def text_of(self, places: Ints) -> Ints:
        """The texts that the tokens at some places are of."""
        return np.asarray(np.searchsorted(self.starts, places, side="right") - 1)


def numbered(texts: Iterable[str]) -> Numbered:
    """The tokens of texts with marks.

    The texts are normalised, or as long as their normalised form and with the capitals that it
    lacks.
    """
    global _VOCABULARY
    if len(_VOCABULARY) > _MOST:
        _VOCABULARY = Vocabulary()
    vocabulary = _VOCABULARY
    pieces = "".join([f"{text} {BORDER} " for text in texts]).replace("\n", " \n ").split(" ")
    numbers = np.frombuffer(b"".join(map(vocabulary.pieces.__getitem__, pieces)), dtype=np.int64)
    border = numbers == vocabulary.border
    borders = np.flatnonzero(border)
    starts = np.concatenate(([0], borders - np.arange(len(borders))))
    return Numbered(numbers[~border], starts, vocabulary)


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
        for reply in np.unique(numbered.text_of(np.flatnonzero(self._are(_SPACELESS)))).tolist():
            for concept, place in in_a_row([known.tokens[n] for n in numbered.of(reply).tolist()]):
                self.about[self.starts[reply] + place] |= concept
        self.quotes = np.concatenate(([0], np.cumsum(self._are(_QUOTE))))
        self.speakers = np.concatenate(([0], np.cumsum(self._are(_SPEAKER))))
        opens = np.zeros(self.count + 1, dtype=bool)
        opens[self.starts] = True
        places = np.arange(self.count)
        #: The last quotation mark before a token, or the token itself, if it is one.
        self.quoted_from = _since(self._are(_QUOTE), places)
        self.line = _since(opens[:-1] | self._behind(_NEW_LINE), places)
        begins = opens[:-1] | self._behind(_SENTENCE_END)
        #: Number of the sentence that a token is in, and where each sentence begins.
        self.sentence, self.begins = np.cumsum(begins) - 1, np.flatnonzero(begins)

    def _are(self, flag: int) -> Bools:
        return np.asarray((self.flags & flag) != 0)

    def _behind(self, flag: int) -> Bools:
        """Tokens right behind one with the flag."""
        return np.concatenate(([False], self._are(flag)[:-1]))

    def marks(self) -> Ints:
        """Places of all marks."""
        return np.flatnonzero(self._are(_MARK))

    def windows(self, at: Ints) -> Windows:
        """Features of the marks at some places: neighbours, clause, sentence, what is beside."""
        around = _Around(self, at)
        table = np.concatenate(around.hashed(), axis=1)
        there = table != 0
        ends = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
        found = Found(table[there], ends, np.concatenate(around.plain(), axis=1))
        return Windows(found, around.nobody(), around.left.field)

    def bags(self, chosen: Bools, keep: Bools) -> Found:
        """Features of whole sentences.

        Of those ``chosen`` (by number), and of the tokens to ``keep`` in them.
        """
        place = np.flatnonzero(keep & chosen[self.sentence] & ~self._are(_SENTENCE_END))
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
            (row, _bucket(70, whole)),
            (row[1:][together], _bucket(71, whole[:-1], whole[1:])[together]),
        ]
        for number, start in ((72, self.first5[place]), (73, self.first3[place])):
            parts.append((row[start != 0], _bucket(number, start)[start != 0]))
        said = np.flatnonzero(about)
        pairs = row[said[1:]] == row[said[:-1]]
        of_concepts = _bucket(74, about[said[:-1]], about[said[1:]])
        parts.append((row[said[1:]][pairs], of_concepts[pairs]))
        return parts

    def _plain_bags(self, place: Ints, row: Ints, rows: int) -> Bools:
        """A word for the speaker, and the concepts: alone, and with or without that word."""
        own = np.zeros(rows, dtype=bool)
        own[row[self._are(_OWN)[place]]] = True
        every = np.zeros(rows, dtype=np.uint16)
        np.bitwise_or.at(every, row, self.about[place])
        bits = _unpacked(every[:, None])
        return np.concatenate((own[:, None], bits, _placed(bits, own.astype(np.int64), 2)), axis=1)

    def unmarked(self) -> Bools:
        """Tokens that are no marks."""
        return ~self._are(_MARK)

    def unquoted(self) -> Bools:
        """Tokens that no quotation mark of their sentence stands open before.

        One that a sentence begins with closes what was open.
        """
        quote, starts = self._are(_QUOTE), self.quotes[self.begins]
        left_open = np.concatenate(([False], np.diff(starts) % 2 == 1))
        closed = starts + (left_open & quote[self.begins])
        inside = (self.quotes[:-1] - closed[self.sentence]) % 2 == 1
        return np.asarray(~inside & ~quote)

    def could_refuse(self, keep: Bools, short: Bools) -> Bools:
        """Sentences in which a speaker could decline.

        They have a word for it or for what is declined, or are short and of a reply marked so.
        """
        rows = len(self.begins)
        words = keep & ~self._are(_SENTENCE_END)
        count = np.bincount(self.sentence[words], minlength=rows)
        telling = self._are(_OWN) | ((self.about & _REFUSAL_CONCEPTS) != 0)
        could = np.zeros(rows, dtype=bool)
        could[self.sentence[words & telling]] = True
        return could | ((count > 0) & (count <= SHORT) & short[self.reply_of_sentences])

    @cached_property
    def reply_of_sentences(self) -> Ints:
        """The number of the reply of each sentence."""
        return np.asarray(np.searchsorted(self.starts, self.begins, side="right") - 1)

    def any_own(self) -> Bools:
        """Replies with a word by which a speaker speaks of itself."""
        counted = np.concatenate(([0], np.cumsum(self._are(_OWN))))
        return np.asarray(counted[self.starts[1:]] > counted[self.starts[:-1]])


class _Around:
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
        return [_column(number, *hashes) for number, hashes in enumerate(parts)]

    def _of_the_speaker(self) -> list[Buckets]:
        mark, left, right, speaks = self.mark, self.left, self.right, self.speaks
        lone = ~self.own & ((left.count > 0) | (right.count > 0))
        before, behind = (side.nearest(side.about != 0, side.about) for side in (left, right))
        columns = [
            _column(50, mark, speaks),
            _column(51, left.next[0], where=lone),
            _column(52, speaks, *before, *behind),
            _column(53, mark, speaks, before[0], behind[0]),
        ]
        for number, side in ((54, left), (56, right)):
            columns += side.speaker(number)
            columns.append(_column(number + 20, mark, *side.nearest(side.marked, side.whole)))
        counts = (np.minimum(3, side.marked.sum(axis=1)) for side in (left, right))
        columns.append(_column(60, *(count.astype(np.uint64) for count in counts)))
        return columns

    def _of_the_clause(self) -> list[Buckets]:
        left, right = self.left, self.right
        before, behind = (
            side.nearest(side.clause & (side.about != 0), side.about) for side in (left, right)
        )
        return [
            _column(61, left.limit, right.limit),
            _column(62, self.in_clause, *before, *behind),
            _column(63, self.in_clause, self.mark),
        ]

    def _of_the_quotation(self) -> list[Buckets]:
        own_words = self.own_words.astype(np.uint64)
        return [
            _column(64, self.mark, where=self.quoted),
            _column(65, self.mark, own_words, where=self.told),
        ]

    def plain(self) -> list[Bools]:
        """Columns of their own: what holds of the mark, and the concepts on both sides."""
        tokens, told, own_words = self.tokens, self.told, self.own_words
        in_a_quoted_line = tokens._are(_QUOTES)[tokens.line[self.at]]
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
        self.live = np.logical_and.accumulate(inside & ~self.are(_END), axis=1)
        self.count = self.live.sum(axis=1)
        self.whole = tokens.whole.take(place)
        self.about = np.where(self.live, tokens.about.take(place), np.uint16(0))
        self.own = self.are(_OWN)
        self.marked = self.are(_MARK) & self.live
        self.clause = np.logical_and.accumulate(self.live & ~self.are(_CLAUSE_END), axis=1)
        #: The first token beyond the sentence (or the window).
        self.past = at + step * (self.count + 1)
        there = (self.past >= begin) & (self.past < stop)
        past = np.clip(self.past, 0, tokens.count - 1)
        self.beyond = np.where(there, tokens.whole[past], np.uint64(1))
        self.question = there & ((tokens.flags[past] & _QUESTION) != 0)
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
        self.field = near & self.are(_FIELD)[:, 0]
        length = self.clause.sum(axis=1)
        at_its_end = self.whole[np.arange(len(at)), np.minimum(length, NEAR - 1)]
        self.limit = np.where(length < self.count, at_its_end, np.uint64(1))

    def are(self, flag: int) -> Bools:
        return np.asarray((self._flags & flag) != 0)

    def sentence(self, tokens: Tokens, number: int) -> list[Buckets]:
        """Buckets of the tokens of the sentence, of pairs of them, of its clause, and beyond it."""
        pairs = _bucket(number + 1, self.whole[:, :-1], self.whole[:, 1:])
        return [
            np.where(self.live, _bucket(number, self.whole), 0),
            np.where(self.live[:, 1:], pairs, 0),
            np.where(self.clause, _bucket(number + 2, self.whole), 0),
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
            _unpacked(near[:, :4]),
            _placed(_unpacked(of_sentence[:, None]), kind, len(_KINDS)),
            _placed(_unpacked(of_clause[:, None]), in_clause, 3),
        ]

    def beside(self, tokens: Tokens, number: int) -> Buckets:
        """Buckets of the tokens beyond the sentence."""
        place = self.past[:, None] + self.step * np.arange(BESIDE)
        inside = (place >= self.begin[:, None]) & (place < self.stop[:, None])
        return np.where(inside, _bucket(number, tokens.whole.take(place, mode="clip")), 0)

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
            _column(number, about, passes(_CLAUSE_END), passes(_MARK), where=found),
            _column(number + 1, np.minimum(distance, 6).astype(np.uint64), where=found),
        ]


_SHIFT, _HALF, _KEPT, _FIRST = map(np.uint64, (29, 32, 44, 1))
_MULTIPLIERS: Final = tuple(
    map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
)
_NUMBERS: Final = tuple(
    np.uint64(number * 0x2545F4914F6CDD1D & 0xFFFFFFFFFFFFFFFF) for number in range(100)
)


def _bucket(number: int, *parts: Hashes) -> Buckets:
    """The buckets, from 1, of features of one kind; the number tells kinds of one model apart."""
    mixed = parts[0] * _MULTIPLIERS[0]
    for part in parts[1:]:
        mixed ^= mixed >> _SHIFT
        mixed = (mixed + part) * _MULTIPLIERS[1]
    mixed ^= (mixed >> _HALF) ^ _NUMBERS[number]
    mixed *= _MULTIPLIERS[2]
    mixed >>= _KEPT
    return np.asarray(np.maximum(mixed, _FIRST), dtype=np.int32)


def _column(number: int, *parts: Hashes, where: Bools | None = None) -> Buckets:
    """A column of buckets, empty but ``where`` they mean something."""
    buckets = _bucket(number, *parts)
    return (buckets if where is None else np.where(where, buckets, 0))[:, None]


def _since(marked: Bools, places: Ints) -> Ints:
    """For each place the last one that is marked, itself included."""
    return np.asarray(np.maximum.accumulate(np.where(marked, places, 0)))


def _unpacked(masks: npt.NDArray[np.uint16]) -> Bools:
    """A column a concept for each column of masks: (rows, columns * concepts)."""
    return np.asarray(
        ((masks[:, :, None] >> _BITS) & 1).astype(bool).reshape(len(masks), masks.shape[1] * _WIDTH)
    )


def _placed(bits: Bools, block: Ints, blocks: int) -> Bools:
    """Bits set into one of several blocks of columns."""
    found = np.zeros((len(bits), blocks, bits.shape[1]), dtype=bool)
    found[np.arange(len(bits)), block] = bits
    return found.reshape(len(bits), blocks * bits.shape[1])
