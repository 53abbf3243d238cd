"""What commands print on a terminal of 80 columns, as the page `docs/terminal.md`.

usage: python scripts/captures.py FOLDER > docs/terminal.md

Types each command of `TYPED` in FOLDER, in a real terminal (a pty), and keeps what stands there at
the end. What they need is made first, unless FOLDER has it: the founding case with the lab's models
(some minutes) and a month of audits.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.cli import exits  # noqa: E402

COLUMNS, ROWS = 80, 200
#: Lines of a capture that are kept, from its beginning and its end.
FIRST, LAST = 40, 12
#: Commands that print a table, by what they show; the first ones need nothing but truename.
TYPED = {
    "Sizes, before anything is spent": "truename size --rate 0.8 --width 0.1",
    "The worst case of a campaign": "truename plan rio-lab",
    "A run that is whole": "truename run rio-lab",
    "Its rates": "truename tally rio-lab",
    "Its story": "truename report rio-lab --terminal",
    "The samples behind a figure": "truename show rio-lab --where arm=bare --where name=nex",
    "Two runs compared": "truename compare rio-lab rio-lab",
    "What a template puts before a question": "truename inspect lab:suspect",
    "Whose weights": "truename weights lab:suspect --parents lab:donor lab:base",
    "Replies of other tools": "truename score results/rio-lab/samples.csv --out scored.csv",
    "A run packed as evidence": "truename bundle rio-lab",
    "A bundle of somebody else": "truename verify rio-lab.bundle.zip",
    "The classifier on labels": "truename eval-classifier labels.jsonl --worst 3",
    "Who answers": "truename whois lab:suspect --claims rio",
    "A month of audits": "truename audit status --results month/results",
}
#: The first of them that a test types again.
CHEAP = 2

HEAD = f"""# What a terminal shows

Made by `python scripts/captures.py FOLDER > docs/terminal.md`, in a terminal of {COLUMNS} columns.
The models are the lab's stand-ins.
"""


def screen(said: str) -> list[str]:
    """The lines that stand on a terminal after this: colours left out, lines redrawn in place."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[a-zA-Z]|\r?\n|\r)", said):
        if part.endswith("\n"):
            row += 1
            lines += [""] * (row == len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K" or part == "\r":
            lines[row] = "" if part != "\r" else lines[row]
        elif not part.startswith("\x1b"):
            lines[row] += part
    return [line.rstrip() for line in lines]


def typed(words: Sequence[str], folder: Path) -> list[str]:
    """The screen after a command was typed in a folder."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        said = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
    if process.returncode not in (0, exits.FOUND):
        raise SystemExit(f"{shlex.join(words)}\n{said.decode()}")
    return screen(said.decode("utf-8", "replace"))


def _read(terminal: int) -> bytes:
    """What a terminal shows next; nothing once nobody writes to it any more."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def captures(folder: Path) -> Iterator[str]:
    """The sections of the page."""
    for title, command in TYPED.items():
        lines = typed(shlex.split(command)[1:], folder)
        left = len(lines) - FIRST - LAST
        if left > 0:
            lines[FIRST:-LAST] = [f"... {left} further lines"]
        said = "\n".join(lines).strip("\n")
        yield f"## {title}\n\n```text\n$ {command}\n{said}\n```\n"


def prepare(folder: Path) -> None:
    """Make what the commands need, unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "tests/scoring/labelled.jsonl", folder / "labels.jsonl")
    if not (folder / "results/rio-lab").is_dir():
        typed(["run", "rio-lab", "--no-live"], folder)
    if not (folder / "month").is_dir():
        script = str(ROOT / "scripts/audit_month.py")
        subprocess.run(
            [sys.executable, script, str(folder / "month")], check=True, stdout=sys.stderr
        )


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
    print(HEAD + "\n" + "\n".join(captures(Path(sys.argv[1]))), end="")
