"""`truename judge`: a target of a campaign reads replies of a run and labels them as people do.

It reads what people were drawn to read first, so that they can be set beside it, then replies drawn
in the same way; which ones and in which order rests on the seed, the run and the people's plan
alone. `hearing.py` asks, and keeps each answer before the next counts.

Its labels stand beside people's under `judge:<target>`, and enter no rate: a second model that errs
says nothing of how far the first errs, only people can. What they are good for is told by
`agreement.py`: how often the judge agrees with the classifier, and with people where they read the
same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from harness.campaign import Campaign, load_campaign
from harness.console import plain
from harness.counting.drawn import all_whole, draw, stored_draw
from harness.counting.hearing import Hearing
from harness.counting.judged import JUDGED
from harness.errors import CampaignError, did_you_mean
from harness.journal import Lock, Run, campaign_of
from harness.targets import check, reach

#: Reasons that are told; the others are in the file.
TOLD: Final = 5


class Wanted(NamedTuple):
    """Which target judges, how many replies in all, and the campaign in which it stands (default:
    the run's own).
    """

    target: str
    number: int = 300
    seed: int | None = None
    campaign: str | None = None


class Found(NamedTuple):
    """What has come of a judge so far: labels, answers that are none by reason, failures of this
    sitting by reason, and why it ended early, if it did.
    """

    judge: str
    labels: int
    bad: Counter[str]
    failed: Counter[str]
    left: int
    notes: tuple[str, ...]
    stopped: str | None


def judge(run: Run, wanted: Wanted, say: Callable[[str], None]) -> Found:
    """Let a target judge ``wanted.number`` replies of a run, less those that it has judged.

    Raises
    ------
    TruenameError
        The campaign, the target, the run or its files cannot be used; what was judged is kept.
    """
    own = campaign_of(run)
    campaign = load_campaign(wanted.campaign).campaign if wanted.campaign else own
    _known_target(campaign, wanted)
    judging = [campaign.target(wanted.target)]
    for line in reach(judging):
        say(plain(line))
    check(judging)
    with Lock(run.folder):
        hearing = Hearing(run, campaign, wanted.target)
        owed = _owed(hearing, own, wanted)
        if owed:
            say(f"{hearing.name} has {len(owed)} replies to judge")
            hearing.hear(owed, say)
    claims = own.claim is not None and own.claim.target == wanted.target and not wanted.campaign
    notes = (f"{wanted.target} judges its own replies: ask another target",) if claims else ()
    return Found(
        hearing.name,
        hearing.labels,
        hearing.bad,
        hearing.failed,
        len(owed) - hearing.answered,
        notes,
        hearing.stopped,
    )


def _known_target(campaign: Campaign, wanted: Wanted) -> None:
    names = [target.name for target in campaign.targets]
    if wanted.target not in names:
        raise CampaignError(
            f"the campaign has no target '{wanted.target}': {did_you_mean(wanted.target, names)}",
            where=wanted.campaign or f"campaign {campaign.campaign}, which the run was begun with",
            next="name one of its targets, or give --campaign FILE in which the judge stands",
        )


def _owed(hearing: Hearing, campaign: Campaign, wanted: Wanted) -> list[str]:
    """The replies that are still to be judged, in their order; ``campaign`` is the run's."""
    found = all_whole(hearing.run)
    there = {whole.sample for whole in found}
    plan = stored_draw(hearing.run.folder)
    if plan is not None:
        kept = [one for one in plan.samples if one.sample in there]
        plan = msgspec.structs.replace(plan, samples=kept)
    seed = wanted.seed if wanted.seed is not None else plan.seed if plan else 1
    _, order = draw(found, campaign, wanted.number, seed, plan)
    had = hearing.had(there)
    left = max(0, min(wanted.number, len(there)) - len(had))
    return [key for key, _ in order if key not in had][:left]


def told(found: Found) -> list[str]:
    """What has come of a judge, a line each."""
    bad, failed = found.bad.total(), found.failed.total()
    lines = [*found.notes, f"{found.judge}: {found.labels} labels, {bad} answers that are none"]
    lines += _reasons(found.bad)
    if failed:
        lines.append(f"{failed} could not be asked; the same command asks again")
        lines += _reasons(found.failed)
    return lines


def _reasons(counted: Counter[str]) -> list[str]:
    lines = [f"  {count}: {why}" for why, count in counted.most_common(TOLD)]
    more = len(counted) - TOLD
    return [*lines, *([f"  and {more} other reasons, in {JUDGED}"] if more > 0 else [])]
