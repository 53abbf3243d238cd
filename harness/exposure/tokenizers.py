"""`truename tokenizer`: whose tokenizer a target counts with, by nine strings.

The prompt tokens of a short message, and of the same with a string between its two lines, are
subtracted: what a template and a hidden prompt add cancels, and an exact integer is left. Nine of
them are compared with `tokenizers.json` (a row a tokenizer, with the package and version that
counted; `scripts/tokenizer_table.py` makes it and chooses the strings). Equal counts speak of the
tokenizer and not of lineage: models of many makers share one.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from harness.campaign import (
    EmbeddedTarget,
    EndpointTarget,
    NativeTarget,
    Sampling,
    Settings,
    VllmTarget,
)
from harness.errors import TargetError
from harness.exposure.injected import Count
from harness.exposure.patience import WITHIN_S, Course
from harness.targets import counter, model_of, open_target


class Known(NamedTuple):
    """A tokenizer: its tokens for each of the strings, and what counted them."""

    name: str
    source: str
    counts: tuple[int, ...]


class Table(NamedTuple):
    """The two lines of the message, the strings that are put between them, the tokenizers."""

    base: tuple[str, str]
    strings: tuple[str, ...]
    known: tuple[Known, ...]


class Fingerprint(NamedTuple):
    """What the counts say; ``counts`` are tokens of the nine strings, where they can be used."""

    finding: Literal["counts as", "none of these", "nonsense", "not known"]
    sentence: str
    counts: tuple[int, ...] = ()
    alike: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether it could not be found out."""
        return self.finding in ("nonsense", "not known")


#: What hosts report in place of tokens: characters, bytes, words, or a quarter of the first two.
_ESTIMATES: Final = {
    "characters": (len, 1),
    "bytes": (lambda text: len(text.encode()), 1),
    "words": (lambda text: len(text.split()), 1),
    "a quarter of the characters": (len, 4),
    "a quarter of the bytes": (lambda text: len(text.encode()), 4),
}


@cache
def table() -> Table:
    """The table that ships."""
    said = json.loads(Path(__file__).with_name("tokenizers.json").read_text("utf-8"))
    first, last = said["base"]
    return Table(
        (first, last),
        tuple(said["strings"]),
        tuple(
            Known(one["name"], f"{one['package']} {one['version']}", tuple(one["counts"]))
            for one in said["tokenizers"]
        ),
    )


def message(string: str | None = None) -> str:
    """The message with a string between its lines; without one, the two lines alone."""
    first, last = table().base
    return f"{first}\n{last}" if string is None else f"{first}\n{string}\n{last}"


def counted(count: Count) -> tuple[int, ...] | None:
    """Tokens of each of the strings by a tokenizer at hand; None where it counts nothing."""
    bare, *more = (count(message(one)) for one in (None, *table().strings))
    if bare is None or any(n is None for n in more):
        return None
    return tuple(n - bare for n in more if n is not None)


def added(path: Path) -> Known:
    """A user's own tokenizer for the comparison: a `tokenizer.json`, or the folder with one.

    Raises
    ------
    TargetError
        There is none, or it cannot be read.
    """
    folder = path.parent if path.name == "tokenizer.json" else path
    count = counter(folder)
    counts = counted(count) if count else None
    if counts is None:
        raise TargetError(
            "there is no tokenizer.json",
            where=str(path),
            next="give a tokenizer.json, or a folder that holds one",
        )
    return Known(folder.resolve().name, "tokenizer.json", counts)


def judge(
    bare: Sequence[int | None], reported: Sequence[int | None], known: Sequence[Known]
) -> Fingerprint:
    """Compare prompt tokens with the known tokenizers.

    ``bare`` are the message's own (asked more than once), ``reported`` those with each string.
    """
    totals = [n for n in (*bare, *reported) if n is not None]
    if len(totals) < len(bare) + len(reported):
        return Fingerprint("not known", "the host reports no prompt tokens for some requests")
    if min(totals) <= 0:
        return Fingerprint("nonsense", "the host reports no tokens for prompts that hold words")
    if len(set(totals)) == 1:
        return Fingerprint("nonsense", "the host reports the same count whatever is sent")
    if len(set(bare)) > 1:
        return Fingerprint(
            "nonsense",
            "the host reports other counts for the same prompt (noise, or a discount for cached "
            "tokens that it does not tell): they cannot be used",
        )
    base = totals[0]
    counts = tuple(n - base for n in totals[len(bare) :])
    step = math.gcd(*counts)
    alike = [one for one in known if one.counts == counts]
    if alike:
        return _alike(counts, alike, known, "")
    if step > 1:
        near = [
            one
            for one in known
            if all(abs(a - b) < step for a, b in zip(one.counts, counts, strict=True))
        ]
        rounded = f"the host rounds its counts to {step} tokens; "
        if len({one.counts for one in near}) == 1:
            return _alike(counts, near, known, rounded)
        left = tuple(one.name for one in near)
        said = f"{', '.join(left)} are all possible" if left else "none of the known ones fits"
        return Fingerprint("not known", rounded + said, counts, left)
    if min(counts) <= 0:
        return Fingerprint("nonsense", "the host counts no more tokens where more was sent", counts)
    if unit := _estimate(counts):
        return Fingerprint("nonsense", f"the host counts {unit}, and no tokens", counts)
    off = {one.name: sum(map(int.__ne__, one.counts, counts)) for one in known}
    nearest = min(off, key=lambda name: off[name])
    said = "counts as none of the known tokenizers does"
    if off[nearest] < len(counts) // 2:
        said += f"; the nearest, {nearest}, differs in {off[nearest]} of {len(counts)} strings"
    return Fingerprint("none of these", said, counts, excluded=tuple(off))


def _alike(
    counts: tuple[int, ...], alike: Sequence[Known], known: Sequence[Known], rounded: str
) -> Fingerprint:
    names = tuple(one.name for one in alike)
    rest = tuple(one.name for one in known if one not in alike)
    verb = "do" if len(names) > 1 else "does"
    said = f"{rounded}counts as {', '.join(names)} {verb}; {', '.join(rest)} excluded"
    return Fingerprint("counts as", said, counts, names, rest)


def _estimate(counts: Sequence[int]) -> str | None:
    """What is counted in place of tokens, the line break included; None where it is tokens."""
    for unit, (size, share) in _ESTIMATES.items():
        off = [
            n - (size(message(one)) - size(message())) / share
            for n, one in zip(counts, table().strings, strict=True)
        ]
        if all(abs(one) <= (1 if share > 1 else 0) for one in off):
            return unit
    return None


def fingerprint(
    settings: Settings | Path, more: Sequence[Path] = (), within_s: float = WITHIN_S
) -> Fingerprint:
    """Ask a target, or count by its own file, and compare; ``more`` are users' own tokenizers.

    Raises
    ------
    TargetError
        The file or the host cannot be used.
    """
    known = [*table().known, *map(added, more)]
    if isinstance(settings, VllmTarget):
        settings = Path(model_of(settings))
    if isinstance(settings, Path):
        return _of_counts(added(settings).counts, known)
    if isinstance(settings, EmbeddedTarget):
        return asyncio.run(_embedded(settings, known))
    return asyncio.run(_asked(settings, known, within_s))


def _of_counts(counts: tuple[int, ...] | None, known: Sequence[Known]) -> Fingerprint:
    """As `judge`, of a tokenizer at hand."""
    if counts is None:
        return Fingerprint("not known", "the file's tokenizer counts nothing")
    return judge([1], [1 + n for n in counts], known)


async def _embedded(settings: EmbeddedTarget, known: Sequence[Known]) -> Fingerprint:
    target = open_target(settings.model_copy(update={"workers": 1, "slots": 1, "context": 512}))
    try:
        await target.preflight()
        return _of_counts(await asyncio.to_thread(counted, target.count), known)
    finally:
        await target.close()


async def _asked(
    settings: EndpointTarget | NativeTarget, known: Sequence[Known], within_s: float
) -> Fingerprint:
    """Ask a host: the message, the same with each string, and the message again."""
    target, course = open_target(settings), Course(within_s)
    bare: list[int | None] = []
    reported: list[int | None] = []

    async def one(string: str | None) -> int | None:
        try:
            tokens, cached = await target.prompt_tokens(
                [{"role": "user", "content": message(string)}]
            )
        except Exception as problem:  # a string that is refused is no finding
            if string is not None:
                return None
            raise TargetError(
                f"the host does not answer: {problem}",
                where=settings.name,
                next="mend the target's entry and ask again",
            ) from None
        finally:
            course.done += 1
        return None if tokens is None else tokens + cached

    try:
        async with course.within_its_time():
            await target.preflight(Sampling(max_tokens=1))
            course.done += 1
            course.begins("comparing counts of prompt tokens", 2 + len(table().strings))
            bare.append(await one(None))
            reported += await asyncio.gather(*map(one, table().strings))
            bare.append(await one(None))
    finally:
        await target.close()
    if course.cut:
        return Fingerprint("not known", f"it was given up: {course.cut}")
    return judge(bare, reported, known)
