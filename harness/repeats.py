"""Whether repeats of a question are independent, as far as their order and sameness can tell.

Replies that are drawn one by one come in no order, whatever the model likes to say: any order of
the replies to a question is as likely as any other. So these tests raise no alarm over a model that
says little, and yet see hosts that repeat themselves:

- a cache gives later repeats what the *first* one was (`repeats_of_first`);
- a cache that forgets, or a router that stays a while, makes *neighbours* alike; one that
  alternates makes them differ (`neighbours`);
- a router that changes for all questions at once makes *rounds* differ (`rounds`), or stretches of
  time, however the questions lie in it (`stretches`).

What no order shows is a host that gives every question one reply for ever: then nearly all pairs
of repeats are the `same`, as they are at temperature 0, or where a model says but one thing. A
router that keeps a question with one backend shows in what the host tells of its backends, if it
tells it (`kept`), and in nothing else.

Texts and names are given as codes: equal codes for equal ones, in the order in which they came.
A text that differs by a word or a stamp is the same for all that is asked here (`near`).
Questions are independent; each test's distribution over all orders is computed, not drawn, but for
`rounds`, `stretches` and `kept`, whose is approximated.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness import special

Codes = Sequence[int]
#: Repeats of a question that are looked at, at most: the first ones.
MOST: Final = 64
#: Pairs of repeats that are the same, as a share, from which they may all be copies.
COPIES: Final = 0.9
#: Pairs of repeats from which their sameness is judged.
ENOUGH_PAIRS: Final = 10
#: Bits of 64 by which the sketches of two replies differ, at most, that are nearly the same: those
#: of texts of 40 words that differ by one word, and not those that differ by every fifth.
NEAR: Final = 6
#: Words from which a reply has a sketch; of fewer, each counts.
LONG: Final = 20
#: Stretches that the time of an arm is cut in, at most.
STRETCHES: Final = 20
#: Whole rounds that have to be there before anything is decided: fewer show no dependence.
FEWEST_ROUNDS: Final = 4
#: Sum of the questions' variances that a stretch of time needs, about ten replies at a half.
ENOUGH_EACH: Final = 2.5
#: Sum of the questions' variances from which rounds are tested: below, no approximation holds.
ENOUGH: Final = 5.0


def letters(text: str) -> str:
    """A text's letters and digits but for case: equal where only marks and spaces differ."""
    return "".join(filter(str.isalnum, text.casefold())) or text


def sketch(text: str) -> int:
    """64 bits that differ little where texts do (Charikar 2002, doi:10.1145/509907.509965, of words
    and pairs of words); 0 for a text of fewer than `LONG` words.
    """
    words = text.casefold().split()
    if len(words) < LONG:
        return 0
    parts = [*words, *map(" ".join, itertools.pairwise(words))]
    bits = np.unpackbits(
        np.frombuffer(b"".join(map(_bits, parts)), np.uint8).reshape(-1, 8), axis=1
    )
    more = 2 * bits.sum(0, dtype=np.int64) >= len(parts)
    return int.from_bytes(np.packbits(more).tobytes(), "big", signed=True)


@lru_cache(maxsize=100_000)
def _bits(part: str) -> bytes:
    return hashlib.blake2b(part.encode("utf-8", "replace"), digest_size=8).digest()


def near(texts: Codes, sketches: Codes, names: Codes) -> list[int]:
    """Codes of one question's texts, equal also for those that are nearly the same.

    That is, whose names are the same, and whose sketches differ by no more than `NEAR` bits, or
    each from one between them: so nothing depends on the order.
    """
    kinds = {at: at for at in zip(texts, sketches, names, strict=True)}

    def first(kind: tuple[int, int, int]) -> tuple[int, int, int]:
        while kinds[kind] != kind:
            kind = kinds[kind]
        return kind

    for one, other in itertools.combinations([kind for kind in kinds if kind[1]], 2):
        if one[2] == other[2] and ((one[1] ^ other[1]) & _ALL).bit_count() <= NEAR:
            kinds[first(one)] = first(other)
    numbers: dict[tuple[int, int, int], int] = {}
    return [
        numbers.setdefault(first(at), len(numbers))
        for at in zip(texts, sketches, names, strict=True)
    ]


_ALL: Final = (1 << 64) - 1


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
    stretches: float
    kept: float

    @property
    def copies(self) -> bool:
        """Whether nearly all repeats are the same."""
        return self.pairs >= ENOUGH_PAIRS and self.same >= COPIES

    @property
    def least(self) -> float:
        """The least p-value, adjusted for the tests (Bonferroni)."""
        return min(1.0, len(WHY) * min(float(getattr(self, test)) for test in WHY))

    @property
    def changes(self) -> float:
        """The least p-value, so adjusted, of those of a change for all questions together."""
        return min(1.0, len(WHY) * min(self.rounds, self.stretches))

    @property
    def why(self) -> str:
        """What the strongest test says."""
        return COPIED if self.copies else WHY[min(WHY, key=lambda test: getattr(self, test))]


#: What each test of order says where it is the strongest.
WHY: Final = {
    "first": "later replies to a question repeat its first one, as a cache's do",
    "texts": "neighbouring replies to a question are alike in wording otherwise than by chance",
    "names": "the names given change from one repeat to the next otherwise than by chance, as "
    "behind a router",
    "rounds": "the names given change for all questions together from one round of repeats to the "
    "next, as behind a router",
    "stretches": "the names given change for all questions together from one stretch of time to "
    "the next, as behind a router",
    "kept": "by the host's own words several backends answer, and a question keeps to some of them",
}
COPIED: Final = "nearly all repeats of a question are the same text"


def order_of(
    texts: Sequence[Codes],
    names: Sequence[Codes],
    times: Sequence[Sequence[int]] = (),
    backends: Sequence[Codes] = (),
) -> Order:
    """Look at the repeats of some questions: for each, the codes of texts, and those of names.

    ``times`` say when each came, in any unit, ``backends`` what the host said of who answered.
    """
    texts, names, times, backends = (
        [some[:MOST] for some in codes] for codes in (texts, names, times, backends)
    )
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
        stretches(names, times) if times else 1.0,
        kept(backends),
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


def stretches(questions: Sequence[Codes], times: Sequence[Sequence[int]]) -> float:
    """P-value, one-sided: stretches of time differ in how often the commonest kind came.

    The time of all replies is cut into up to `STRETCHES` parts of about as many; whatever came at
    one time lies in one of them. The statistic is that of Mantel and Haenszel for so many rows,
    within questions (Birch 1965, Journal of the Royal Statistical Society B 27(1), general
    association): the excesses of the stretches by the inverse of their covariance over all orders
    of each question, as chi-squared. The fewer parts, the less replies vary
    (`ENOUGH_EACH`); 1 where that leaves one.
    """
    whole = [
        (np.asarray(codes), np.asarray(came)) for codes, came in zip(questions, times, strict=True)
    ]
    seen = Counter(itertools.chain.from_iterable(questions))
    kind = seen.most_common(1)[0][0] if seen else 0
    varied = [(c == kind, came) for c, came in whole if 0 < (c == kind).sum() < len(c)]
    variance = sum(len(hits) * float(hits.var()) for hits, _ in varied)
    parts = min(STRETCHES, int(variance / ENOUGH_EACH))
    if parts < 2:
        return 1.0
    when = np.sort(np.concatenate([came for _, came in varied]))
    cuts = np.unique(when[np.arange(1, parts) * len(when) // parts])
    excess, covariance = np.zeros(len(cuts) + 1), np.zeros((len(cuts) + 1, len(cuts) + 1))
    for hits, came in varied:
        at = np.searchsorted(cuts, came, side="right")
        there = np.bincount(at, minlength=len(excess)).astype(float)
        excess += np.bincount(at, weights=hits, minlength=len(excess)) - hits.mean() * there
        spread = float(hits.var(ddof=1))
        covariance += spread * (np.diag(there) - np.outer(there, there) / len(hits))
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if rank == 0:
        return 1.0
    q = float(excess @ np.linalg.pinv(covariance, hermitian=True) @ excess)
    return float(special.chdtrc(rank, q))


def kept(backends: Sequence[Codes]) -> float:
    """P-value, one-sided: some questions are answered by other backends than others are.

    Pearson's chi-squared of questions by the commonest backend and all others, with its mean over
    all orders (Haldane 1940, Biometrika 31(3/4), doi:10.1093/biomet/31.3-4.346); 1 where one
    backend answered all.
    """
    said = [codes for codes in backends if len(codes) > 1]
    seen = Counter(code for codes in said for code in codes)
    if len(seen) < 2 or len(said) < 2:
        return 1.0
    ((commonest, hits),) = seen.most_common(1)
    sizes = np.array([len(codes) for codes in said], dtype=float)
    found = np.array([sum(code == commonest for code in codes) for codes in said], dtype=float)
    total = float(sizes.sum())
    rate = hits / total
    if rate * (1 - rate) * total < ENOUGH:
        return 1.0
    q = float(((found - sizes * rate) ** 2 / sizes).sum()) / (rate * (1 - rate))
    return float(special.chdtrc(len(said) - 1, q * (total - 1) / total))
