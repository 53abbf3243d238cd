"""One sitting at a run: from a campaign to a journal that holds all of it.

Or as much of it as there was time for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.campaign import Loaded, Plan
from harness.console import plain
from harness.errors import StoreError
from harness.journal import Lock, begin_run, checkpoint, set_aside
from harness.masking import hide
from harness.sampling.resume import prepare
from harness.sampling.sampler import Sampler
from harness.sampling.stopping import MakeEarly, NamesIn
from harness.sampling.watch import Watch
from harness.targets import check, reach


@dataclass(frozen=True)
class Sitting:
    """What is to be sampled, where to, and how it is shown."""

    loaded: Loaded
    name: str | None
    results: Path
    store: str | None
    anew: bool = False
    retry_failed: bool = False
    live: bool = False
    log: Path | None = None
    #: The digest of the plan that was registered for the run.
    registered: str | None = None


class Sat(NamedTuple):
    """The run's name, and why the sitting ended early, if it did."""

    run: str
    stopped: str | None


def sit(
    sitting: Sitting,
    say: Callable[[str], None],
    names_in: NamesIn,
    early: MakeEarly | None = None,
) -> Sat:
    """Sample what a campaign still owes; what was found on the way is told by ``say``.

    ``early`` makes a rule that decides what is still asked, where the campaign itself has none.

    Raises
    ------
    TruenameError
        The campaign, a target or the journal cannot be used; what was committed is kept.
    """
    loaded, results, store = sitting.loaded, sitting.results, sitting.store
    for line in reach(loaded.campaign.targets):
        say(hide(plain(line)))
    check(loaded.campaign.targets)
    name = sitting.name or loaded.campaign.campaign
    if sitting.anew and (kept := set_aside(name, results, store)):
        say(f"the run that was there is kept as {kept}")
    opened = begin_run(loaded, name, results, store)
    with Lock(opened.folder):
        if sitting.retry_failed:
            say(f"{opened.journal.forget_failed()} failed samples are owed again")
        plan = Plan(loaded)
        progress = prepare(loaded, opened.journal, plan, sitting.registered)
        if progress.resumed:
            say(f"resuming: {progress.resumed} samples are in the journal")
        try:
            with Watch(progress, live=sitting.live, log=sitting.log) as watch:
                Sampler(
                    loaded, opened.journal, progress, plan, names_in, opened.folder, early
                ).run()
        finally:
            with suppress(StoreError):  # what went wrong with it was said already
                checkpoint(opened.journal.engine)
    say(watch.line())
    for (target, arm), found in progress.decisions.items():
        say(
            f"{target} {arm}: clear after {found.samples} samples ({found.hits} hits): "
            f"the rate is {found.side} the threshold; no more were taken"
        )
    for (target, arm), why in progress.doubts.items():
        say(f"{target} {arm}: not stopped early, for repeats do not look independent: {why}")
    return Sat(opened.name, progress.stopped)
