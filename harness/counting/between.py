"""The table `recitals`: how much the targets of a run say in each other's words.

No published text is needed. What each target says to a probe is cut in two halves, and every
reply is measured against the other half of every target alike, its own among them: so no reply is
compared with itself, and all comparisons rest on as many samples. What a control and a base show
is what chance, the questions and boilerplate give; what a suspect shows of its donor is read beside
that.

What a target says where it is told who to be is measured, and is no reference: models that were
told alike answer alike. So the references are the replies of the arms bare and empty; of absent
(the chat template may inject a name) where there are none of these, and of all where none of that.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from harness.campaign import Campaign
from harness.counting.counted import ALL, ByQuestion
from harness.counting.scored import Scored
from harness.scoring import Reference, References, Shared, words

RECITAL_COLUMNS: Final = (
    *("target", "role", "arm", "probe", "language", "against", "against_role", "against_identity"),
    *("samples", "reciting", "rate", "rate_low", "rate_high", "questions"),
    *("longest_run_tokens", "share_of_reply", "same_replies"),
)
#: A reply recites where its rarest run is as rare as this: chance gives one in a hundred replies.
RECITES: Final = 2.0
#: Replies of one target, arm and probe that are measured at most, drawn evenly.
DRAWN: Final = 200
#: Characters of a reply that are measured.
LONGEST: Final = 20_000
#: Kinds of arms whose replies are references, those that surely tell a target nothing first.
UNTOLD: Final = (("bare", "empty"), ("absent",), ("given", "decoy"))


class Said(NamedTuple):
    """A whole reply: the question it answers, and the half that it falls into."""

    language: str
    question: str
    half: int
    text: str


class Found(NamedTuple):
    """What one reply has of the other half of a target."""

    shared: Shared
    same: bool  # whether its words, all of them, are a reply there


#: Replies to one probe by target and arm.
_Sides = Mapping[tuple[str, str], Sequence[Said]]
#: By half and text.
_Findings = Mapping[tuple[int, str], Found]


class _Drawn(NamedTuple):
    """A reply's place in a draw that the seed of no one decides: the hash of its key."""

    order: int
    number: int
    said: Said


class Between:
    """Is shown every scored sample, and keeps an even draw of each target, arm and probe."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.drawn: dict[tuple[str, str, str], list[_Drawn]] = {}
        self._numbers = itertools.count()

    def add(self, batch: Iterable[Scored]) -> None:
        for scored in batch:
            if scored.row["status"] == "ok":
                self._draw(scored.row)

    def _draw(self, row: Mapping[str, Any]) -> None:
        """Keep the replies whose keys have the smallest hashes."""
        language, question, number = row["language"], row["question"], row["sample"]
        half = (_hash(f"{language}/{question}") + number) % 2
        said = Said(language, question, half, row["text"][:LONGEST])
        drawn = _Drawn(-_hash(f"{row['trial']}/{number}"), next(self._numbers), said)
        kept = self.drawn.setdefault((row["target"], row["arm"], row["probe"]), [])
        if len(kept) < DRAWN:
            heapq.heappush(kept, drawn)
        elif drawn.order > kept[0].order:
            heapq.heapreplace(kept, drawn)

    def frame(self) -> pd.DataFrame:
        """The table, columns `RECITAL_COLUMNS`, in the campaign's order.

        There is a row where both sides have whole replies to a probe.
        """
        table: list[dict[str, Any]] = []
        for probe in self.campaign.probes:
            sides = {
                (target.name, arm): [one.said for one in self.drawn[target.name, arm, probe]]
                for target in self.campaign.targets
                for arm in self.campaign.arms
                if (target.name, arm, probe) in self.drawn
            }
            table.extend(self._rows(probe, sides))
        return pd.DataFrame(table, columns=RECITAL_COLUMNS)

    def _rows(self, probe: str, sides: _Sides) -> Iterator[dict[str, Any]]:
        """What each target and arm shows of each target, in all languages and in each."""
        targets = self.campaign.targets
        roles = {target.name: target.role for target in targets}
        tokens = {said.text: words(said.text) for some in sides.values() for said in some}
        known = {
            target.name: _found(self._own(target.name, sides), sides, tokens) for target in targets
        }
        for (target, arm), replies in sides.items():
            about = {"target": target, "role": roles[target], "arm": arm, "probe": probe}
            for other in targets:
                beside = {"against": other.name, "against_role": other.role}
                for language, row in _measured(replies, known[other.name]):
                    identity = {"against_identity": other.identity}
                    yield about | {"language": language} | beside | identity | row

    def _own(self, target: str, sides: _Sides) -> list[Said]:
        """What a target says by itself, as far as the run holds that."""
        by_kind = [
            [
                said
                for arm in self.campaign.arms
                if arm.partition(":")[0] in kinds
                for said in sides.get((target, arm), ())
            ]
            for kinds in UNTOLD
        ]
        return next((found for found in by_kind if found), [])


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big")


def _found(own: Sequence[Said], sides: _Sides, tokens: Mapping[str, list[str]]) -> _Findings:
    """What the replies of each half have of the other half of one target's ``own``."""
    found: dict[tuple[int, str], Found] = {}
    for half in (0, 1):
        # a text that is said twice is one place more to look at, not two
        texts = sorted({said.text for said in own if said.half != half})
        if texts:
            references = References(Reference("", "", text) for text in texts)
            whole = {tuple(tokens[text]) for text in texts} - {()}
            asked = {s.text: None for some in sides.values() for s in some if s.half == half}
            shared = references.shared([tokens[text] for text in asked])
            for text, has in zip(asked, shared, strict=True):
                found[half, text] = Found(has, tuple(tokens[text]) in whole)
    return found


def _measured(replies: Sequence[Said], known: _Findings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Counts and rates of some replies against one target, for all languages and each."""
    compared = [
        (said, known[said.half, said.text]) for said in replies if (said.half, said.text) in known
    ]
    languages = sorted({said.language for said, _ in compared})
    for language in [ALL, *languages] if compared else []:
        yield language, _counts([one for one in compared if language in (ALL, one[0].language)])


def _counts(compared: Sequence[tuple[Said, Found]]) -> dict[str, Any]:
    numbers: dict[tuple[str, str], int] = {}
    questions = [
        numbers.setdefault((said.language, said.question), len(numbers)) for said, _ in compared
    ]
    recites = np.array([found.shared.rarity > RECITES for _, found in compared])
    sizes = np.bincount(questions)
    hits = np.bincount(questions, weights=recites).astype(np.intp)
    found = ByQuestion(np.arange(len(sizes)), hits, sizes).estimate
    assert found is not None
    return {
        "samples": len(compared),
        "reciting": int(recites.sum()),
        "rate": round(found.rate, 6),
        "rate_low": round(found.low, 6),
        "rate_high": round(found.high, 6),
        "questions": len(numbers),
        "longest_run_tokens": max(has.shared.longest_run for _, has in compared),
        "share_of_reply": round(
            sum(has.shared.reply_share for _, has in compared) / len(compared), 4
        ),
        "same_replies": sum(has.same for _, has in compared),
    }
