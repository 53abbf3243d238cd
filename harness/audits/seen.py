"""What an audit saw: counts by question, gathered while its samples are scored."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from harness.campaign import load_probe
from harness.counting import Scored
from harness.scoring import Verdict

#: Replies are longer than 2^k characters or not, for these k.
LENGTHS: Final = range(3, 15)
#: Replies take longer than `TICK_S` 2^k seconds or not, for these k.
SLOWER: Final = range(17)
TICK_S: Final = 0.05
#: What is known of a target beside its replies, and the columns that say it.
FACTS: Final = {
    "model": "model",
    "template": "template_sha256",
    "fingerprint": "fingerprint",
    "provider": "provider",
}
#: Values of one fact that are written down, errors of one arm, and characters of one.
MOST_VALUES, MOST_ERRORS, ERROR = 20, 3, 200


class Asked(msgspec.Struct, omit_defaults=True):
    """Counts of one question, or of an arm that was not counted by question."""

    #: Of replies, if the question asks for the name.
    samples: int = 0
    names: dict[str, int] = {}
    refuses: int = 0
    #: Of all replies, and of those longer than each 2^k characters.
    replies: int = 0
    longer: dict[str, int] = {}
    #: Of all requests, and of those that took longer than each `TICK_S` 2^k seconds.
    timed: int = 0
    slower: dict[str, int] = {}


class ArmSeen(msgspec.Struct):
    """Counts of one arm: of all its questions together, and of each.

    Audits of before it was counted by question have no ``questions``.
    """

    samples: int = 0
    names: dict[str, int] = {}
    refuses: int = 0
    replies: int = 0
    longer: dict[str, int] = {}
    timed: int = 0
    slower: dict[str, int] = {}
    prompt_tokens: dict[str, int] = {}
    questions: dict[str, Asked] = {}
    #: Samples that were asked for, those that failed, and what was said of some.
    asked: int = 0
    failed: int = 0
    errors: list[str] = []

    def whole(self) -> Asked:
        """All questions as one."""
        return Asked(
            *(self.samples, self.names, self.refuses, self.replies, self.longer),
            *(self.timed, self.slower),
        )


class Seen(msgspec.Struct):
    """What one audit saw of one target."""

    arms: dict[str, ArmSeen] = {}
    facts: dict[str, list[str]] = {}
    failed: int = 0
    presented: str | None = None
    #: Why it was given up before its last question, if it was.
    problem: str | None = None

    @property
    def scored(self) -> bool:
        """Whether any reply could be scored."""
        return any(arm.replies for arm in self.arms.values())


class Entry(NamedTuple):
    """One audit of the history: ``seen`` by target is empty where nothing could be asked."""

    due: str
    run: str
    reason: str | None
    seen: dict[str, Seen]
    #: Its place in the history, whatever the clock said, and requests, tokens and money.
    number: int = 0
    spent: tuple[int, int, float] = (0, 0, 0.0)


class Observer:
    """Gathers what an audit sees while its samples are scored."""

    def __init__(self, presented: dict[str, str | None]) -> None:
        self.seen = {target: Seen(presented=identity) for target, identity in presented.items()}
        self._measures: dict[str, str] = {}

    def __call__(self, scored: Scored) -> None:
        row = scored.row
        seen = self.seen[row["target"]]
        for fact, column in FACTS.items():
            if value := row[column]:
                values = seen.facts.setdefault(fact, [])
                if value not in values and len(values) < MOST_VALUES:
                    values.append(value)
        arm = seen.arms.setdefault(row["arm"], ArmSeen())
        arm.asked += row["status"] != "unsupported"
        if row["status"] == "failed":
            seen.failed += 1
            arm.failed += 1
            said = str(row["error"] or "no reason was given")[:ERROR]
            if said not in arm.errors and len(arm.errors) < MOST_ERRORS:
                arm.errors.append(said)
        question = f"{row['probe']}/{row['language']}/{row['question']}"
        rendered = row["rendered_tokens"]
        tokens = row["prompt_tokens"] if rendered is None else rendered
        if tokens is not None:
            arm.prompt_tokens[question] = int(tokens)
        if scored.verdict is not None:
            for counts in (arm, arm.questions.setdefault(question, Asked())):
                self._count(counts, scored, scored.verdict)

    def _count(self, counts: ArmSeen | Asked, scored: Scored, verdict: Verdict) -> None:
        """Count a reply that was scored."""
        row = scored.row
        counts.replies += 1
        for k in LENGTHS:
            if len(row["text"] or "") > 2**k:
                counts.longer[str(k)] = counts.longer.get(str(k), 0) + 1
        if row["sample"] == row["first"]:  # the others came with the same answer
            counts.timed += 1
            for k in SLOWER:
                if row["seconds"] > TICK_S * 2**k:
                    counts.slower[str(k)] = counts.slower.get(str(k), 0) + 1
        measure = self._measures.setdefault(row["probe"], load_probe(row["probe"]).measures)
        if measure == "name":
            counts.samples += 1
            counts.refuses += verdict.stance == "refuses"
            for name in verdict.names:
                counts.names[name] = counts.names.get(name, 0) + 1

    def silent(self) -> bool:
        """Whether no reply of any target could be scored."""
        return not any(seen.scored for seen in self.seen.values())
