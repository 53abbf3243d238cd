"""How small a change an audit can find: the drop of a name's rate that it is told of, and how soon.

Replies are taken as those to one question, all at the rate given; a drop counts as found where nine
of ten such audits find it (the hits since lie 1.28 standard deviations on the wrong side).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from harness.audits.config import Audit, LoadedAudit
from harness.audits.drift import Counts, odds_between, p_value, windows
from harness.audits.history import History
from harness.audits.seen import Entry
from harness.audits.states import AT_FIRST, PRESENTED, SHARES
from harness.campaign import Plan, load_probe

#: Audits within which a drop is to be found.
WITHIN: Final = (1, 7, 30)
#: Of ten audits nine find it.
UNLUCKY: Final = 1.2816
#: How closely the smallest drop is sought.
STEP: Final = 0.005
#: The rate that is taken where nothing was seen yet.
SUPPOSED: Final = 0.95


class Finds(NamedTuple):
    """What an audit of so many replies an arm finds after so many audits."""

    replies: int
    rate: float
    audits: int
    #: The highest rate that is told, by within how many audits; None where not even 0 is.
    drops: dict[int, float | None]


def finds(audit: Audit, replies: int, arms: int, rate: float = SUPPOSED, audits: int = 1) -> Finds:
    """The smallest drops that are found.

    Parameters
    ----------
    replies : to questions for the name, of one audit and arm.
    rate : of the presented name, so far.
    audits : that there were so far.
    """
    alpha = audit.alarm.alpha / (2 if audit.baseline == "claim" else 1)
    level = alpha * SHARES["rates"] * AT_FIRST / max(1, arms) * PRESENTED
    odds = odds_between(*audit.alarm.wander) if audit.alarm.wander else 1.0
    told: dict[int, float | None] = {}
    for within in WITHIN:
        low, high = 0.0, rate
        if replies < 1 or not _is_found(low, rate, replies, audits, within, level, odds):
            told[within] = None
            continue
        while high - low > STEP:
            middle = (low + high) / 2
            if _is_found(middle, rate, replies, audits, within, level, odds):
                low = middle
            else:
                high = middle
        told[within] = low
    return Finds(replies, rate, audits, told)


def _is_found(
    now: float, rate: float, replies: int, audits: int, within: int, level: float, odds: float
) -> bool:
    """Whether a rate that falls after some audits is told within some more."""
    for later in range(within, 0, -1):
        looks = audits - 1 + later
        for window, cost in windows(looks):
            fallen = min(window, later)
            expected = replies * (fallen * now + (window - fallen) * rate)
            spread = math.sqrt(replies * fallen * now * (1 - now))
            hits = min(expected + UNLUCKY * spread, replies * window)
            before = replies * (audits + later - window)
            one = Counts(np.array([round(before * rate)]), np.array([before]))
            since = Counts(np.array([math.ceil(hits)]), np.array([replies * window]))
            if p_value(one, since, odds) * cost < level:
                return True
    return False


def sentence(found: Finds) -> str:
    """The smallest drops in words."""
    told = [
        f"to {100 * rate:.0f} % within {within} audit{'s' if within > 1 else ''}"
        for within, rate in found.drops.items()
        if rate is not None
    ]
    after = (
        f"after {found.audits} audit{'s' if found.audits > 1 else ''} of {found.replies} replies"
    )
    if not told:
        return f"{after} at {100 * found.rate:.0f} % no drop is found within {WITHIN[-1]} audits"
    return (
        f"{after} at {100 * found.rate:.0f} % a drop is found (nine times of ten) {', '.join(told)}"
    )


def planned(loaded: LoadedAudit) -> list[tuple[str, int]]:
    """The arms of an audit, and the replies to questions for the name that each asks for."""
    plan = Plan(loaded.campaign)
    target = loaded.campaign.campaign.targets[0].name
    counts: dict[str, int] = {}
    for position in plan.positions(target):
        trial = plan.trial(position)
        if load_probe(trial.probe).measures == "name":
            counts[trial.arm.label] = counts.get(trial.arm.label, 0) + trial.samples
    return list(counts.items())


def drops(loaded: LoadedAudit, history: History) -> list[str]:
    """Lines for each target and arm: what is found from the history on, or from a first audit."""
    audit, arms = loaded.audit, planned(loaded)
    entries = history.entries(audit.audit)
    lines = []
    for target in loaded.campaign.campaign.targets:
        for label, replies in arms:
            found = seen_so_far(entries, target.name, label)
            if found is None:
                made = finds(audit, replies, len(arms))
                lines.append(f"{target.name} {label}, to begin with: {sentence(made)}")
            else:
                lines.append(f"{target.name} {label}: {sentence(finds(audit, *found))}")
    return lines


def seen_so_far(
    entries: Sequence[Entry], target: str, arm: str
) -> tuple[int, int, float, int] | None:
    """Replies of an audit, arms, the presented name's rate, and audits; None where none was."""
    seen = [entry.seen[target] for entry in entries if target in entry.seen]
    arms = [one.arms[arm] for one in seen if arm in one.arms and one.arms[arm].samples]
    if not arms:
        return None
    samples = sum(one.samples for one in arms)
    hits = sum(one.names.get(str(seen[-1].presented), 0) for one in arms)
    return round(samples / len(arms)), len(seen[-1].arms), hits / samples, len(arms)
