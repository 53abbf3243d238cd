"""The tree of errors.

Each says what is wrong, where, and what to type next; the command line exits with 2.

TruenameError
├── CampaignError   a campaign file that cannot be used: unknown key, bad value, nothing to sample
├── IdentityError   the identity book or a backstory is malformed
├── PromptError     a prompt template: missing file or variable, or it reaches for Python internals
├── TargetError     a target cannot be opened: wrong path, broken GGUF, missing package or key,
│                   refused connection
├── RenderError     a chat template cannot be rendered, or not in the way that an arm needs
├── StoreError      the journal of samples: locked, unreadable, or of another campaign
├── RunError        a run folder or a sample that does not exist
├── ScoreError      a file of another tool's replies, or of labels, that cannot be scored
├── AuditError      an audit that cannot be kept: bad schedule, unknown campaign or channel
├── LineupError     references or answers that a lineup cannot use
└── WeightsError    a checkpoint that cannot be read exactly: cut off, hostile, pickled, or not of
                    the same shape

A sample that fails is none of these: it is a row with its reason (see `harness.targets.Reply`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from harness.masking import hide

#: Words that are listed where none is near.
FEW: Final = 24


class TruenameError(Exception):
    """An error that a user can mend: `what` is wrong, `where`, and the `next` thing to type.

    None of them holds a secret.
    """

    def __init__(self, what: str, *, where: str | None = None, next: str | None = None) -> None:
        self.what = hide(what)
        self.where, self.next = where and hide(where), next and hide(next)
        super().__init__(self.what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.next:
            lines.append(f"  next:  {self.next}")
        return "\n".join(lines)


class CampaignError(TruenameError):
    pass


class AuditError(TruenameError):
    pass


class LineupError(TruenameError):
    pass


class IdentityError(TruenameError):
    pass


class PromptError(TruenameError):
    pass


class TargetError(TruenameError):
    pass


class RenderError(TruenameError):
    pass


class StoreError(TruenameError):
    pass


class RunError(TruenameError):
    pass


class ScoreError(TruenameError):
    pass


class WeightsError(TruenameError):
    pass


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest known word, else all that are known, or the nearest three
    of many.
    """
    known = sorted(known)
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    if near := difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6):
        return f"did you mean '{folded[near[0]]}'?"
    if len(known) <= FEW:
        return f"known here: {', '.join(known)}"
    near = difflib.get_close_matches(word.casefold(), folded, n=3, cutoff=0.0)
    return f"the nearest of {len(known)} are {', '.join(folded[one] for one in near)}"
