"""A stranger's archive, read with distrust: every byte has one meaning, and nothing is opened.

An archive is laid out as truename writes it, or refused: members from the first byte on, each
behind the other, stored or deflated, then the directory, then its end with the seal. So there are
no hidden or overlapping members, and what one program reads another reads too. Names and sizes are
checked before a byte is unpacked; contents are written under the scratch folder and hashed
meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, NamedTuple

from harness.console import plain
from harness.errors import RunError
from harness.report.evidence.contents import (
    ALWAYS,
    FORMAT,
    MANIFEST,
    MARK,
    MOST,
    READ,
    SIGNATURE,
    Manifest,
    limit_of,
    place_of,
    read_manifest,
)

CHUNK: Final = 1 << 20
#: What unpacking raises where the archive is none, or is broken.
UNREADABLE: Final = (
    *(zipfile.BadZipFile, zlib.error, OSError, ValueError, struct.error),
    *(RuntimeError, NotImplementedError, EOFError, OverflowError),
)
_END: Final = struct.Struct("<4s4H2LH")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
#: Bytes of the directory of a large archive's second end, and of what points to it.
_ZIP64_END: Final = 76
_UTF8: Final = 0x800
_ZIP64: Final = 1


class Unpacked(NamedTuple):
    """The manifest as struct and as bytes, the files that differ from it, and the fingerprint.

    ``signature`` is the signature's file, where there is one.
    """

    manifest: Manifest
    said: bytes
    changed: list[str]
    fingerprint: str
    signature: bytes | None


def unpacked(
    path: Path, to: Path, largest: int, sized: Callable[[int], None] = lambda size: None
) -> Unpacked:
    """Unpack a bundle below ``to``, hashing every file; ``sized`` is told the bytes beforehand.

    Raises
    ------
    RunError
        It is no bundle, or holds what no bundle holds; nothing of such a file was opened.
    """
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        if size > largest:
            raise _too_large(f"the file has {size:,} bytes", largest)
        fingerprint, sealed, seal = _hashes(source, size)
        whole = sealed == seal
        try:
            _check_end(source, size)
            with zipfile.ZipFile(source) as archive:
                members = _members(archive, source, size)
                _check_sizes(members, largest, sized)
                said = _read(archive, MANIFEST)
                manifest = read_manifest(said)
                if manifest.format not in READ:
                    raise RunError(
                        f"the bundle has format {manifest.format}, this truename reads {FORMAT}",
                        next="use the version of truename that made it",
                    )
                changed = _written(archive, manifest, to)
                signature = _read(archive, SIGNATURE) if SIGNATURE in members else None
        except UNREADABLE as problem:
            raise _no_bundle(problem, whole) from None
    if not whole and not changed:
        changed = ["(the archive around the files)"]
    return Unpacked(manifest, said, changed, fingerprint, signature)


def _no_bundle(problem: Exception, whole: bool) -> RunError:
    """Why a file cannot be unpacked: it never was a bundle, or it was changed since."""
    said = plain(str(problem))[:300]
    if whole:
        return RunError(f"this is no bundle: {said}", next="give a file that truename bundle made")
    return RunError(
        f"the bundle was changed or damaged; it cannot be unpacked: {said}",
        next="ask for the file again",
    )


def _too_large(what: str, largest: int) -> RunError:
    return RunError(
        f"the bundle is too large: {what}, and {largest:,} are the most",
        next="truename verify FILE --largest 10GB, if you know who made it",
    )


def _hashes(source: IO[bytes], size: int) -> tuple[str, str, str]:
    """SHA-256 of all bytes, of all but the last 64, and these."""
    digest, left = hashlib.sha256(), size - 64
    while left > 0 and (piece := source.read(min(CHUNK, left))):
        digest.update(piece)
        left -= len(piece)
    whole, last = digest.copy(), source.read(64)
    whole.update(last)
    return whole.hexdigest(), digest.hexdigest(), last.decode("latin-1")


def _check_end(source: IO[bytes], size: int) -> None:
    """The archive ends where its end record says, and its directory is small enough to be read."""
    for comment in (len(MARK) + 64, 0):
        at = size - _END.size - comment
        if at < 0:
            continue
        source.seek(at)
        end = source.read(_END.size + comment)
        signature, disk, start, here, every, length, offset, said = _END.unpack(end[: _END.size])
        if signature != b"PK\x05\x06" or said != comment:
            continue
        if comment and not end[_END.size :].startswith(MARK):
            continue
        if (disk, start) != (0, 0) or here != every or every > MOST:
            raise ValueError(f"it has more than {MOST} files, or more than one part")
        if offset != 0xFFFFFFFF and offset + length not in (at, at - _ZIP64_END):
            raise ValueError("something stands between its directory and its end")
        if length > MOST * 400:
            raise ValueError("its directory is larger than that of any bundle")
        return
    raise ValueError("it does not end as a bundle does")


def _members(archive: zipfile.ZipFile, source: IO[bytes], size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name, each of them plain, and all of them filling the archive."""
    found: dict[str, zipfile.ZipInfo] = {}
    alike: set[str] = set()
    at = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        name = info.filename
        if info.orig_filename != name or limit_of(name) is None:
            raise ValueError(f"it holds a file that no bundle has: {info.orig_filename[:100]!r}")
        same = unicodedata.normalize("NFKC", name).casefold()
        if same in alike:
            raise ValueError(f"it holds two files of one name: {name[:100]!r}")
        alike.add(same)
        _check_plain(info)
        if info.header_offset != at:
            raise ValueError(f"its files overlap, or something stands before {name[:100]!r}")
        at = _end_of(info, source)
        found[name] = info
    if at != archive.start_dir:
        raise ValueError("something stands between its files and its directory")
    if MANIFEST not in found:
        raise ValueError("no manifest")
    return found


def _check_plain(info: zipfile.ZipInfo) -> None:
    """A regular file, not encrypted, stored or deflated, described once."""
    name = info.filename[:100]
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or info.external_attr & 0x10:
        raise ValueError(f"it holds a link or a folder: {name!r}")
    if info.flag_bits & ~_UTF8:
        raise ValueError(f"a file of it is encrypted, or has no size of its own: {name!r}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"a file of it is packed in a way that no bundle is: {name!r}")
    if info.comment or _extra_kinds(info.extra) - {_ZIP64}:
        raise ValueError(f"something is hidden beside a file's name: {name!r}")


def _extra_kinds(extra: bytes) -> set[int]:
    kinds = set()
    while extra:
        kind, length = struct.unpack_from("<HH", extra)
        kinds.add(kind)
        extra = extra[4 + length :]
    return kinds


def _end_of(info: zipfile.ZipInfo, source: IO[bytes]) -> int:
    """Where a member ends; its own header must say what the directory says."""
    source.seek(info.header_offset)
    head = _LOCAL.unpack(source.read(_LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, whole, named, more = head
    name, extra = source.read(named), source.read(more)
    if _extra_kinds(extra) - {_ZIP64}:
        raise ValueError(f"something is hidden beside a file's name: {info.filename[:100]!r}")
    if whole == packed == 0xFFFFFFFF:
        if len(extra) != 20:
            raise ValueError("a file's header is damaged")
        whole, packed = struct.unpack_from("<QQ", extra, 4)
    written = name.decode("utf-8" if flags & _UTF8 else "cp437")
    mine = (signature, written, flags, method, crc, packed, whole)
    theirs = (
        *(b"PK\x03\x04", info.filename, info.flag_bits, info.compress_type),
        *(info.CRC, info.compress_size, info.file_size),
    )
    if mine != theirs:
        raise ValueError(f"a file's header and the directory differ: {info.filename[:100]!r}")
    return source.tell() + info.compress_size


def _check_sizes(
    members: dict[str, zipfile.ZipInfo], largest: int, sized: Callable[[int], None]
) -> None:
    for name, info in members.items():
        most = limit_of(name) or 0
        if info.file_size > most:
            raise ValueError(
                f"{name} has {info.file_size:,} bytes; no bundle has more than {most:,}"
            )
    together = sum(info.file_size for info in members.values())
    if together > largest:
        raise _too_large(f"its files have {together:,} bytes", largest)
    sized(together)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A small member, whole."""
    most = limit_of(name) or 0
    with archive.open(name) as source:
        content = source.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} is larger than it says")
    return content


def _written(archive: zipfile.ZipFile, manifest: Manifest, to: Path) -> list[str]:
    """Unpack what the manifest names; the names of files that are not as it says."""
    names = archive.namelist()
    known = {*manifest.files, MANIFEST, SIGNATURE}
    changed = [f"{name} (not in the manifest)" for name in names if name not in known]
    there = set(names)
    missing = [f"{table}.csv" for table in ALWAYS if f"{table}.csv" not in manifest.files]
    changed += [f"{name} (missing)" for name in (*missing, *(manifest.files.keys() - there))]
    for name, wanted in manifest.files.items():
        if name in there and _unpacked(archive, name, to / place_of(name)) != wanted:
            changed.append(name)
    return changed


def _unpacked(archive: zipfile.ZipFile, name: str, target: Path) -> str | None:
    """Write one member; its SHA-256, or None where it breaks off."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), archive.getinfo(name).file_size
    try:
        with archive.open(name) as source, target.open("xb") as out:
            while piece := source.read(CHUNK):
                left -= len(piece)
                if left < 0:
                    return None
                digest.update(piece)
                out.write(piece)
    except UNREADABLE:  # whatever a broken stream raises, it is this file that is broken
        return None
    return digest.hexdigest()
