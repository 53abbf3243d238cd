"""Bundles as a forger makes them: whole, sealed again, and false."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from harness.report.evidence.contents import MARK
from harness.report.evidence.packing import seal


def files_of(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def manifest_of(files: dict[str, bytes]) -> dict:
    return json.loads(files["manifest.json"])


def hashed(files: dict[str, bytes], **changes) -> dict[str, bytes]:
    """The files with a manifest that fits them, and says what the forger wants besides."""
    rest = {n: b for n, b in files.items() if n not in ("manifest.json", "signature.json")}
    manifest = manifest_of(files) | changes
    manifest["files"] = {name: hashlib.sha256(body).hexdigest() for name, body in rest.items()}
    front = {"manifest.json": json.dumps(manifest).encode()}
    front |= {n: b for n, b in files.items() if n == "signature.json"}
    return front | rest


def sealed(to: Path, write) -> Path:
    """An archive with the right seal; ``write(archive)`` puts what it likes into it."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = MARK + b"0" * 64
        write(archive)
    seal(to)
    return to


def forged(to: Path, files: dict[str, bytes]) -> Path:
    def write(archive):
        for name, body in files.items():
            archive.writestr(name, body)

    return sealed(to, write)
