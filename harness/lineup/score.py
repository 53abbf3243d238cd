"""How much better a model's reference foretells one-word answers than their own past does.

In: references (counts of known models' answers, cell by cell) and a suspect's answers, one after
the other. Out: for each reference, the log Bayes factor of "the same model" against "another one",
after any number of answers.

Both sides foretell the next answer x of a cell by the predictive rule of a Pitman-Yor process
(Pitman and Yor 1997, Annals of Probability 25(2), doi:10.1214/aop/1024404422; as a predictor: Teh
2006, ACL, aclanthology.org/P06-1124): of n answers, t different, c of them x,

    P(x) = max(c - d, 0) / (n + theta) + (theta + d t) / (n + theta) g(x)

with the base measure g: how often all other models say x there. "The same" counts the reference's
answers and the suspect's before this one, "another" the suspect's alone.

Their ratio, "another" over "the same", is one of two probabilities of what comes next. So under "it
is that model, as this reference foretells it" its product is on average at most 1 whenever one
stops (an e-process: Ville's inequality), and once it passes 1/alpha the claim may be rejected at
level alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

#: By cell (a task in a language) how often each answer was given.
Cells = Mapping[str, Mapping[str, int]]
Floats = npt.NDArray[np.float64]


class Prior(NamedTuple):
    """What is supposed of answers before any is seen.

    ``discount`` d and ``strength`` theta of the process, ``added`` to each answer's count among all
    models. Chosen on half of the models of a public collection (`benchmarks/lineup.py`).
    """

    discount: float = 0.6
    strength: float = 0.5
    added: float = 0.2


PRIOR: Final = Prior()
#: Answers that no model was seen to give may be so many; what is supposed of all is shared by them.
UNSEEN: Final = 1000


class _Cell:
    """One cell: every answer has a number; counts are (references, answers)."""

    def __init__(self, counts: Sequence[Mapping[str, int]]) -> None:
        answers = sorted({answer for one in counts for answer in one})
        self.numbers = {answer: number for number, answer in enumerate(answers)}
        self.counts = np.zeros((len(counts), len(answers)))
        for place, one in enumerate(counts):
            for answer, count in one.items():
                self.counts[place, self.numbers[answer]] = count
        self.sizes, self.different = self.counts.sum(1), (self.counts > 0).sum(1).astype(float)
        self.total, self.totals = self.counts.sum(), self.counts.sum(0)
        #: What the suspect said, how often; and of how many answers each reference knows none.
        self.said: dict[str, int] = {}
        self.new = np.zeros(len(counts))

    def column(self, answer: str) -> Any:
        """How often each reference gave an answer."""
        number = self.numbers.get(answer)
        return np.zeros(len(self.sizes)) if number is None else self.counts[:, number]

    def base(self, answer: str, mine: Floats, added: float) -> Floats:
        """How often all models but one give an answer, for each reference as that one."""
        number, room = self.numbers.get(answer), self.total - self.sizes
        room = room + added * (len(self.numbers) + 1)
        if number is None:
            return np.asarray(added / UNSEEN / room)
        return np.asarray((self.totals[number] - mine + added) / room)


class Score:
    """Log Bayes factors of each reference, as a suspect's answers come in.

    Cells that a reference has no answers in tell nothing of it.
    """

    def __init__(self, references: Sequence[Cells], prior: Prior = PRIOR) -> None:
        self.prior = prior
        names = sorted({cell for one in references for cell in one})
        self.cells = {name: _Cell([one.get(name, {}) for one in references]) for name in names}
        self.same, self.another = np.zeros(len(references)), np.zeros(len(references))
        self.seen = np.zeros(len(references), dtype=int)

    @property
    def factors(self) -> Floats:
        """The log Bayes factor of each reference: above 0 for the same model."""
        return self.same - self.another

    def see(self, cell: str, answer: str) -> None:
        """Count the suspect's next answer."""
        here = self.cells.get(cell)
        if here is None:
            return
        d, theta, added = self.prior
        mine, past, n = here.column(answer), here.said.get(answer, 0), sum(here.said.values())
        base = here.base(answer, mine, added)
        told = here.sizes > 0
        same = _foretold(mine + past, here.sizes + n, here.different + here.new, d, theta, base)
        another = _foretold(np.asarray(float(past)), n, len(here.said), d, theta, base)
        self.same += np.where(told, np.log(same), 0.0)
        self.another += np.where(told, np.log(another), 0.0)
        self.seen += told
        if not past:
            here.new += mine == 0
        here.said[answer] = past + 1


def _foretold(
    count: Floats, size: Any, different: Any, d: float, theta: float, base: Floats
) -> Floats:
    """The probability of an answer that came ``count`` times of ``size``."""
    known = np.maximum(count - d, 0) / (size + theta)
    return np.asarray(known + (theta + d * different) / (size + theta) * base)
