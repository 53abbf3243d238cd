"""The process that looks at a stranger's bundle: `python -m harness.report.evidence.checking`.

It stands in an empty scratch folder, limits its own time, memory and files before it opens
anything, is told what to check as one line of JSON, and writes what it found to `answer.json`
beside the folder that it unpacks into. Reading gets little; counting anew gets what the number of
samples needs. Whoever started it (`verify.py`) reports a process that breaks off.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

import msgspec

from harness.console import plain
from harness.errors import TruenameError
from harness.report.evidence.contents import MB, PAGE, REGISTERED, STAMP, Manifest

ANSWER: Final = "answer.json"
#: Seconds of processor time for reading, and bytes of memory.
READING_S, READING_MEMORY = 8, 1_000 * MB
#: For counting anew: seconds at least, a sample, and a byte; bytes of memory at least, and a byte.
COUNTING_S, SAMPLE_S, BYTE_S = 20.0, 0.02, 5e-6
COUNTING_MEMORY, BYTE_MEMORY = 6_000 * MB, 4
#: For a text and those that are scored with it: seconds at least, and a letter.
TEXT_S, LETTER_S = 10.0, 1e-5
#: For all prompts of a bundle together, whose templates a process of its own renders.
PROMPTS_S = 30.0
#: What the merge check found.
WEIGHED: Final = ("weights.csv", "weights.json")


class Job(msgspec.Struct):
    """What is to be checked; ``signer`` and ``roots`` are paths of PEM files."""

    bundle: str
    largest: int
    signer: str | None = None
    roots: str | None = None


class Checked(msgspec.Struct, tag=True):
    """What was found.

    Files that differ from the manifest; tables that a new count gives otherwise; what else is
    wrong; what was shown beside the count; what has to be known; the archive's fingerprint.
    """

    manifest: Manifest
    fingerprint: str
    changed: list[str]
    recounted: list[str] = []
    wrong: list[str] = []
    shown: list[str] = []
    notes: list[str] = []

    @property
    def sound(self) -> bool:
        return not (self.changed or self.recounted or self.wrong)


class Refused(msgspec.Struct, tag=True):
    """Why a bundle cannot be checked, and what to do next."""

    refused: str
    next: str | None = None


def used() -> float:
    """Seconds of processor time that this process has had."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def limit(seconds: float, memory: int) -> None:
    """Bound this process's time from now on, and its memory."""
    until = int(used() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))


class Patience:
    """The time that counting anew may take: in all, and until one text is done with.

    Texts are many where the journal is large. One that nobody gets done with has not the time of
    the others.
    """

    def __init__(self, seconds: float, memory: int, text_s: float = TEXT_S) -> None:
        self.until, self.memory, self.text_s = used() + seconds, memory, text_s
        limit(seconds, memory)

    def before(self, text: str) -> None:
        """A text is about to be scored; those before it are, but for some."""
        for_this = self.text_s + LETTER_S * len(text)
        limit(min(for_this, self.until - used()), self.memory)

    def after(self) -> None:
        """All texts of some samples are scored."""
        limit(self.until - used(), self.memory)


def check(job: Job, scratch: Path) -> Checked:
    """Check every byte of a bundle, then its journal, then count its samples again.

    Raises
    ------
    TruenameError, ValueError
        It is no bundle, or one that cannot be counted.
    """
    from harness.report.evidence.archive import unpacked

    size = [0]

    def sized(together: int) -> None:
        """Unpacking takes a second for 100 MB at most, and so does looking at a journal."""
        size[0] = together
        limit(READING_S + together / (50 * MB), READING_MEMORY)

    found = unpacked(Path(job.bundle), scratch, job.largest, sized)
    checked = Checked(found.manifest, found.fingerprint, found.changed)
    _signed(job, found.said, found.signature, checked)
    if checked.changed:
        return checked
    folder = scratch / "results" / "run"
    from harness.report.evidence.definitions import check_database

    samples = check_database(folder / "journal.sqlite")
    seconds = COUNTING_S + SAMPLE_S * samples + BYTE_S * size[0]
    _recounted(folder, checked, Patience(seconds, COUNTING_MEMORY + BYTE_MEMORY * size[0]))
    stamp, plan = (folder.joinpath(name) for name in (STAMP, REGISTERED))
    if stamp.is_file():
        _stamped(job, stamp, plan, checked)
    return checked


def _signed(job: Job, manifest: bytes, signature: bytes | None, checked: Checked) -> None:
    from harness.report.evidence.signatures import (
        fingerprint,
        is_signed,
        public_key,
        read_signature,
    )

    key = public_key(Path(job.signer)) if job.signer else None
    if signature is None:
        if key is not None:
            checked.wrong.append("the bundle is not signed")
        return
    found = read_signature(signature)
    if key is None:
        checked.notes.append(
            f"it says that it is signed with the key {found.key}; to check that: --signer PUBLIC"
        )
    elif is_signed(manifest, found, key):
        checked.shown.append(f"signed with the key {fingerprint(key)}")
    else:
        checked.wrong.append(f"it is not signed with the key {fingerprint(key)}")


def _recounted(folder: Path, checked: Checked, patience: Patience) -> None:
    from harness import guarded
    from harness.counting import LABELS, TABLES
    from harness.counting.software import made_with
    from harness.report.evidence.recount import foreign, recount
    from harness.report.evidence.registration import check_registration

    manifest = checked.manifest
    guarded.allow_together(PROMPTS_S)
    same = manifest.versions == made_with()
    found = recount(folder, manifest.samples, manifest.run, same, patience)
    other = "" if same else " (it was made by another version of truename, or of what it uses)"
    checked.recounted += [f"{table}{other}" for table in found.differing]
    checked.wrong += found.wrong
    checked.notes += found.notes
    (checked.wrong if same else checked.notes).extend(found.asked)
    plan = folder / REGISTERED
    content = plan.read_bytes() if plan.is_file() else None
    told = check_registration(content, found.record, found.digests, found.first)
    checked.wrong += told.wrong
    checked.shown += told.shown
    checked.notes += told.notes
    if not found.same_page:
        said = f"{PAGE} is not the page that this truename makes of these samples"
        if same:
            checked.wrong.append(said)
        else:
            checked.notes.append(f"{said}; it was made with other versions: do not rely on it")
    for name in sorted(manifest.files):
        if name.endswith(".csv") and name not in (*WEIGHED, *(f"{t}.csv" for t in TABLES)):
            said = f"{name} is no table that this truename makes: nothing in it was checked"
            (checked.wrong if same else checked.notes).append(said)
    if LABELS in manifest.files:
        checked.notes.append(
            f"{LABELS} is what people said of replies, as it was packed; that takes people to check"
        )
    for name in WEIGHED:
        if name in manifest.files:
            checked.notes.append(f"{name} is as it was packed; that takes the weights to check")
    if own := foreign(manifest.files):
        checked.notes.append(
            f"it is counted by its own book and references; not as they ship: {', '.join(own[:8])}"
        )


def _stamped(job: Job, stamp: Path, plan: Path, checked: Checked) -> None:
    """The time stamp on the registered plan, as far as there is whom to trust."""
    if not plan.is_file():
        checked.wrong.append(f"it holds {STAMP}, and no {REGISTERED} that it could be of")
        return
    if job.roots is None:
        checked.notes.append(f"{STAMP} is carried and was not checked: --stamp-roots CERTIFICATES")
        return
    from harness.report.evidence.stamps import check_stamp, trusted

    roots = trusted(Path(job.roots))
    try:
        found = check_stamp(stamp.read_bytes(), plan.read_bytes(), roots)
    except ValueError as problem:
        checked.wrong.append(f"the time stamp on {REGISTERED} does not hold: {problem}")
        return
    checked.shown.append(
        f"{REGISTERED} was there at {found.when.isoformat()}: stamped by {found.by}"
    )
    first = _first_sample(plan.parent)
    if first is None or found.when.isoformat() > first:
        checked.wrong.append(f"the time stamp is not older than the first sample ({first})")


def _first_sample(folder: Path) -> str | None:
    """When the first sample was saved, in the form of UTC that times of stamps are compared in."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(folder / "journal.sqlite")) as database:
        said = database.execute("SELECT min(saved) FROM responses").fetchone()[0]
    return str(said) if said else None


def answer(job: Job, scratch: Path) -> Checked | Refused:
    """What is found, or why nothing can be: never a traceback, whatever a stranger wrote."""
    try:
        return check(job, scratch)
    except TruenameError as refused:
        where = f" ({refused.where})".replace(f"{scratch}/", "") if refused.where else ""
        return Refused(plain(refused.what + where)[:2000], refused.next)
    except MemoryError:
        return Refused("checking it takes more memory than a bundle of its size may")
    except ValueError as problem:
        said = plain(f"{problem}")[:500]
        return Refused(f"this is no bundle that truename makes: {said}")
    except Exception as problem:  # its own words would be of this program, not of the bundle
        kind = type(problem).__name__
        return Refused(f"this is no bundle that truename makes: it holds odd values ({kind})")


def main() -> None:
    limit(READING_S, READING_MEMORY)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest, job.largest))
    from harness.campaign import folders

    folders.only_here()
    found = answer(job, Path.cwd())
    Path(f"../{ANSWER}").write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
