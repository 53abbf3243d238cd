"""What a command's exit code says: the one table, which `docs/reference.md` prints."""

from __future__ import annotations

from typing import Final

FOUND: Final = 1
USAGE: Final = 2
NOT_FOUND_OUT: Final = 3
STOPPED: Final = 130
NOBODY_READS: Final = 141

#: What each code means.
EXITS: Final = {
    0: "done",
    FOUND: "something was found: a bundle that differs, a claim that is contradicted; with "
    "--fail-on, a drift or an alarm",
    USAGE: "usage or input: the message says what, where, and what to type next",
    NOT_FOUND_OUT: "could not be found out, or is not finished: a stopped run, a silent audit",
    STOPPED: "stopped by Ctrl-C, all but `run` (3: not finished) and `audit serve` (0)",
    NOBODY_READS: "whoever read the output went away",
}
