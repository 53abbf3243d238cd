"""Which replies people are asked to read: a random part of a run, drawn by a seed and written down.

Replies lie in cells (target, arm, probe), and in each cell in strata: the classifier's word, which
is a stance and the names claimed. How many a cell gives is decided by what is told first: half of
all come from where the report's first sentence stands (the claim's target in its plainest arm,
asked for its name), a quarter from the same target under `absent`, the rest evenly from all targets
and arms. In a cell every reply has the same chance, ``drawn / size``; its strata share the cell's
number as they share its replies, rounded at random. So no row of the tally, which stays within one
cell, needs weights.

The plan is `labels-plan.json` in the run's folder. It is never drawn anew, only drawn on: who asks
for more gets the same replies and further ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from harness.campaign import Campaign, load_probe
from harness.counting.scored import Scoring
from harness.errors import RunError
from harness.journal import Run
from harness.tables import write_bytes

FORMAT: Final = 1
PLAN: Final = "labels-plan.json"
#: Arms without any text that names the model, the most telling first.
PLAIN: Final = ("bare", "empty")
#: Target, arm and probe.
Cell = tuple[str, str, str]


class Stratum(msgspec.Struct, frozen=True):
    """Replies of one cell of which the classifier says the same, and how many of them are drawn."""

    target: str
    arm: str
    probe: str
    verdict: str
    size: int
    drawn: int


class Drawn(msgspec.Struct, frozen=True):
    """One reply that people are asked to read: TRIAL/NUMBER, SHA-256 of its text, its stratum."""

    sample: str
    sha256: str
    stratum: int


class Draw(msgspec.Struct, frozen=True):
    """The plan: whole replies of the run when it was drawn, strata, and the replies in the order
    in which they are shown.
    """

    format: int
    seed: int
    replies: int
    strata: list[Stratum]
    samples: list[Drawn]

    def cells(self) -> Counter[Cell]:
        """How many whole replies each cell held."""
        sizes: Counter[Cell] = Counter()
        for s in self.strata:
            sizes[s.target, s.arm, s.probe] += s.size
        return sizes

    def cell_of(self, drawn: Drawn) -> Cell:
        s = self.strata[drawn.stratum]
        return s.target, s.arm, s.probe


class Whole(NamedTuple):
    """A whole reply: its key TRIAL/NUMBER, its cell, and what the classifier says of it."""

    sample: str
    cell: Cell
    verdict: str


def digest(text: str) -> str:
    """SHA-256 of a reply's text, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def spread(sizes: Sequence[float], n: int, rng: np.random.Generator) -> list[int]:
    """``n`` shared as sizes are, rounded at random: each gets its share on average.

    Systematic rounding: one random start, and marks one apart along the cumulated shares. A part
    gets its share rounded down or up, never more than its size.
    """
    whole = sum(sizes)
    if not n or not whole:
        return [0] * len(sizes)
    marks = np.concatenate(([0.0], np.cumsum(sizes))) * (n / whole)
    marks[-1] = n
    passed = np.floor(marks + rng.random())
    return [int(count) for count in np.diff(passed)]


def shares(sizes: Mapping[Cell, int], campaign: Campaign) -> dict[Cell, float]:
    """Which share of all that is drawn each cell should give; they sum to 1."""
    wanted, left = dict.fromkeys(sizes, 0.0), 1.0
    for cell in _told_first(campaign):
        if cell in wanted:
            left /= 2
            wanted[cell] = left
    sides = {(target, arm) for target, arm, _ in sizes}
    for target, arm in sides:
        mine = [cell for cell in sizes if cell[:2] == (target, arm)]
        whole = sum(sizes[cell] for cell in mine)
        for cell in mine:
            wanted[cell] += left / len(sides) * sizes[cell] / whole
    return wanted


def _told_first(campaign: Campaign) -> Iterator[Cell]:
    """The cells that the report's first sentences speak of."""
    names = [p for p in campaign.probes if load_probe(p).measures == "name"]
    if campaign.claim is None or not names:
        return
    plain = next((arm for arm in PLAIN if arm in campaign.arms), None)
    for arm in (plain, "absent"):
        if arm in campaign.arms:
            yield campaign.claim.target, str(arm), names[0]


def numbers(sizes: Mapping[Cell, int], wanted: Mapping[Cell, float], n: int) -> dict[Cell, float]:
    """How many replies each cell should give, on average: its share of ``n``, at most all it has.

    What a cell lacks the others give.
    """
    given = dict.fromkeys(sizes, 0.0)
    open_cells, left = set(sizes), float(min(n, sum(sizes.values())))
    while open_cells and left > 1e-9:
        whole = sum(wanted[cell] for cell in open_cells)
        more = {cell: left * wanted[cell] / whole for cell in open_cells}
        for cell, some in more.items():
            given[cell] = min(float(sizes[cell]), given[cell] + some)
        left = min(n, sum(sizes.values())) - sum(given.values())
        open_cells = {cell for cell in open_cells if given[cell] < sizes[cell]}
    return given


def draw(
    found: Iterable[Whole], campaign: Campaign, n: int, seed: int, before: Draw | None = None
) -> tuple[list[Stratum], list[tuple[str, int]]]:
    """Draw ``n`` replies, or draw on until there are as many.

    Returns the strata, and (sample, stratum) of each reply in the order to be shown: those drawn
    before come first.
    """
    places: dict[tuple[Cell, str], int] = {}
    members: list[list[str]] = []
    for whole in found:
        at = places.setdefault((whole.cell, whole.verdict), len(places))
        if at == len(members):
            members.append([])
        members[at].append(whole.sample)
    cells: dict[Cell, list[int]] = {}
    for (cell, _), at in places.items():
        cells.setdefault(cell, []).append(at)
    sizes = {cell: sum(len(members[at]) for at in mine) for cell, mine in cells.items()}
    had = [one.sample for one in before.samples] if before else []
    known = set(had)
    stratum_of = {key: at for at, some in enumerate(members) for key in some if key in known}
    taken = Counter(stratum_of.values())
    rng = np.random.default_rng([seed, len(had)])
    goal = numbers(sizes, shares(sizes, campaign), n)
    owed = [max(0.0, goal[c] - sum(taken[at] for at in mine)) for c, mine in cells.items()]
    more = max(0, min(n, sum(sizes.values())) - len(had))
    new: list[tuple[str, int]] = []
    for mine, count in zip(cells.values(), spread(owed, more, rng), strict=True):
        rest = [[key for key in members[at] if key not in known] for at in mine]
        parts = spread([len(some) for some in rest], count, rng)
        for at, some, part in zip(mine, rest, parts, strict=True):
            new += [(some[i], at) for i in rng.permutation(len(some))[:part]]
    order = [(key, stratum_of[key]) for key in had]
    order += [new[i] for i in rng.permutation(len(new))]
    drawn = Counter(at for _, at in order)
    strata = [
        Stratum(*cell, verdict, len(members[at]), drawn[at])
        for (cell, verdict), at in places.items()
    ]
    return strata, order


def whole_replies(run: Run) -> Iterator[Whole]:
    """The whole replies of a run, each with what the classifier says of it."""
    rows, held = run.journal.rows(), run.journal.held()
    for scored in Scoring(run.journal.engine).score(rows, held):
        row, verdict = scored.row, scored.verdict
        if verdict is not None:
            cell = row["target"], row["arm"], row["probe"]
            said = f"{verdict.stance} {'|'.join(verdict.names)}".strip()
            yield Whole(f"{row['trial']}/{row['sample']}", cell, said)


def all_whole(run: Run) -> list[Whole]:
    """The whole replies of a run, which has some.

    Raises
    ------
    RunError
        It holds none.
    """
    if found := list(whole_replies(run)):
        return found
    raise RunError(
        "the run holds no whole reply to read",
        where=run.name,
        next=f"truename run {run.name}, or truename show {run.name} to see what failed",
    )


def stored_draw(folder: Path) -> Draw | None:
    """The plan of a run, if replies were drawn.

    Raises
    ------
    RunError
        The file is none that truename wrote.
    """
    path = folder / PLAN
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Draw)
        if found.format != FORMAT or not all(
            0 <= s.stratum < len(found.strata) for s in found.samples
        ):
            raise msgspec.DecodeError("of another version, or damaged")
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise RunError(
            f"the plan of what is read cannot be used: {problem}",
            where=str(path),
            next=f"put back the {PLAN} that truename label wrote: the labels rest on it",
        ) from None
    return found


def drawn_for(run: Run, campaign: Campaign, n: int, seed: int | None) -> Draw:
    """The plan of a run with at least ``n`` replies, drawn (on) where it has fewer.

    Raises
    ------
    RunError
        The run holds no whole reply, or others than when it was drawn; or the plan has another seed
        than the one that is asked for.
    """
    before = stored_draw(run.folder)
    if before is not None and seed not in (None, before.seed):
        raise RunError(
            f"the replies of this run were drawn with seed {before.seed}, not {seed}",
            where=str(run.folder / PLAN),
            next="leave --seed out",
        )
    if before is not None and len(before.samples) >= min(n, before.replies):
        return before
    found = all_whole(run)
    if before is not None and before.cells() != Counter(whole.cell for whole in found):
        raise RunError(
            f"the run held {before.replies} whole replies when they were drawn, and other ones now",
            where=str(run.folder / PLAN),
            next=f"finish sampling first; to begin anew, move {PLAN} and labels.jsonl elsewhere",
        )
    chosen = seed if seed is not None else before.seed if before else 1
    strata, order = draw(found, campaign, n, chosen, before)
    known = {one.sample: one.sha256 for one in before.samples} if before else {}
    samples = [
        Drawn(key, known.get(key) or digest(text_of(run, key)["text"]), at) for key, at in order
    ]
    made = Draw(FORMAT, chosen, len(found), strata, samples)
    written = msgspec.json.format(msgspec.json.encode(made), indent=1)
    write_bytes(written, run.folder / PLAN)
    return made


def text_of(run: Run, key: str) -> dict[str, Any]:
    """The row of a drawn reply.

    Raises
    ------
    RunError
        The run holds it no longer.
    """
    trial, _, number = key.partition("/")
    row = run.journal.sample(trial, int(number)) if number.isdigit() else None
    if row is None or row["text"] is None:
        raise RunError(
            f"the run no longer holds the drawn reply {key}",
            where=run.name,
            next=f"move {PLAN} and labels.jsonl elsewhere, then truename label {run.name}",
        )
    return row
