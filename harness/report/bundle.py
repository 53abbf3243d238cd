"""A run as evidence: one archive that another person can check and count again.

That takes no network, and not truename's author. A bundle is a ZIP file: `manifest.json` with the
SHA-256 of each file, the campaign, the journal of this run alone, the tables, the report, and the
prompts, probes and identity book that they rest on. Values of headers, passwords in addresses and
local paths are taken out first. The archive's comment is the SHA-256 of all its other bytes, so
that no byte can change unnoticed. Hashes show that nothing was changed since; who made it, they do
not show.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from harness.campaign import folders, public_text
from harness.counting import LABELS, TABLES, Scoring
from harness.counting.drawn import PLAN
from harness.errors import RunError
from harness.journal import Journal, Run, campaign_of, open_engine, sqlite_url
from harness.journal import schema as store
from harness.report.page import write_page
from harness.sampling import versions

FORMAT: Final = 2
MARK: Final = b"truename bundle sha256:"
#: Files that a bundle may hold; nothing else is unpacked.
ALLOWED: Final = re.compile(
    r"manifest\.json|campaign\.yaml|journal\.sqlite|report\.html"
    r"|(?:tally|comparisons|recitals|samples|overlap|weights)\.csv|weights\.json"
    r"|labels-plan\.json|labels\.jsonl"
    r"|(?:probes|prompts)/(?:[\w-]+/)*[\w.-]+\.(?:yaml|md|j2)"
)
LARGEST: Final = 50_000_000_000
CHUNK: Final = 1 << 20
#: What unpacking raises where the archive is none, or is broken.
UNREADABLE: Final = (
    *(zipfile.BadZipFile, zlib.error, OSError, ValueError),
    *(RuntimeError, NotImplementedError, EOFError),
)
#: Files of a run's folder that are packed where they are there.
BESIDE: Final = ("weights.csv", "weights.json", PLAN, LABELS)
#: Kinds of files that the counts rest on, and the patterns of their names.
RESTS_ON: Final = (("probes", "**/*.yaml"), ("probes", "**/*.md"), ("prompts", "**/*.j2"))


class Manifest(msgspec.Struct):
    """What a bundle holds, and with what it was made."""

    format: int
    run: str
    samples: int
    versions: dict[str, str]
    files: dict[str, str]


class Checked(NamedTuple):
    """What `verify` found.

    Files that differ from the manifest, tables that a new count gives otherwise, and the archive's
    fingerprint.
    """

    manifest: Manifest
    changed: list[str]
    recounted: list[str]
    fingerprint: str


def bundle(run: Run, to: Path) -> str:
    """Pack a run into ``to``; returns the archive's fingerprint (SHA-256).

    Raises
    ------
    RunError
        The run holds no samples, or the disk refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy = _copied(run, folder)
        beside = [name for name in BESIDE if (run.folder / name).is_file()]
        for name in beside:
            shutil.copyfile(run.folder / name, folder / name)
        # the copy holds no scores: whoever verifies it scores anew
        scoring = Scoring(run.journal.engine)
        tables = write_page(copy, campaign_of(copy), folder / "report.html", scoring=scoring)
        copy.journal.engine.dispose()
        made = ("campaign.yaml", "journal.sqlite", "report.html", *(f"{t}.csv" for t in TABLES))
        files = {name: folder / name for name in (*made, *beside)} | _rested_on()
        files = dict(sorted(files.items()))
        hashes = {name: _sha256(path) for name, path in files.items()}
        manifest = Manifest(FORMAT, run.name, len(tables.samples), versions(), hashes)
        said = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        (folder / "manifest.json").write_bytes(said)
        packed = folder / "bundle.zip"
        _pack({"manifest.json": folder / "manifest.json", **files}, packed)
        _place(packed, to)
    return _sha256(to)


def _rested_on() -> dict[str, Path]:
    """The probes, prompts and the identity book, by their names in a bundle."""
    files = {}
    for kind, pattern in RESTS_ON:
        for path in folders.every(kind, pattern):
            root = next(root for root in folders.candidates(kind) if path.is_relative_to(root))
            files[f"{kind}/{path.relative_to(root).as_posix()}"] = path
    return files


def _pack(files: dict[str, Path], packed: Path) -> None:
    """Files into a sealed archive, in their order."""
    with zipfile.ZipFile(packed, "w") as archive:
        archive.comment = MARK + b"0" * 64
        for name, path in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as out, path.open("rb") as source:
                shutil.copyfileobj(source, out, CHUNK)
    seal = _sealed(packed)
    with packed.open("r+b") as out_file:
        out_file.seek(-64, 2)
        out_file.write(seal.encode())


def _place(packed: Path, to: Path) -> None:
    """The archive to where it is wanted, whole or not at all."""
    part = to.with_name(f".{to.name}.part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packed, part)
        part.replace(to)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise RunError(
            f"cannot write the bundle: {problem}",
            where=str(to),
            next="free some space, or choose another place with --out",
        ) from None


def _copied(run: Run, folder: Path) -> Run:
    """The rows of one run in a journal of their own, without what is private."""
    with run.journal.engine.connect() as source:
        wanted = sa.select(store.runs).where(store.runs.c.run == run.name)
        mine = source.execute(wanted).mappings().first()
        if mine is None:
            raise RunError(
                "the journal does not know this run",
                where=run.name,
                next="truename run CAMPAIGN begins it",
            )
        said = public_text(mine["campaign_source"])
        public = {**mine, "campaign_source": said, "campaign_folder": "."}
        engine = open_engine(sqlite_url(folder / "journal.sqlite"))
        streamed = source.execution_options(stream_results=True)
        with engine.begin() as to:
            to.execute(sa.insert(store.runs).values(public))
            for table in (store.targets, store.trials, store.contexts, store.responses):
                rows = streamed.execute(sa.select(table).where(table.c.run == mine["id"]))
                for part in rows.mappings().partitions(1000):
                    to.execute(sa.insert(table), [dict(row) for row in part])
        with engine.connect() as to:
            to.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            to.exec_driver_sql("PRAGMA journal_mode=DELETE")
    (folder / "campaign.yaml").write_text(said, "utf-8")
    return Run(run.name, folder, Journal(engine, run.name))


def verify(path: Path) -> Checked:
    """Check every byte of a bundle against its hashes, then count its samples again.

    It is counted with the truename that is installed.

    Raises
    ------
    RunError
        It is no bundle, or one that this version cannot read.
    """
    if not path.is_file():
        raise RunError(
            "there is no such bundle",
            where=str(path),
            next="give the path of a file that truename bundle made",
        )
    fingerprint = _sha256(path)
    whole = _seal_of(path) == _sealed(path)
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as scratch:
            manifest = _manifest(archive, path)
            changed = _unpacked(archive, manifest, Path(scratch))
            if not whole and not changed:
                changed = ["(the archive around the files)"]
            recounted = [] if changed else _recounted(Path(scratch), manifest)
    except UNREADABLE as problem:
        raise _no_bundle(problem, whole, path) from None
    return Checked(manifest, changed, recounted, fingerprint)


def _no_bundle(problem: Exception, whole: bool, path: Path) -> RunError:
    """Why a file cannot be unpacked: it never was a bundle, or it was changed since."""
    if whole:
        return RunError(
            f"this is no bundle: {problem}",
            where=str(path),
            next="give a file that truename bundle made",
        )
    return RunError(
        f"the bundle was changed or damaged; it cannot be unpacked: {problem}",
        where=str(path),
        next="ask for the file again",
    )


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    names = archive.namelist()
    if len(set(names)) != len(names) or "manifest.json" not in names:
        raise ValueError("no manifest")
    strange = [
        name for name in names if not ALLOWED.fullmatch(name) or ".." in PurePosixPath(name).parts
    ]
    if strange:
        raise ValueError(f"it holds a file that no bundle has: {strange[0][:100]!r}")
    if sum(info.file_size for info in archive.infolist()) > LARGEST:
        raise ValueError("its files are larger than a bundle's may be")
    try:
        manifest = msgspec.json.decode(archive.read("manifest.json"), type=Manifest)
    except msgspec.DecodeError as problem:
        raise ValueError(f"its manifest cannot be read ({problem})") from None
    if manifest.format != FORMAT:
        raise RunError(
            f"the bundle has format {manifest.format}, this truename reads {FORMAT}",
            where=str(path),
            next="use the version of truename that made it",
        )
    return manifest


def _unpacked(archive: zipfile.ZipFile, manifest: Manifest, to: Path) -> list[str]:
    """Unpack what is as the manifest says; the names of files that are not."""
    changed = [
        f"{name} (not in the manifest)"
        for name in archive.namelist()
        if name not in manifest.files and name != "manifest.json"
    ]
    for name, wanted in manifest.files.items():
        target = to / ("results/run" if "/" not in name else "") / name
        if not ALLOWED.fullmatch(name):
            raise ValueError(f"its manifest names a file that no bundle has: {name[:100]!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with archive.open(name) as source, target.open("wb") as out:
                while piece := source.read(CHUNK):
                    digest.update(piece)
                    out.write(piece)
        except KeyError:
            changed.append(f"{name} (missing)")
            continue
        except Exception:  # whatever a broken stream raises, it is this file that is broken
            changed.append(name)
            continue
        if digest.hexdigest() != wanted:
            changed.append(name)
    return changed


def _recounted(folder: Path, manifest: Manifest) -> list[str]:
    """Tables that scoring and counting the journal anew gives otherwise.

    It is done in a process of its own, on the bundle's own probes.
    """
    run = folder / "results" / "run"
    bundled = {table: _sha256(run / f"{table}.csv") for table in TABLES}
    command = [sys.executable, "-P", "-m", "harness.report.recount", str(run), manifest.run]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(
            f"its samples cannot be counted again: {done.stderr.strip()}",
            where=manifest.run,
            next="use the version of truename that made it",
        )
    return [table for table in TABLES if _sha256(run / f"{table}.csv") != bundled[table]]


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _sealed(path: Path) -> str:
    """SHA-256 of all bytes but the seal."""
    digest, left = hashlib.sha256(), path.stat().st_size - 64
    with path.open("rb") as source:
        while left > 0 and (piece := source.read(min(CHUNK, left))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _seal_of(path: Path) -> str:
    with path.open("rb") as source:
        source.seek(max(0, path.stat().st_size - 64))
        return source.read().decode("latin-1")
