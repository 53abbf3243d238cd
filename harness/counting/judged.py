"""One reply before a judge: the words that it is asked in, its answer as a label, what is kept.

The reply is a stranger's text, and so is the answer. The reply stands between marks that hold a
part of its own SHA-256, which no text can hold of itself, so nothing in it ends the material. The
answer is one JSON object within bounds, or it is no label and the reason is kept: `judged.jsonl` in
the run's folder has a line for each answer, in the judge's own words.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from harness.campaign import Campaign, Message, Sampling, deciding, questions
from harness.counting.labels import (
    JUDGE,
    LABELLED,
    LONGEST,
    MOST,
    Label,
    Stance,
    append_lines,
    complaint,
    identity_of,
    now,
    readable,
    whole_lines,
)
from harness.counting.readings import same
from harness.errors import RunError
from harness.scoring import finder, normalize
from harness.targets import Booked

JUDGED: Final = "judged.jsonl"
#: Characters of a reply that is judged (a cut one would be another), and of an answer.
LONGEST_REPLY, LONGEST_ANSWER, LONGEST_REASON = 30_000, 20_000, 300
#: One object, with or without a fence of code around it.
_FENCED: Final = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL | re.IGNORECASE)
_Named = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=LONGEST)]], msgspec.Meta(max_length=MOST)
]
Kind = Literal["name", "maker", "any"]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a judge has to say: all of it."""

    stance: Stance
    names: _Named
    makers: _Named
    base: _Named
    denied: _Named
    hedged: bool


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One asking of a judge: a line of `judged.jsonl`.

    ``outcome``: `label` (it stands in `labels.jsonl`), `bad` (an answer that is no label; ``why``),
    `failed` (no answer; asked again next time). ``by`` is the digest of what the judge is and is
    asked. ``booked`` has requests, those of unknown usage, prompt and completion tokens.
    """

    judge: str
    sample: str
    sha256: str
    by: str
    outcome: Literal["label", "bad", "failed"]
    why: str = ""
    answer: str | None = None
    model: str | None = None
    booked: tuple[int, int, int, int] = Booked()
    when: str = ""


def asked(question: str, reply: str, sha256: str) -> tuple[Message, ...]:
    """The one message by which a judge is asked about a reply: the blocks of the prompt file.

    It is a user's message without a system message, which some models refuse.

    Raises
    ------
    PromptError
        The file under `prompts/judge/` is missing or broken.
    """
    material = {"question": question, "reply": reply, "fence": sha256[:16]}
    clean = {name: encodable(text) for name, text in material.items()}
    said = "\n\n".join(block.text for block in questions("judge", "en", clean))
    return ({"role": "user", "content": said},)


def encodable(text: str) -> str:
    """A text as JSON can hold it: halves of characters are question marks."""
    return text.encode("utf-8", "replace").decode()


def digest_of(campaign: Campaign, target: str, sampling: Sampling) -> str:
    """SHA-256 of what decides a judge's answers: its entry, the sampling and the prompt."""
    alone = campaign.model_copy(update={"targets": [campaign.target(target)]})
    entry = deciding(alone)["targets"][0]
    said = [entry, sampling.model_dump(mode="json"), asked("", "", "")]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def labelled(answer: str, judge: str, sample: str, sha256: str) -> Label | str:
    """An answer as a label, or the reason why it is none."""
    if len(answer) > LONGEST_ANSWER:
        return f"the answer has more than {LONGEST_ANSWER} characters"
    fenced = _FENCED.fullmatch(answer)
    try:
        found = msgspec.json.decode(fenced[1] if fenced else answer, type=Answer)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return f"not the JSON asked for: {error}"[:LONGEST_REASON]
    parts: dict[str, list[str]] = {part: getattr(found, part) for part in LABELLED}
    for part, named in parts.items():
        if not all(map(readable, named)):
            return f"an identity in {part} is empty or not readable"
    if problem := complaint(found.stance, parts):
        return problem
    known = {
        part: list(dict.fromkeys(identity(one, LABELLED[part]) for one in some))
        for part, some in parts.items()
    }
    hedged = found.hedged and found.stance == "claims"
    return Label(sample, sha256, judge, found.stance, **known, hedged=hedged, when=now())


def identity(said: str, kind: Kind) -> str:
    """The id of the identity book that a judge means; `other:<name>` where it means none.

    An id, a name or an alias is itself. Of anything else, such as a name with a version or with its
    maker before it, it is the only one of its kind that the finder sees, if one stands first.
    """
    known = identity_of(said, kind)
    if not known.startswith("other:"):
        return known
    normal = normalize(said.removeprefix("other:"))
    mentions = finder().find(normal)
    if not mentions or normal.text[: mentions[0].start].strip():
        return known
    names = {same(m.family) for m in mentions if m.family}
    makers = {m.maker for m in mentions if m.maker}
    found = {"name": names, "maker": makers, "any": names or makers}[kind]
    return found.pop() if len(found) == 1 else known


def judge_name(target: str) -> str:
    """The labeller that a target is when it judges."""
    return JUDGE + target


def read_judged(folder: Path, judge: str) -> list[Judged]:
    """All that a judge was asked about a run. A torn last line is none.

    Raises
    ------
    RunError
        The file is none that truename wrote.
    """
    path = folder / JUDGED
    try:
        whole = whole_lines(path.read_bytes()).splitlines()
        lines = [msgspec.json.decode(line, type=Judged) for line in whole if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, ValueError) as problem:
        raise RunError(
            f"what was judged cannot be read: {problem}",
            where=str(path),
            next=f"put back the {JUDGED} that truename judge wrote, or move it elsewhere",
        ) from None
    return [line for line in lines if line.judge == judge]


def append_judged(folder: Path, judged: Judged) -> None:
    """Keep one asking, at once and lastingly."""
    append_lines(folder / JUDGED, [judged])
