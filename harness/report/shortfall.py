"""What has to be said before any verdict: samples that are owed, and that none could be scored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from harness.campaign import Loaded, Plan, from_text
from harness.console import plain
from harness.counting import Scored
from harness.errors import TruenameError
from harness.journal import Run
from harness.report.rows import short_arm
from harness.sampling import owing

#: Targets and arms that are named, and reasons that are told.
NAMED: Final = 8
REASONS: Final = 5


class Reasons:
    """Is shown every sample, and counts why none was scored."""

    def __init__(self) -> None:
        self.scored = 0
        self.seen: Counter[str] = Counter()

    def __call__(self, scored: Scored) -> None:
        if scored.verdict is not None:
            self.scored += 1
        elif not self.scored and (len(self.seen) < 1000 or self._of(scored) in self.seen):
            self.seen[self._of(scored)] += 1

    @staticmethod
    def _of(scored: Scored) -> str:
        row = scored.row
        why = f": {plain(str(row['error']))[:200]}" if row["error"] else ""
        return f"{row['target']} {short_arm(row['arm'])}, {row['status']}{why}"

    @property
    def told(self) -> list[str]:
        """Why nothing could be scored; nothing where something was."""
        if self.scored or not self.seen:
            return []
        most = self.seen.most_common(REASONS)
        more = sum(self.seen.values()) - sum(n for _, n in most)
        lines = [f"None of the {sum(self.seen.values()):,} samples could be scored:"]
        lines += [f"  {n:,} x {why}" for why, n in most]
        return [*lines, *([f"  {more:,} of other kinds, in samples.csv"] if more else [])]


def unfinished(run: Run) -> list[str]:
    """What a run still owes, by target and arm; nothing where it is whole, or where the questions
    that it was begun with cannot be made again.
    """
    from harness.scoring import names_in

    plan = _plan(run)
    if plan is None:
        return []
    found = list(owing(run.journal, plan, plan.campaign.stop, names_in))
    if not found:
        return []
    owed = sum(samples for _, _, samples in found)
    whole = plan.samples_per_target * len(plan.campaign.targets)
    named = [f"{target} {short_arm(arm)} {samples:,}" for target, arm, samples in found]
    if len(named) > NAMED:
        named[NAMED - 1 :] = [f"{len(named) - NAMED + 1} more targets and arms"]
    return [
        f"This run is not finished: {owed:,} of {whole:,} samples are owed "
        f"({', '.join(named)}). What follows rests on those that are there.",
        f"To go on: truename run CAMPAIGN --run {run.name}",
    ]


def _plan(run: Run) -> Plan | None:
    """The plan that the run was begun with, as far as it can be made again."""
    known = run.journal.record.describe()
    if known is None:
        return None
    for folder in (Path(known["campaign_folder"]), Path.cwd()):
        try:
            loaded: Loaded = from_text(known["campaign_source"], str(run.folder), folder)
            plan = Plan(loaded)
        except TruenameError:
            continue
        if plan.digest == known["plan_sha256"]:
            return plan
    return None
