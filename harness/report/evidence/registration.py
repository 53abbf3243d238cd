"""What is fixed before the first sample, and written down: `plan.json` in the run's folder.

It holds digests of the plan (every rendered question, system prompt, target and parameter), of the
prompt files, the thresholds, the code that decides, the references (identity book and backstories)
and the versions of the software, and a salt, so that its own digest can be published without
telling anything. A run that begins with it keeps that digest in its journal; whoever verifies the
bundle computes the digests anew from what the bundle holds.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.campaign import Campaign, Loaded, Plan, folders, load_probe
from harness.errors import RunError
from harness.journal import checked_name
from harness.report.evidence.contents import MB, REGISTERED
from harness.sampling import REGISTERED_AS, versions
from harness.tables import write_bytes

FORMAT: Final = 1
#: The code that decides: what a reply says, how it is counted, what is made of the numbers.
DECIDES: Final = (
    "stats.py",
    "counting/*.py",
    "counting/confusion.json",
    "report/story.py",
    "scoring/*.py",
    "scoring/fitted/*",
    "scoring/training/never.txt",
)
#: What can be computed anew from a bundle, wherever it is checked.
OF_CONTENT: Final = ("plan", "prompts", "thresholds", "references")


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """`plan.json`: when it was written, what it fixes, and the same in words for who reads it."""

    format: int
    registered: str
    salt: str
    campaign: str
    samples: int
    thresholds: dict[str, Any]
    software: dict[str, str]
    digests: dict[str, str]


def register(loaded: Loaded, name: str | None, results: Path) -> tuple[Path, str]:
    """Write `plan.json` for a run that has not begun; returns its path and its SHA-256.

    Raises
    ------
    RunError
        The run has begun, or its plan is registered already.
    """
    name = checked_name(name or loaded.campaign.campaign)
    folder = results / name
    path = folder / REGISTERED
    if (folder / "campaign.yaml").exists():
        raise RunError(
            "the run has begun: its samples would be older than the plan",
            where=str(folder),
            next="register under another name with --run, then truename run with the same --run",
        )
    if path.exists():
        raise RunError(
            "a plan is registered for this run already",
            where=str(path),
            next=f"truename run {loaded.campaign.campaign} --run {name} begins it",
        )
    plan = Plan(loaded)
    made = Registration(
        format=FORMAT,
        registered=datetime.now(UTC).isoformat(timespec="milliseconds"),
        salt=secrets.token_hex(16),
        campaign=loaded.campaign.campaign,
        samples=plan.samples_per_target * len(loaded.campaign.targets),
        thresholds=thresholds(loaded.campaign),
        software=versions(),
        digests=digests(loaded, plan),
    )
    content = msgspec.json.format(msgspec.json.encode(made), indent=1)
    write_bytes(content, path)
    return path, hashlib.sha256(content).hexdigest()


def thresholds(campaign: Campaign) -> dict[str, Any]:
    """What a campaign fixes of its question: claim, who is asked what how often, when it ends."""
    said = campaign.model_dump(
        mode="json",
        include={
            *("claim", "stop", "arms", "probes", "languages"),
            *("samples", "sampling", "variables"),
        },
    )
    kept = ("name", "role", "identity", "engine", "model")
    return said | {"targets": [{k: getattr(t, k) for k in kept} for t in campaign.targets]}


def digests(loaded: Loaded, plan: Plan) -> dict[str, str]:
    """By subject the SHA-256 of what decides."""
    campaign = loaded.campaign
    probes = [load_probe(name) for name in campaign.probes]
    prompts = [f"probes/{name}.yaml" for name in campaign.probes]
    prompts += [f"prompts/{p.prompts}/{lang}.j2" for p in probes for lang in campaign.languages]
    code = [path for pattern in DECIDES for path in sorted(folders.PACKAGE.glob(pattern))]
    return {
        "plan": plan.digest,
        "prompts": _of_files({name: folders.find(name) for name in prompts}),
        "thresholds": _of(thresholds(campaign)),
        "decision rule": _of_files(
            {path.relative_to(folders.PACKAGE).as_posix(): path for path in code if path.is_file()}
        ),
        "references": _of_files(_references()),
        "software": _of(versions()),
    }


def _references() -> dict[str, Path]:
    """The identity book and the backstories, by their names."""
    kinds = (("probes/identities", "*.yaml"), ("probes/backstories", "*.md"))
    return {
        f"{kind}/{path.name}": path
        for kind, pattern in kinds
        for path in folders.every(kind, pattern)
    }


def _of_files(files: Mapping[str, Path | None]) -> str:
    known = {name: path for name, path in files.items() if path is not None}
    return _of(
        {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in known.items()}
    )


def _of(value: Any) -> str:
    said = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def read_registration(content: bytes) -> Registration:
    """A `plan.json`, of one's own or a stranger's.

    Raises
    ------
    ValueError
        It is none that truename writes.
    """
    try:
        if len(content) > MB:
            raise ValueError("too large")
        found = msgspec.json.decode(content, type=Registration)
        if found.format != FORMAT or _moment(found.registered) is None:
            raise ValueError("of another version, or damaged")
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise ValueError(f"{REGISTERED} cannot be read: {problem}") from None
    return found


def _moment(text: str) -> datetime | None:
    """A time with its zone, or None."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def to_begin_with(loaded: Loaded, folder: Path) -> str | None:
    """The SHA-256 of the plan that a run in this folder has to keep to; None where there is none.

    Raises
    ------
    RunError
        The run has not begun, and what was registered is no longer so.
    """
    path = folder / REGISTERED
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        known = read_registration(content)
    except (OSError, ValueError) as problem:
        raise RunError(
            f"the registered plan cannot be used: {problem}",
            where=str(path),
            next="put back the file that truename plan --register wrote",
        ) from None
    if not (folder / "campaign.yaml").exists():
        now = digests(loaded, Plan(loaded))
        if changed := _differing(known.digests, now, now):
            raise RunError(
                f"this is not what was registered; these differ: {', '.join(changed)}",
                where=str(path),
                next="restore them, or register another run: truename plan --register --run NAME",
            )
    return hashlib.sha256(content).hexdigest()


def _differing(then: Mapping[str, str], now: Mapping[str, str], which: Iterable[str]) -> list[str]:
    return [subject for subject in which if then.get(subject) != now.get(subject)]


class Told(msgspec.Struct):
    """What a bundle's registered plan comes to: what is shown, what is wrong, what is only said."""

    shown: list[str] = []
    wrong: list[str] = []
    notes: list[str] = []


def check_registration(
    content: bytes | None,
    record: Mapping[str, Any],
    now: Mapping[str, str] | str,
    first: str | None,
) -> Told:
    """Compare a bundle's `plan.json` with its run.

    Parameters
    ----------
    content
        The file, or None where the bundle has none.
    record
        The run's row in the journal.
    now
        The digests of what the bundle holds, or why they cannot be computed.
    first
        When the journal says that its first sample was saved.
    """
    told, software = Told(), msgspec.json.decode(record["versions"], type=dict[str, str])
    kept = software.pop(REGISTERED_AS, None)
    if content is None:
        if kept:
            told.wrong.append(f"the run began with a registered plan, and {REGISTERED} is missing")
        return told
    try:
        known = read_registration(content)
    except ValueError as problem:
        told.wrong.append(str(problem))
        return told
    if hashlib.sha256(content).hexdigest() != kept:
        told.wrong.append(f"the run did not begin with this {REGISTERED}")
    if isinstance(now, str):
        told.wrong.append(f"the registered plan cannot be made again: {now}")
    else:
        changed = _differing(known.digests, now, OF_CONTENT)
        told.wrong += [f"{subject}: not as it was registered" for subject in changed]
        if known.digests.get("decision rule") != now["decision rule"]:
            told.notes.append(
                "the registered decision rule is that of another version of truename than this "
                f"one: truename {known.software.get('truename', '?')}"
            )
    if known.software != software or _of(known.software) != known.digests.get("software"):
        told.wrong.append("software: the run was begun with other versions than were registered")
    at, began = _moment(known.registered), _moment(str(record["created"]))
    sampled = _moment(first) if first else None
    if at is None or began is None or sampled is None or not at <= began <= sampled:
        told.wrong.append("the plan was not registered before the first sample")
    elif not told.wrong:
        told.shown.append(
            f"plan registered {known.registered}, first sample saved {first} (by the clock of who "
            "ran it): plan, prompts, thresholds and references are as they were registered"
        )
    return told
