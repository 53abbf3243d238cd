"""What a bundle may hold: names, sizes, and the manifest that lists it all."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from harness.console import plain

FORMAT: Final = 3
#: Formats that are read: 2 had no registered plan, no time stamp and no signature.
READ: Final = (2, 3)
MARK: Final = b"truename bundle sha256:"
MANIFEST: Final = "manifest.json"
#: Signs the manifest, so it cannot stand in it.
SIGNATURE: Final = "signature.json"
JOURNAL: Final = "journal.sqlite"
CAMPAIGN: Final = "campaign.yaml"
PAGE: Final = "report.html"
#: What was registered before the run, and a time stamp on that.
REGISTERED, STAMP = "plan.json", "plan.tsr"
#: Tables that every bundle has.
ALWAYS: Final = ("tally", "comparisons", "recitals", "samples", "overlap")
MB: Final = 1_000_000
#: Bytes that all files of a bundle may have together, unless more is allowed.
LARGEST: Final = 1_000 * MB
#: Files that a bundle may have.
MOST: Final = 5_000


class Kind(NamedTuple):
    """Names of one kind of file, and the bytes that one of them may have."""

    names: re.Pattern[str]
    most: int


KINDS: Final = (
    Kind(re.compile(r"manifest\.json|signature\.json|campaign\.yaml|plan\.json"), MB),
    Kind(re.compile(r"plan\.tsr"), MB // 10),
    Kind(re.compile(r"journal\.sqlite|[a-z][a-z0-9-]{0,30}\.csv"), 10**15),
    Kind(re.compile(r"report\.html"), 200 * MB),
    Kind(re.compile(r"labels-plan\.json|labels\.jsonl|weights\.json"), 100 * MB),
    Kind(re.compile(r"(?:probes|prompts)/(?:\w[\w-]*/)*\w[\w.-]*\.(?:yaml|md|j2)"), MB),
)


class Manifest(msgspec.Struct):
    """What a bundle holds (SHA-256 by name), and with what it was made."""

    format: int
    run: str
    samples: int
    versions: dict[str, str]
    files: dict[str, str]


def limit_of(name: str) -> int | None:
    """The bytes that a file of this name may have; None where no bundle has such a file."""
    if len(name) > 200 or unicodedata.normalize("NFC", name) != name:
        return None
    return next((kind.most for kind in KINDS if kind.names.fullmatch(name)), None)


def place_of(name: str) -> str:
    """Where a file of a bundle is unpacked, below the scratch folder."""
    return name if "/" in name else f"results/run/{name}"


def read_manifest(content: bytes) -> Manifest:
    """The manifest, each of its names checked.

    Raises
    ------
    ValueError
        It is none that truename writes; the message says why.
    """
    try:
        json.loads(content, object_pairs_hook=_no_twins)
        found = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise ValueError(f"its manifest cannot be read ({_shown(str(problem))})") from None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", found.run):
        raise ValueError(f"its manifest names a run that no run can be called: {_shown(found.run)}")
    if not 0 <= found.samples < 2**53:
        raise ValueError("its manifest counts samples that no run has")
    for name, version in found.versions.items():
        if not re.fullmatch(r"[\w.+!-]{1,100}", name) or not re.fullmatch(
            r"[\w.+!-]{1,100}", version
        ):
            raise ValueError(f"its manifest names a version that no package has: {_shown(name)}")
    for name, digest in found.files.items():
        if name in (MANIFEST, SIGNATURE) or limit_of(name) is None:
            raise ValueError(f"its manifest names a file that no bundle has: {_shown(name)}")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"its manifest holds something that is no SHA-256: {_shown(digest)}")
    if JOURNAL not in found.files or CAMPAIGN not in found.files:
        raise ValueError(f"its manifest names no {JOURNAL}, or no {CAMPAIGN}")
    return found


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _shown(text: str) -> str:
    return repr(plain(text[:100]))


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    import hashlib

    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
