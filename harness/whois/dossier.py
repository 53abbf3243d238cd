"""What was found about a target, and what may be said of it: the rule, and one screen in words.

The rule, fixed before anything is asked (docs/whois.md):

- contradicted, where what it says of itself contradicts the claim by the story's own conditions
  (`harness.report.conditions`), or its behaviour is not that of the model that was named for it
  while its host counts the very prompts that this model's reference was made with;
- consistent, where what it says supports the claim, and its behaviour does not speak against it;
- not found out, else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness.lineup import Verdict
from harness.report import Story

Outcome = Literal["consistent", "contradicted", "not found out"]


class Witness(NamedTuple):
    """One kind of evidence: what it says, and what it cannot say."""

    kind: str
    said: str
    limit: str


class Dossier(NamedTuple):
    """The question, the verdict with its sentence, the witnesses, and what would change it."""

    question: str
    outcome: Outcome
    why: str
    witnesses: tuple[Witness, ...]
    next: tuple[str, ...]


def decided(said: Story, behaves: Verdict | None, stopped: bool) -> tuple[Outcome, str]:
    """The outcome by the rule, and its sentence.

    ``behaves`` counts against a claim only where it was compared with that model's own reference.
    """
    not_it = behaves is not None and behaves.claim is not None and behaves.said == "is not"
    alone = behaves is not None and behaves.shift != 0  # another prompt may be the reason
    if said.outcome == "contradicted":
        return "contradicted", said.verdict
    if not_it and alone and behaves is not None:
        return "not found out", (
            f"It does not behave like {behaves.claim}: {behaves.why}. Its host does not count the "
            "prompts of that reference, so a prompt that it adds may be the reason. "
            f"{said.verdict}"
        )
    if not_it and behaves is not None:
        also = " What it says of itself supports the claim." if said.outcome == "supported" else ""
        return "contradicted", f"It does not behave like {behaves.claim}: {behaves.why}.{also}"
    if stopped:
        return "not found out", "Not all questions were answered."
    if said.outcome == "supported":
        return "consistent", said.verdict
    return "not found out", said.verdict


def lines(found: Dossier) -> Sequence[str]:
    """The dossier for a terminal; whoever prints it breaks the lines."""
    said = [found.question, f"{found.outcome.upper()}: {found.why}", ""]
    for one in found.witnesses:
        said.append(f"{one.kind}: {one.said}")
        said.append(f"  limit: {one.limit}")
    return [*said, "", "What would change it:", *(f"  {line}" for line in found.next)]
