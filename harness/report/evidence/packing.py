"""A run packed as evidence: one archive that another person can check and count again.

That takes no network, and not truename's author. A bundle is a ZIP file: `manifest.json` with the
SHA-256 of each file, the campaign, the journal of this run alone, the tables, the report, the
prompts, probes and identity book that they rest on, and the plan that was registered, with its time
stamp. Values of headers, passwords in addresses and local paths are taken out first. The archive's
comment is the SHA-256 of all its other bytes, so that no byte can change unnoticed; a signature
says who packed it (`docs/security.md` says what that proves, and what not).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from harness.campaign import Campaign, folders, public_text
from harness.counting import COUNTED, LABELS, TABLES, Scoring
from harness.counting.drawn import PLAN
from harness.counting.software import made_with
from harness.errors import RunError
from harness.journal import Journal, Run, campaign_of, open_engine, sqlite_url
from harness.journal import schema as store
from harness.report.evidence.contents import (
    CAMPAIGN,
    FORMAT,
    JOURNAL,
    MANIFEST,
    MARK,
    PAGE,
    REGISTERED,
    SIGNATURE,
    STAMP,
    Manifest,
    digest_of,
    limit_of,
)
from harness.report.page import write_page

CHUNK: Final = 1 << 20
#: Files of a run's folder that are packed where they are there.
BESIDE: Final = ("weights.csv", "weights.json", PLAN, LABELS, REGISTERED, STAMP)
#: Kinds of files that the counts rest on, and the patterns of their names.
RESTS_ON: Final = (("probes", "**/*.yaml"), ("probes", "**/*.md"), ("prompts", "**/*.j2"))


def bundle(run: Run, to: Path, key: Path | None = None) -> str:
    """Pack a run into ``to``; returns the archive's fingerprint (SHA-256).

    ``key`` is the file of an Ed25519 private key that signs it.

    Raises
    ------
    RunError
        The run holds no samples, the disk refuses, or the key cannot be used.
    """
    from harness.report.evidence import signatures

    signer = signatures.private_key(key) if key else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        known = run.journal.record.describe() or {}
        copy = _copied(run, folder)
        beside = [name for name in BESIDE if (run.folder / name).is_file()]
        for name in beside:
            shutil.copyfile(run.folder / name, folder / name)
        for name in (COUNTED, *(f"{t}.csv" for t in TABLES)):  # counted anew where they are old
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, folder / name)
        # the copy holds no scores: whoever verifies it scores anew
        scoring, campaign = Scoring(run.journal.engine), campaign_of(copy)
        tables = write_page(copy, campaign, folder / PAGE, scoring=scoring)
        copy.journal.engine.dispose()
        made = (CAMPAIGN, JOURNAL, PAGE, *(f"{t}.csv" for t in TABLES))
        files = {name: folder / name for name in (*made, *beside)}
        files |= _rested_on() | _prompts_of(campaign, Path(str(known.get("campaign_folder", "."))))
        files = dict(sorted(files.items()))
        _check_names(files)
        hashes = {name: digest_of(path) for name, path in files.items()}
        manifest = Manifest(FORMAT, run.name, len(tables.samples), made_with(), hashes)
        said = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        (folder / MANIFEST).write_bytes(said)
        front = {MANIFEST: folder / MANIFEST}
        if signer is not None:
            (folder / SIGNATURE).write_bytes(signatures.sign(said, signer))
            front[SIGNATURE] = folder / SIGNATURE
        packed = folder / "bundle.zip"
        pack(front | files, packed)
        _place(packed, to)
    return digest_of(to)


def _rested_on() -> dict[str, Path]:
    """The probes, prompts and the identity book, by their names in a bundle."""
    files = {}
    for kind, pattern in RESTS_ON:
        for path in folders.every(kind, pattern):
            root = next(root for root in folders.candidates(kind) if path.is_relative_to(root))
            files[f"{kind}/{path.relative_to(root).as_posix()}"] = path
    return files


def _prompts_of(campaign: Campaign, folder: Path) -> dict[str, Path]:
    """System prompts that lie beside the campaign, by the names that it finds them under."""
    named = {f"prompts/{arm.file}": folder / arm.file for arm in campaign.arm_list if arm.file}
    return {name: path for name, path in named.items() if limit_of(name) and path.is_file()}


def _check_names(files: dict[str, Path]) -> None:
    """Whoever checks the bundle takes these names and sizes, or it is not made.

    Raises
    ------
    RunError
        A file has a name or a size that no bundle has.
    """
    for name, path in files.items():
        most = limit_of(name)
        if most is None or path.stat().st_size > most:
            raise RunError(
                f"the file cannot go into a bundle: its name is odd, or it has over {most} bytes",
                where=str(path),
                next="use letters, digits, dots, dashes, underscores; move away what is no probe",
            )


def pack(files: dict[str, Path], packed: Path) -> None:
    """Files into a sealed archive, in their order."""
    with zipfile.ZipFile(packed, "w") as archive:
        archive.comment = MARK + b"0" * 64
        for name, path in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as out, path.open("rb") as source:
                shutil.copyfileobj(source, out, CHUNK)
    seal(packed)


def seal(packed: Path) -> None:
    """Write the SHA-256 of all bytes but the last 64 there."""
    digest, left = hashlib.sha256(), packed.stat().st_size - 64
    with packed.open("r+b") as file:
        while left > 0 and (piece := file.read(min(CHUNK, left))):
            digest.update(piece)
            left -= len(piece)
        file.seek(-64, 2)
        file.write(digest.hexdigest().encode())


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
        engine = open_engine(sqlite_url(folder / JOURNAL))
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
    (folder / CAMPAIGN).write_text(said, "utf-8")
    return Run(run.name, folder, Journal(engine, run.name))
