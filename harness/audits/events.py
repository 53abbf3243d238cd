"""What there is to tell: an event, how grave it is, and what to do next."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from harness.audits.config import Audit, Severity
from harness.audits.seen import Entry

Kind = Literal[
    "change",
    "returned",
    "states",
    "settled",
    "silence",
    "degraded",
    "recovered",
    "gap",
    "budget",
    "broken",
    "test",
]
SEVERITIES: Final = get_args(Severity)
#: Kinds that stay open until they are over, or somebody says that they know or want them.
OPENING: Final = frozenset({"change", "states", "silence", "degraded", "broken"})
#: What a witness is called in a sentence.
CALLED: Final = {
    "rates": "the names that it gives",
    "refusals": "how often it refuses",
    "lengths": "how long its replies are",
    "latency": "how long it takes to reply",
    "model": "the model that it returns",
    "template": "its chat template",
    "fingerprint": "its fingerprint",
    "provider": "its provider",
    "prompt_tokens": "the tokens of its prompts",
    "claim": "what it is presented as",
}
#: Witnesses that are no matter for the night; the others are critical.
_WARNS: Final = frozenset(
    ("refusals", "lengths", "latency", "fingerprint", "provider", "failures", "gaps", "file")
)
_NEXT: Final = {
    "prompt_tokens": "truename inspect shows what stands before the question",
    "silence": "look at the target's address, key and quota; audits go on as they are due",
    "failures": "ask the host; audits go on as they are due, and what is scored is judged",
    "gaps": "see why nothing ran: cron, the unit or the server, and `truename audit status`",
    "budget": "raise budget: month in the audit's file, or ask less often",
    "file": "mend the file; it is read again when it changes",
}


class Event(msgspec.Struct):
    """Something to tell; ``since`` is the audit at which it is likeliest to have begun.

    ``closes`` are events that are over with it.
    """

    event: str
    audit: str
    kind: Kind
    target: str | None
    due: str
    since: str
    run: str
    changes: list[str] = []
    p_value: float | None = None
    witness: str = ""
    severity: Severity = "critical"
    closes: list[str] = []
    next: str = ""

    @property
    def headline(self) -> str:
        subject = f"{self.audit}: {self.target}" if self.target else self.audit
        called = CALLED.get(self.witness, "what it is")
        said = {
            "silence": f"could not be audited since {self.since}",
            "degraded": f"answers only a part of what it is asked since {self.since}",
            "recovered": f"can be audited again since {self.due}",
            "states": f"goes back and forth between states since {self.since}: {called}",
            "settled": f"stays in one of its states since {self.since}: {called}",
            "returned": f"is again as it was since {self.since}: {called}",
            "gap": f"was not audited between {self.since} and {self.due}",
            "budget": self.changes[0] if self.changes else "uses its month's budget",
            "broken": f"cannot be used since {self.since}: its file is invalid",
            "test": "this is a test; nothing has changed",
        }
        if self.kind == "recovered" and self.witness == "file":
            return f"{subject} can be used again since {self.due}"
        return f"{subject} {said.get(self.kind) or f'has changed since {self.since}: {called}'}"

    @property
    def opens(self) -> bool:
        """Whether it stays open until it is over."""
        return self.kind in OPENING


def make(
    audit: Audit,
    entry: Entry,
    kind: Kind,
    witness: str,
    *,
    target: str | None = None,
    part: str = "",
    since: str | None = None,
    changes: Sequence[str] = (),
    p_value: float | None = None,
    closes: Sequence[str] = (),
    severity: Severity | None = None,
) -> Event:
    """An event of an audit; ``part`` tells events of one witness of one audit apart."""
    name = [audit.audit, entry.due, *([target] if target else []), witness]
    if kind in ("recovered", "degraded", "silence"):
        name[-1] = kind
    if part:  # as an arm, it may be longer than a name
        name.append(hashlib.sha256(part.encode()).hexdigest()[:8])
    return Event(
        event="/".join(name),
        audit=audit.audit,
        kind=kind,
        target=target,
        due=entry.due,
        since=entry.due if since is None else since,
        run=entry.run,
        changes=list(changes),
        p_value=p_value,
        witness=witness,
        severity=severity or grave(audit, witness),
        closes=list(closes),
        next=_next(audit, kind, witness, target),
    )


def grave(audit: Audit, witness: str) -> Severity:
    """How grave what a witness says is, by the audit's file or as it ships."""
    own = {str(named): severity for named, severity in audit.alarm.severity.items()}
    return own.get(witness) or ("warning" if witness in _WARNS else "critical")


def _next(audit: Audit, kind: Kind, witness: str, target: str | None) -> str:
    """What to do, in words."""
    if kind in ("change", "states"):
        only = f" --target {target}" if target else ""
        wanted = f"if it is wanted: truename audit accept {audit.audit}{only}"
        return f"{_NEXT.get(witness, 'open the report and read some replies')}; {wanted}"
    return _NEXT.get(witness, "") if kind in OPENING or witness in ("gaps", "budget") else ""
