"""What a report says of a simulated run, made by the tables and the story of truename itself.

In: who each reply names, by question and round. Out: the sentences, by their names, and what the
notes on repeats say.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from harness.campaign import Campaign
from harness.counting.compact import COUNTED
from harness.counting.confusion import confusion
from harness.counting.counted import counted
from harness.counting.dependence import Repeats
from harness.counting.rates import tally_frame
from harness.report.facts import Facts
from harness.report.rows import rates_of
from harness.report.sentences import SENTENCES

CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "claim": {"target": "t", "identity": "rio"},
        "targets": [{"name": "t", "role": "suspect", "engine": "embedded", "model": "lab:suspect"}],
        "arms": ["bare"],
        "probes": ["identity"],
    }
)
#: Said of every run, or of the rates themselves: no warning.
PLAIN = {"rates", "another name", "the claimed name", "open", "testimony", "lineage"}
#: What says that the missing replies could be otherwise, in the sentence of the rates.
MISSING = "whatever the missing replies say"
rng = np.random.default_rng(20261127)


def samples(rio: np.ndarray, gone: np.ndarray, languages: np.ndarray) -> pd.DataFrame:
    """The counted columns of samples; ``rio`` (questions x rounds) says who names Rio, not Nex."""
    questions, rounds = rio.shape
    table = pd.DataFrame(index=range(rio.size), columns=[*COUNTED])
    number = np.repeat(np.arange(questions), rounds)
    table["target"], table["role"], table["arm"] = "t", "suspect", "bare"
    table["probe"], table["stance"] = "identity", "claims"
    table["names"] = np.where(rio, "rio", "nex").ravel()
    table["language"] = [f"l{at}" for at in languages[number]]
    table["question"] = [f"q{at}" for at in number]
    table["status"] = np.where(gone.ravel(), "failed", "ok")
    table["band"], table["abstained"] = 1.0, False
    return table


def scored(rio: np.ndarray, gone: np.ndarray, texts: np.ndarray) -> Iterator[Any]:
    """The same as the tests of repeats are shown them: asked round by round, a second each."""
    begun = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    about = dict.fromkeys(("response_id", "model", "fingerprint", "provider"))
    about |= {"target": "t", "arm": "bare", "sent": '{"temperature": 1.0}', "first": 0}
    for (question, number), hit in np.ndenumerate(rio):
        after = datetime.timedelta(seconds=number * len(rio) + question)
        name = "rio" if hit else "nex"
        row = {"trial": f"q{question}", "text": f"{name} {texts[question, number]}"}
        row["saved"] = (begun + after).isoformat()
        verdict = None if gone[question, number] else SimpleNamespace(names=[name])
        yield SimpleNamespace(row=about | row, verdict=verdict)


def warned(
    rio: np.ndarray,
    gone: np.ndarray | None = None,
    languages: np.ndarray | None = None,
    texts: np.ndarray | None = None,
) -> dict[str, str]:
    """The warnings of a run's report, by the names of their sentences."""
    gone = np.zeros(rio.shape, dtype=bool) if gone is None else gone
    languages = np.zeros(len(rio), dtype=int) if languages is None else languages
    texts = rng.integers(0, 2**60, rio.shape) if texts is None else texts
    repeats = Repeats()
    repeats.add(scored(rio, gone, texts))
    found = repeats.found()
    run = counted(samples(rio, gone, languages), CAMPAIGN)
    tally = tally_frame(run, confusion(), None, found)
    facts = Facts(CAMPAIGN, rates_of(tally, "identity", "name"), {}, None)
    told = {one.name: one.says(facts) for one in SENTENCES if one.holds(facts)}
    said = {name: text for name, text in told.items() if name not in PLAIN}
    if MISSING in told.get("rates", ""):
        said[MISSING] = told["rates"]
    return said | ({"repeats": found.notes[0]} if found.notes else {})
