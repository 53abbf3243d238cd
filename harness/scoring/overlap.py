"""Verbatim overlap of a reply with a set of reference texts: exact runs of words, or of characters in Han and Kana.

Tokens are words (letters and digits, case folded) and single Han, Kana or Hangul characters. Against each
reference the longest common run and the share of the reference that common runs cover are found exactly, with a
suffix automaton of the reference (Blumer et al. 1985, doi:10.1016/0304-3975(85)90157-4). The best reference by
covered share is reported. Runs shorter than `MIN_RUN` count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from harness.scoring.normalize import normalize

MIN_RUN: Final = 8
_TOKEN: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


class Run(NamedTuple):
    """A maximal exact run: where it stands in the original reply (characters) and how many tokens it has."""

    start: int
    end: int
    tokens: int


class Overlap(NamedTuple):
    """The overlap with the best reference. Shares are of tokens, in 0 to 1."""

    reference: str
    longest_run: int
    reference_share: float
    reply_share: float
    runs: tuple[Run, ...]


class Token(NamedTuple):
    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Tokens with their offsets in ``text``."""
    normal = normalize(text)
    return [Token(m.group(), *normal.span(m.start(), m.end())) for m in _TOKEN.finditer(normal.text)]


class Reference:
    """One reference text, indexed by a suffix automaton over its tokens."""

    def __init__(self, label: str, text: str) -> None:
        self.label = label
        self.words = [t.text for t in tokens(text)]
        self._next: list[dict[str, int]] = [{}]
        self._link, self._length, self._end = [-1], [0], [-1]
        last = 0
        for position, word in enumerate(self.words):
            last = self._extend(last, word, position)

    def _state(self, length: int, end: int, link: int, moves: dict[str, int]) -> int:
        self._next.append(moves)
        self._link.append(link)
        self._length.append(length)
        self._end.append(end)
        return len(self._next) - 1

    def _extend(self, last: int, word: str, position: int) -> int:
        new = self._state(self._length[last] + 1, position, 0, {})
        at = last
        while at >= 0 and word not in self._next[at]:
            self._next[at][word] = new
            at = self._link[at]
        if at >= 0:
            target = self._next[at][word]
            if self._length[at] + 1 == self._length[target]:
                self._link[new] = target
            else:
                clone = self._state(self._length[at] + 1, self._end[target], self._link[target], dict(self._next[target]))
                while at >= 0 and self._next[at].get(word) == target:
                    self._next[at][word] = clone
                    at = self._link[at]
                self._link[target] = self._link[new] = clone
        return new

    def compare(self, reply: Sequence[Token]) -> Overlap:
        """Longest run, covered shares and the maximal runs of at least `MIN_RUN` tokens.

        Covered share of the reference counts one place of the reference for each run (the first).
        """
        state = length = longest = 0
        matched: list[tuple[int, int]] = []  # for each token: length of the longest run that ends there, and its end in the reference
        for token in reply:
            while state and token.text not in self._next[state]:
                state = self._link[state]
                length = self._length[state]
            if token.text in self._next[state]:
                state, length = self._next[state][token.text], length + 1
            matched.append((length, self._end[state]))
            longest = max(longest, length)
        runs: list[Run] = []
        said: set[int] = set()
        recited: set[int] = set()
        for at, (run, end) in enumerate(matched):
            goes_on = at + 1 < len(matched) and matched[at + 1][0] == run + 1
            if run >= min(MIN_RUN, len(self.words)) and run and not goes_on:
                runs.append(Run(reply[at - run + 1].start, reply[at].end, run))
                said.update(range(at - run + 1, at + 1))
                recited.update(range(end - run + 1, end + 1))
        return Overlap(self.label, longest, len(recited) / len(self.words) if self.words else 0.0, len(said) / len(reply) if reply else 0.0, tuple(runs))


class References:
    """The reference texts of one identity."""

    def __init__(self, identity: str, texts: Sequence[tuple[str, str]]) -> None:
        self.identity = identity
        self.references = [Reference(label, text) for label, text in texts]

    def compare(self, text: str | None) -> Overlap:
        """Overlap with the reference that the reply covers most."""
        reply = tokens(text or "")
        return max((r.compare(reply) for r in self.references), key=lambda o: (o.reference_share, o.longest_run, o.reference))
