"""Is a bundle what it says it is: checked by a process of its own, which may break off.

This process opens nothing of the bundle. It makes a scratch folder, starts the one that checks
(`checking.py`) in it, and reads one small answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from harness.errors import RunError
from harness.report.evidence.checking import ANSWER, Checked, Job, Refused
from harness.report.evidence.contents import LARGEST, MB

#: Threads of numerical libraries reserve memory each; one is enough here.
_ONE_THREAD: Final = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
#: Seconds after which a process that neither works nor ends is given up.
_PATIENCE_S: Final = 24 * 3600


def verify(
    path: Path, *, signer: Path | None = None, roots: Path | None = None, largest: int = LARGEST
) -> Checked:
    """Check every byte of a bundle against its hashes, then count its samples again.

    It is counted with the truename that is installed.

    Parameters
    ----------
    path
        The bundle.
    signer
        A public key that it should be signed with.
    roots
        Certificates that the time stamp on its registered plan should lead to.
    largest
        Bytes that the file, and all files in it together, may have.

    Raises
    ------
    RunError
        It is no bundle, one that this version cannot read, or one that takes more time or memory
        than its samples may.
    """
    if not path.is_file():
        raise RunError(
            "there is no such bundle",
            where=str(path),
            next="give the path of a file that truename bundle made",
        )
    keys = (str(one.resolve()) if one else None for one in (signer, roots))
    job = Job(str(path.resolve()), largest, *keys)
    with tempfile.TemporaryDirectory(prefix="truename-verify-") as scratch:
        inside = Path(scratch, "bundle")
        inside.mkdir()
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.report.evidence.checking"],
            input=msgspec.json.encode(job),
            cwd=inside,
            env=os.environ | _ONE_THREAD,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=False,
        )
        found = _answer(Path(scratch, ANSWER), done.returncode)
    if isinstance(found, Refused):
        after = found.next or "ask who made it, and give a file that truename bundle made"
        raise RunError(found.refused, where=str(path), next=after)
    return found


def _answer(path: Path, ended: int) -> Checked | Refused:
    """What the process wrote, or how it ended."""
    if ended == 0 and path.is_file() and path.stat().st_size < 10 * MB:
        return msgspec.json.decode(path.read_bytes(), type=Checked | Refused)
    if ended in (-signal.SIGXCPU, -signal.SIGKILL):
        return Refused("checking it takes more time or memory than a bundle of its size may")
    return Refused(f"the process that checks it broke off ({ended}): it holds what no bundle holds")
