"""The verdict: from answers and references to what may be said, and on what it rests.

A true claim is to be contradicted in at most alpha of checks, however often one looks. "It is the
claimed model, as its reference foretells it" is given up where a forecaster that does not know the
model is better by 2 / alpha (an e-process), and as the reference is itself a sample of few answers,
by `SLACK` more; or where, later, it is no better than none and one of the R other references is
better by 2 R / alpha. What that comes to on real models is measured (`benchmarks/lineup_null.py`).
And a host that only changes the prompt is not accused: where its token counts differ from the
reference's by the same number in every question, the prompt is another one, and the verdict is
"cannot tell".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from harness.lineup.answers import Answered
from harness.lineup.references import Reference
from harness.lineup.score import Score

Said = Literal["is it", "is not", "cannot tell", "none of these"]
ALPHA: Final = 0.01
#: A model is named without a claim from so many answers on, where its log factor reaches the bar:
#: (answers, bar), of which genuine models lose about one in twenty (`benchmarks/lineup.py`).
BAR: Final = ((80, 6.0), (160, 20.0), (600, 69.0))
FEWEST_TO_NAME: Final = 60
#: Nats that a true claim may fall below what alpha allows, for its reference knows few answers.
SLACK: Final = 5.0
FEWEST: Final = 12
#: Share of replies that have to hold a word, and how much less than the reference's it may be.
LEAST_ANSWERED: Final = 0.5
LESS_ANSWERED: Final = 0.25
#: Questions whose prompt tokens have to be known on both sides.
FEWEST_COUNTED: Final = 5


class Ranked(NamedTuple):
    """A reference and its log Bayes factor, in nats."""

    model: str
    log_bf: float


class Verdict(NamedTuple):
    """What may be said, and its evidence.

    ``shift``: tokens by which every prompt is longer than the claimed reference's, where they all
    differ by the same number; None where that is not known or not so. ``decided_after``: answers
    until the claim was decided.
    """

    said: Said
    why: str
    claim: str | None
    ranked: tuple[Ranked, ...]
    asked: int
    answered: int
    direct: int
    alpha: float
    shift: int | None = None
    decided_after: int | None = None

    @property
    def nearest(self) -> str | None:
        """The reference that foretells the answers best."""
        return self.ranked[0].model if self.ranked else None


class Lineup:
    """A suspect's answers, one by one, against references; and whether enough is known."""

    def __init__(
        self, references: Sequence[Reference], claim: str | None = None, alpha: float = ALPHA
    ) -> None:
        self.references = {one.model: one for one in references}
        self.names = list(self.references)
        self.claim, self.alpha = claim, alpha
        self.score = Score([one.cells for one in references])
        self.asked = self.answered = self.direct = 0
        self.rejected_by: str | None = None
        self.decided_after: int | None = None
        self.prompt_tokens: dict[str, int] = {}

    def see(self, answer: Answered) -> None:
        """Take the next answer in."""
        self.asked += 1
        if answer.prompt_tokens is not None:
            self.prompt_tokens[answer.cell] = answer.prompt_tokens
        if answer.word is None:
            return
        self.answered += 1
        self.direct += answer.word.direct
        self.score.see(answer.cell, answer.word.word)
        if self.decided_after is None and self._decides():
            self.decided_after = self.answered

    @property
    def sure(self) -> bool:
        """Whether no more answers are needed."""
        return self.decided_after is not None

    def _decides(self) -> bool:
        factors = self.score.factors
        if self.claim is None:
            best = np.sort(factors)[::-1]
            leads = len(best) < 2 or best[0] - best[1] >= math.log(1 / self.alpha)
            return bool(leads and best[0] >= self._bar())
        own = factors[self.names.index(self.claim)]
        enough = math.log(2 / self.alpha)
        if -own >= enough + SLACK:
            self.rejected_by = "its own past foretells the answers better than the reference does"
            return True
        if (better := self._better()) is not None:
            self.rejected_by = f"'{better}' foretells the answers better"
            return True
        return bool(own >= enough and self.answered >= FEWEST and own >= factors.max())

    def _better(self) -> str | None:
        """Another reference that the answers speak for so clearly that the claim is given up."""
        factors = self.score.factors
        assert self.claim is not None
        own, best = factors[self.names.index(self.claim)], int(np.argmax(factors))
        others = max(1, len(self.names) - 1)
        clear = factors[best] - own >= math.log(2 * others / self.alpha)
        clear = clear and own < 0 and self.answered >= FEWEST_TO_NAME
        return self.names[best] if clear else None

    def _bar(self) -> float:
        if self.answered < FEWEST_TO_NAME:
            return math.inf
        answers, bars = zip(*BAR, strict=True)
        return max(float(np.interp(self.answered, answers, bars)), math.log(1 / self.alpha))

    def verdict(self) -> Verdict:
        """What may be said of the answers so far."""
        factors = self.score.factors
        ranked = tuple(
            Ranked(self.names[i], float(factors[i])) for i in np.argsort(-factors, kind="stable")
        )
        shift = None
        if self.claim is not None:
            shift = shift_of(self.prompt_tokens, self.references[self.claim].prompt_tokens)
        said, why = self._said(ranked, shift)
        return Verdict(
            said,
            why,
            self.claim,
            ranked,
            self.asked,
            self.answered,
            self.direct,
            self.alpha,
            shift,
            self.decided_after,
        )

    def _said(self, ranked: tuple[Ranked, ...], shift: int | None) -> tuple[Said, str]:
        if not self.answered or self.answered < LEAST_ANSWERED * self.asked:
            return "cannot tell", f"only {self.answered} of {self.asked} replies hold a word"
        if self.claim is None:
            return self._named(ranked)
        known = self.references[self.claim]
        if self.rejected_by is not None:
            if known.asked and self.answered / self.asked < (
                known.answered / known.asked - LESS_ANSWERED
            ):
                return "cannot tell", (
                    f"only {self.answered} of {self.asked} replies hold a word, "
                    f"and {known.answered} of {known.asked} of the reference's do"
                )
            if shift:
                longer = "longer" if shift > 0 else "shorter"
                return "cannot tell", (
                    f"the host changes the prompt: each is {abs(shift)} tokens {longer} than the "
                    "reference's, which alone can change the answers"
                )
            return "is not", self.rejected_by
        own = dict(ranked)[self.claim]
        if self.decided_after is not None:
            return "is it", f"its reference foretells the answers {_times(own)} better than none"
        return "cannot tell", f"{self.answered} answers do not decide (log factor {own:+.1f})"

    def _named(self, ranked: tuple[Ranked, ...]) -> tuple[Said, str]:
        best, bar = ranked[0], self._bar()
        if math.isinf(bar):
            return "cannot tell", (
                f"{self.answered} answers name nobody: from {FEWEST_TO_NAME} on a name is given"
            )
        if best.log_bf < bar:
            return "none of these", (
                f"the nearest is '{best.model}' with a log factor of {best.log_bf:+.1f}, "
                f"and a name needs {bar:.1f}"
            )
        near = [one.model for one in ranked[1:] if best.log_bf - one.log_bf < math.log(1 / ALPHA)]
        alike = f"; these are as near: {', '.join(near)}" if near else ""
        return "is it", f"'{best.model}' foretells the answers {_times(best.log_bf)} better{alike}"


def _times(log_bf: float) -> str:
    """How many times better, in words that a reader can hold."""
    return f"10^{log_bf / math.log(10):.0f} times"


def shift_of(suspect: Mapping[str, int], reference: Mapping[str, int]) -> int | None:
    """Tokens that every prompt of the suspect has more than the reference's; None: not the same."""
    both = suspect.keys() & reference.keys()
    differences = {suspect[cell] - reference[cell] for cell in both}
    if len(both) < FEWEST_COUNTED or len(differences) != 1:
        return None
    return differences.pop()


def judged(
    answers: Iterable[Answered],
    references: Sequence[Reference],
    claim: str | None = None,
    alpha: float = ALPHA,
) -> Verdict:
    """The verdict on a suspect's answers, in their order."""
    lineup = Lineup(references, claim, alpha)
    for answer in answers:
        lineup.see(answer)
    return lineup.verdict()
