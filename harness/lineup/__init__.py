"""Lineup: whose behaviour it is, whatever it says of itself.

In: a target that is asked one-word questions (or answers that a run holds), and references, which
are counts of known models' answers to the same questions. Out: a `Verdict` with its evidence. Read
`score.py` first, then `verdict.py`; `asking.py` asks, `battery.py` says what, `words.py` reads an
answer, `references.py` keeps what known models say,
`choice.py` says which of them a suspect is compared with.

    chosen = choose(claim="...")
    asked = ask(target, chosen.models, chosen.battery, claim="...", budget=80)
    asked.verdict.said, asked.verdict.why, asked.verdict.ranked
"""

from harness.lineup.answers import Answered, answers_of, reference_of
from harness.lineup.asking import BUDGET, Asked, against, ask, make, reference_from
from harness.lineup.battery import LANGUAGES, Battery, fresh, of_protocol
from harness.lineup.choice import Chosen, choose
from harness.lineup.references import Protocol, Reference, References
from harness.lineup.score import PRIOR, Cells, Prior, Score
from harness.lineup.verdict import ALPHA, Lineup, Ranked, Verdict, judged
from harness.lineup.words import Word, word_of

__all__ = [
    "ALPHA",
    "BUDGET",
    "LANGUAGES",
    "PRIOR",
    "Answered",
    "Asked",
    "Battery",
    "Cells",
    "Chosen",
    "Lineup",
    "Prior",
    "Protocol",
    "Ranked",
    "Reference",
    "References",
    "Score",
    "Verdict",
    "Word",
    "against",
    "answers_of",
    "ask",
    "choose",
    "fresh",
    "judged",
    "make",
    "of_protocol",
    "reference_from",
    "reference_of",
    "word_of",
]
