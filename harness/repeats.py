"""Whether repeats of a question are independent, as far as their order and sameness can tell.

Replies that are drawn one by one come in no order, whatever the model likes to say: any order of
the replies to a question is as likely as any other. So these tests raise no alarm over a model that
says little, and yet see hosts that repeat themselves:

- a cache gives later repeats what the *first* one was (`repeats_of_first`);
- a cache that forgets, or a router that stays a while, makes *neighbours* alike; one that
  alternates makes them differ (`neighbours`);
- a router that changes for all questions at once makes *rounds* differ (`rounds`).

What no order shows is a host that gives every question one reply for ever: then nearly all pairs
of repeats are the `same`, as they are at temperature 0, or where a model says but one thing.

Texts and names are given as codes: equal codes for equal ones, in the order in which they came.
Questions are independent; each test's distribution over all orders is computed, not drawn, but for
`rounds`, whose is approximated.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Codes = Sequence[int]
#: Repeats of a question that are looked at, at most: the first ones.
MOST: Final = 64
#: Pairs of repeats that are the same, as a share, from which they may all be copies.
COPIES: Final = 0.9
#: Pairs of repeats from which their sameness is judged.
ENOUGH_PAIRS: Final = 10
#: Whole rounds that have to be there before anything is decided: fewer show no dependence.
FEWEST_ROUNDS: Final = 4
#: Sum of the questions' variances from which rounds are tested: below, no approximation holds.
ENOUGH: Final = 5.0


def letters(text: str) -> str:
    """A text's letters and digits but for case: equal where only marks and spaces differ."""
    return "".join(filter(str.isalnum, text.casefold())) or text


class Order(NamedTuple):
    """What the repeats of some questions show.

    ``same``: the share of pairs of repeats of a question that are the same text (0 where there is
    no pair); the other figures are p-values of "these repeats come in no order".
    """

    pairs: int
    same: float
    first: float
    texts: float
    names: float
    rounds: float

    @property
    def copies(self) -> bool:
        """Whether nearly all repeats are the same."""
        return self.pairs >= ENOUGH_PAIRS and self.same >= COPIES

    @property
    def least(self) -> float:
        """The least p-value, adjusted for the four tests (Bonferroni)."""
        return min(1.0, 4 * min(self.first, self.texts, self.names, self.rounds))


def order_of(texts: Sequence[Codes], names: Sequence[Codes]) -> Order:
    """Look at the repeats of some questions: for each, the codes of texts, and those of names."""
    texts, names = ([some[:MOST] for some in codes] for codes in (texts, names))
    sizes = [Counter(some).values() for some in texts]
    pairs = sum(math.comb(len(some), 2) for some in texts)
    same = sum(math.comb(n, 2) for some in sizes for n in some)
    return Order(
        pairs,
        same / pairs if pairs else 0.0,
        repeats_of_first(texts),
        neighbours(texts),
        neighbours(names),
        rounds(names),
    )


def repeats_of_first(questions: Iterable[Codes]) -> float:
    """P-value, one-sided: later repeats are what the first was more often than in other orders.

    In a random order the first of m repeats is of a kind that n of them are with chance n / m.
    """
    seen, spread = 0, np.ones(1)
    for codes in questions:
        kinds = Counter(codes)
        if len(kinds) > 1:
            seen += kinds[codes[0]] - 1
            chances = np.bincount([n - 1 for n in kinds.values()], weights=list(kinds.values()))
            spread = np.convolve(spread, chances / len(codes))
    return min(1.0, float(spread[seen:].sum()))


def neighbours(questions: Iterable[Codes]) -> float:
    """P-value, two-sided: neighbours are alike more often, or less, than in other orders.

    The runs test of Wald and Wolfowitz (1940, Annals of Mathematical Statistics 11(2),
    doi:10.1214/aoms/1177731909) for any number of kinds, summed over questions: neighbours that are
    alike are m less the runs.
    """
    seen, spread = 0, np.ones(1)
    for codes in questions:
        kinds = Counter(codes)
        if 1 < len(kinds) < len(codes):
            seen += sum(a == b for a, b in itertools.pairwise(codes))
            spread = np.convolve(spread, alike(tuple(sorted(kinds.values()))))
    more, fewer = float(spread[seen:].sum()), float(spread[: seen + 1].sum())
    return min(1.0, 2 * min(more, fewer))


@lru_cache(maxsize=20_000)
def alike(sizes: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The chances of each number of neighbours alike in a random order of kinds of some sizes.

    By inclusion and exclusion: orders in which each kind is cut in so many blocks, ``B! / prod b!``
    ways to set all B blocks in a row, less those that set blocks of a kind side by side. Whole
    numbers, so nothing is lost by cancellation.
    """
    blocks = [1]  # by number of blocks: ways times the product of size! / b!, without B!
    for n in sizes:
        cut = [0] + [
            math.comb(n - 1, b - 1) * math.factorial(n) // math.factorial(b)
            for b in range(1, n + 1)
        ]
        blocks = _product(blocks, cut)
    total = sum(sizes)
    exactly = [0] * total
    for b, ways in enumerate(blocks[1:], 1):
        joined = total - b  # at least so many neighbours are alike, in this many chosen ways
        for fewer in range(joined + 1):
            sign = -1 if (joined - fewer) % 2 else 1
            exactly[fewer] += sign * math.comb(joined, fewer) * ways * math.factorial(b)
    orders = sum(exactly)
    return np.array([ways / orders for ways in exactly])


def _product(one: Sequence[int], two: Sequence[int]) -> list[int]:
    found = [0] * (len(one) + len(two) - 1)
    for i, a in enumerate(one):
        if a:
            for j, b in enumerate(two):
                found[i + j] += a * b
    return found


def rounds(questions: Sequence[Codes]) -> float:
    """P-value, one-sided: rounds (the first repeats, the second ones ...) differ from each other.

    The sum over rounds of squared excesses of the commonest kind, by its mean over all orders:
    chi-squared with ``rounds - 1`` degrees of freedom, as in Cochran's Q (1950, Biometrika 37(3/4),
    doi:10.1093/biomet/37.3-4.256). Over the questions that have all rounds; 1 where these vary
    too little for the approximation (`ENOUGH`).
    """
    most = max((len(codes) for codes in questions), default=0)
    whole = [codes for codes in questions if len(codes) == most]
    if most < 2:
        return 1.0
    ((kind, _),) = Counter(code for codes in whole for code in codes).most_common(1)
    hits = np.array([[code == kind for code in codes] for codes in whole], dtype=float)
    rates = hits.mean(1)
    variance = float((rates * (1 - rates)).sum())
    if variance < ENOUGH:
        return 1.0
    excess = hits.sum(0) - rates.sum()
    q = float((excess**2).sum()) * (most - 1) / (most * variance)
    return float(special.chdtrc(most - 1, q))
