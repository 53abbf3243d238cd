"""A merge check from places to files: checked, written down, told in lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.campaign import cache_folder
from harness.progress import Bar
from harness.weights import output
from harness.weights.check import Settings, check
from harness.weights.search import Pair


class Told(NamedTuple):
    """What a terminal is shown of a check, the files that hold it, and whether anything is told."""

    lines: list[str]
    written: Sequence[Path]
    certain: bool


def cache() -> Path:
    """Where headers and pieces of remote checkpoints are kept."""
    return cache_folder() / "weights"


def check_into(suspect: str, parents: Sequence[str], settings: Settings, to: Path | None) -> Told:
    """Check a suspect against its parents, into a folder; killed, the same call goes on.

    Raises
    ------
    WeightsError
        A checkpoint cannot be read exactly.
    """
    last = suspect.rstrip("/").rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]+", "-", last).strip("-") or "suspect"
    folder = to or Path("results") / f"weights-{name}"
    with Bar("read", None, in_bytes=True) as bar:
        found = check(
            suspect,
            list(parents),
            settings,
            folder / "weights.part",
            lambda progress: bar.at(progress.done, progress.planned),
        )
    written = output.write(found, folder)
    certain = found.verdict.method != "cannot tell"
    return Told(output.lines(output.found(found)), written, certain)


def told_pairs(ranked: Sequence[Pair]) -> list[str]:
    """The best pairs of a search, a line each."""
    lines = ["what no blend of them explains, by pair (share of a tensor's length):"]
    for pair in ranked[:10]:
        ratio = f"  ratio {pair.ratio:.3f}" if len(pair.labels) == 2 else ""
        lines.append(f"  {100 * pair.unexplained:8.4f} %  {' and '.join(pair.labels)}{ratio}")
    return lines
