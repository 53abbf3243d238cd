"""The table `recitals`: how much the targets of a run say in each other's words.

No published text is needed. What each target says to a probe is cut in two halves, and every
reply is measured against the other half of every target alike, its own among them: so no reply is
compared with itself, and all comparisons rest on as many samples. What a control and a base show
is what chance, the questions and boilerplate give; what a suspect shows of its donor is read beside
that.

What a target says where it is told who to be is measured, and is no reference: models that were
told alike answer alike. So the references are the replies of the arms bare and empty; of absent
(the chat template may inject a name) where there are none of these, and of all where none of that.

Published texts are references too, whole, where a probe asks for backstories and any reply recites
them (`TEXT`). What is chance for a rarity, replies of others say (`_beside_others`); what a formula
can do that two texts happen to share, `_on_one_passage`.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from harness import stats
from harness.campaign import Campaign, load_backstories, load_probe
from harness.counting.counted import ALL, ByQuestion
from harness.counting.scored import Scored
from harness.scoring import Reference, References, Shared, words
from harness.scoring.overlap import MIN_RUN
from harness.scoring.overlap.references import WEIGHED

RECITAL_COLUMNS: Final = (
    *("target", "role", "arm", "probe", "language", "against", "against_role", "against_identity"),
    *("samples", "reciting", "rate", "rate_low", "rate_high", "questions"),
    *("longest_run_tokens", "share_of_reply", "same_replies"),
    *("one_passage", "beyond_low", "others", "rank"),
)
#: The role of an identity's published texts in ``against_role``.
TEXT: Final = "text"
#: A passage of fewer tokens may be a formula that two texts share.
FORMULA: Final = 30
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
    """What one reply has of the other half of a target, or of published texts.

    ``same``: whether its words, all of them, are a reply there. ``passages`` are the rare runs of a
    reply that recites, their first `WEIGHED` tokens.
    """

    shared: Shared
    same: bool
    passages: tuple[tuple[str, ...], ...] = ()

    @property
    def recites(self) -> bool:
        return self.shared.rarity > RECITES


#: Replies to one probe by target and arm.
_Sides = Mapping[tuple[str, str], Sequence[Said]]
#: By half and text.
_Findings = Mapping[tuple[int, str], Found]


class Against(NamedTuple):
    """What replies are measured against: a target, or an identity's published texts."""

    name: str
    role: str
    identity: str | None
    known: _Findings


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
        known = [
            Against(t.name, t.role, t.identity, _found(self._own(t.name, sides), sides, tokens))
            for t in targets
        ]
        if load_probe(probe).measures == "backstory":
            known += _texts(tokens)
        for (target, arm), replies in sides.items():
            about = {"target": target, "role": roles[target], "arm": arm, "probe": probe}
            for other in known:
                beside: dict[str, Any] = {"against": other.name, "against_role": other.role}
                beside["against_identity"] = other.identity
                rest = self._others(target, arm, other, sides)
                for language, row in _measured(replies, rest, other.known):
                    yield about | {"language": language} | beside | row

    def _others(self, target: str, arm: str, against: Against, sides: _Sides) -> list[Said]:
        """What those say in the same arm that are neither suspects, nor measured or recited here.

        Nor presented as whom is recited: its own words are no chance.
        """
        return [
            said
            for other in self.campaign.targets
            if other.role != "suspect" and other.name not in (target, against.name)
            if against.identity is None or other.identity != against.identity
            for said in sides.get((other.name, arm), ())
        ]

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
            has = _has(references, {text: tokens[text] for text in asked})
            for text, one in has.items():
                found[half, text] = one._replace(same=tuple(tokens[text]) in whole)
    return found


def _has(references: References, said: Mapping[str, list[str]]) -> dict[str, Found]:
    """What tokenised replies have of some texts, by reply."""
    shared = references.shared(list(said.values()))
    found = {text: Found(has, False) for text, has in zip(said, shared, strict=True)}
    reciting = [text for text, one in found.items() if one.recites]
    runs = references.figures([said[text] for text in reciting])
    for text, (_, places) in zip(reciting, runs, strict=True):
        least = RECITES + math.log10(len(said[text]) * len(references.ids))
        passages = (tuple(said[text][at : at + min(n, WEIGHED)]) for at, n in places)
        rare = {run for run in passages if references.chance.rarity(run) > least}
        found[text] = found[text]._replace(passages=tuple(sorted(rare)))
    return found


def _texts(tokens: Mapping[str, list[str]]) -> Iterator[Against]:
    """The published texts of each identity that any reply recites."""
    by_identity: dict[str, list[Reference]] = {}
    for one in load_backstories():
        reference = Reference(one.identity, one.file, one.text)
        by_identity.setdefault(one.identity, []).append(reference)
    for identity, texts in by_identity.items():
        has = _has(References(texts), tokens)
        if any(found.recites for found in has.values()):
            halves = {(half, text): found for half in (0, 1) for text, found in has.items()}
            yield Against(f"texts:{identity}", TEXT, identity, halves)


def _measured(
    replies: Sequence[Said], others: Sequence[Said], known: _Findings
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Counts and rates of some replies against one reference, for all languages and each."""
    compared, beside = (
        [(s, known[s.half, s.text]) for s in some if (s.half, s.text) in known]
        for some in (replies, others)
    )
    languages = sorted({said.language for said, _ in compared})
    for language in [ALL, *languages] if compared else []:
        mine, rest = (
            [one for one in some if language in (ALL, one[0].language)]
            for some in (compared, beside)
        )
        yield language, _counts(mine) | _beside_others(mine, rest)


def _counts(compared: Sequence[tuple[Said, Found]]) -> dict[str, Any]:
    numbers: dict[tuple[str, str], int] = {}
    questions = [
        numbers.setdefault((said.language, said.question), len(numbers)) for said, _ in compared
    ]
    sizes = np.bincount(questions)

    def by_question(held: Sequence[bool]) -> stats.Clustered:
        hits = np.bincount(questions, weights=held).astype(np.intp)
        found = ByQuestion(np.arange(len(sizes)), hits, sizes).estimate
        assert found is not None
        return found

    recites = [found.recites for _, found in compared]
    alone = _on_one_passage([found for _, found in compared])
    rate = by_question(recites)
    beyond = by_question([a and not b for a, b in zip(recites, alone, strict=True)])
    return {
        "samples": len(compared),
        "reciting": sum(recites),
        "rate": round(rate.rate, 6),
        "rate_low": round(rate.low, 6),
        "rate_high": round(rate.high, 6),
        "questions": len(numbers),
        "longest_run_tokens": max(has.shared.longest_run for _, has in compared),
        "share_of_reply": round(
            sum(has.shared.reply_share for _, has in compared) / len(compared), 4
        ),
        "same_replies": sum(has.same for _, has in compared),
        "one_passage": sum(alone),
        "beyond_low": round(beyond.low, 6),
    }


def _on_one_passage(found: Sequence[Found]) -> list[bool]:
    """For each reply whether all that it recites is the passage that most replies recite.

    A passage of fewer than `FORMULA` tokens, that is, which holds the run of `MIN_RUN` tokens that
    stands in the most replies: two texts that have nothing else in common may share one formula.
    """
    runs = Counter(
        run
        for one in found
        for run in {
            passage[at : at + MIN_RUN]
            for passage in one.passages
            for at in range(len(passage) - MIN_RUN + 1)
        }
    )
    if not runs:
        return [False] * len(found)
    most = min(runs, key=lambda run: (-runs[run], run))

    def formula(passage: tuple[str, ...]) -> bool:
        places = range(len(passage) - MIN_RUN + 1)
        return len(passage) < FORMULA and any(passage[at : at + MIN_RUN] == most for at in places)

    return [one.recites and all(map(formula, one.passages)) for one in found]


def _beside_others(
    mine: Sequence[tuple[Said, Found]], others: Sequence[tuple[Said, Found]]
) -> dict[str, Any]:
    """Where the middle one of the recitals stands among what others say in the same words.

    Its rank is ``(1 + as rare) / (1 + others)``: a p-value under "one more of the others", which is
    never less than what so many of them can tell (Davison and Hinkley 1997, Bootstrap Methods,
    section 4.2).
    """
    rarities = sorted(found.shared.rarity for _, found in mine if found.recites)
    if not rarities or not others:
        return {"others": len(others), "rank": None}
    middle = rarities[(len(rarities) - 1) // 2]
    as_rare = sum(found.shared.rarity >= middle for _, found in others)
    return {"others": len(others), "rank": round((1 + as_rare) / (1 + len(others)), 6)}
