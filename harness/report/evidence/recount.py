"""A bundle's journal scored and counted anew, believing nothing that was counted before.

Only what was unpacked is read: the probes, prompts and identity book of the bundle, not those that
ship. So bundles of before are counted on what they rested on.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from harness.campaign import Loaded, Plan, Trial, folders, from_text
from harness.counting import TABLES, Scoring
from harness.counting.scored import Onlooker
from harness.errors import TruenameError
from harness.journal import Journal, Run, campaign_of, open_engine, sqlite_url
from harness.journal import schema as store
from harness.journal.text import to_json
from harness.report.evidence.contents import CAMPAIGN, JOURNAL, PAGE
from harness.report.evidence.registration import digests
from harness.report.page import write_page

#: Letters that a cell of a table may have.
LONGEST_CELL: Final = 20_000_000


class Recounted(NamedTuple):
    """What counting anew gave.

    ``differing`` are the tables that differ, each with the columns in which; ``wrong`` is what the
    campaign, the plan and the journal do not say alike; ``notes`` is what nobody can check.
    """

    differing: list[str]
    wrong: list[str]
    notes: list[str]
    #: What is wrong with its questions, unless another version made it, which asked otherwise.
    asked: list[str]
    record: Mapping[str, Any]
    first: str | None
    digests: Mapping[str, str] | str
    same_page: bool


def recount(
    folder: Path, samples: int, run: str, exact: bool, onlooker: Onlooker | None = None
) -> Recounted:
    """Write the tables and the page of the one run in ``folder`` again, and compare.

    ``samples`` and ``run`` are what the bundle says of itself; of an ``exact`` one, which says that
    this version made it, tables are compared to the byte. The ``onlooker`` is told how far scoring
    is.

    Raises
    ------
    TruenameError
        The journal cannot be read or counted.
    """
    engine = open_engine(sqlite_url(folder / JOURNAL))
    try:
        with engine.connect() as connection:
            record = dict(connection.execute(sa.select(store.runs)).mappings().one())
            first = connection.execute(sa.select(sa.func.min(store.responses.c.saved))).scalar()
        opened = Run(record["run"], folder, Journal(engine, record["run"]))
        campaign = campaign_of(opened)
        odd = _odd_blocks(opened)
        packed = {path: path.with_name(f"packed-{path.name}") for path in _counted(folder)}
        for path, kept in packed.items():
            path.rename(kept)
        tables = write_page(opened, campaign, folder / PAGE, scoring=Scoring(None, onlooker))
        wrong = [f"{odd} blocks of its journal hold other samples than they say"] if odd else []
        if record["run"] != run:
            wrong.append("its manifest and its journal name different runs")
        if len(tables.samples) != samples:
            wrong.append(
                f"its manifest counts {samples} samples, its journal holds {len(tables.samples)}"
            )
        if (folder / CAMPAIGN).read_text("utf-8") != record["campaign_source"]:
            wrong.append(f"{CAMPAIGN} is not the campaign that its journal was begun with")
        planned = _planned(opened, record)
        differing = [
            f"{table}.csv{where}"
            for table in TABLES
            if (folder / f"packed-{table}.csv").is_file()
            and (
                where := _difference(folder / f"packed-{table}.csv", folder / f"{table}.csv", exact)
            )
        ]
        page = folder / PAGE
        same = page in packed and packed[page].read_bytes() == page.read_bytes()
        return Recounted(
            differing,
            wrong + planned.wrong,
            planned.notes,
            planned.asked,
            record,
            first,
            planned.digests,
            same,
        )
    finally:
        engine.dispose()


class _Numbered(msgspec.Struct, array_like=True):
    """Of a reply, which sample it is."""

    index: int


_numbered: Final = msgspec.json.Decoder(list[_Numbered]).decode


def _odd_blocks(run: Run) -> int:
    """How many blocks hold other samples than they say, which would count beside those."""
    c = store.responses.c
    with run.journal.engine.connect() as connection:
        wanted = sa.select(c.first, c.samples, c.replies)
        blocks = connection.execution_options(yield_per=100).execute(wanted)
        return sum(
            [reply.index for reply in _numbered(replies)] != [*range(first, first + samples)]
            for first, samples, replies in blocks
        )


def _counted(folder: Path) -> list[Path]:
    """What is written anew: tables and the page, as far as the bundle has them."""
    names = (*(f"{table}.csv" for table in TABLES), PAGE)
    return [folder / name for name in names if (folder / name).is_file()]


class _Planned(NamedTuple):
    wrong: list[str]
    notes: list[str]
    asked: list[str]
    digests: Mapping[str, str] | str


def _planned(run: Run, record: Mapping[str, Any]) -> _Planned:
    """Whether the journal's trials are those that the campaign and the bundled prompts give."""
    try:
        loaded = from_text(record["campaign_source"], CAMPAIGN, Path.cwd())
        plan = Plan(loaded)
    except TruenameError as problem:
        said = "its questions could not be made again from its campaign and prompts"
        return _Planned([], [], [f"{said}: {problem.what}"], problem.what)
    now = digests(loaded, plan)
    if plan.digest != record["plan_sha256"]:
        said = "its prompts are not those that the run was begun with: its questions are believed"
        return _Planned([], [], [said], now)
    other, held = _compare_trials(run, plan)
    if other:
        said = f"{other} trials of its journal are not what its campaign asks"
        return _Planned([said], [], [], now)
    if beyond := _beyond(run, plan):
        said = f"{beyond} trials of its journal have more samples than its campaign asks for"
        return _Planned([said], [], [], now)
    return _Planned([], _missing(loaded, plan, held), [], now)


def _compare_trials(run: Run, plan: Plan) -> tuple[int, int]:
    """How many trials differ from the plan's, and how many samples the journal holds."""
    with run.journal.engine.connect() as connection:
        rows = connection.execution_options(yield_per=1000).execute(sa.select(store.trials))
        other = sum(
            not (0 <= row["position"] < len(plan) and _same(row, plan.trial(row["position"])))
            for row in rows.mappings()
        )
        counted = sa.select(sa.func.coalesce(sa.func.sum(store.responses.c.samples), 0))
        return other, int(connection.execute(counted).scalar_one())


def _beyond(run: Run, plan: Plan) -> int:
    """How many trials have more samples than the plan wants: as many as somebody liked."""
    c = store.responses.c
    with run.journal.engine.connect() as connection:
        ends = sa.select(c.position, sa.func.max(c.first + c.samples)).group_by(c.position)
        found = connection.execution_options(yield_per=1000).execute(ends)
        return sum(end > plan.trial(position).samples for position, end in found)


def _same(row: Any, trial: Trial) -> bool:
    said = (trial.key, trial.target, trial.arm.label, trial.probe, trial.language, trial.question)
    names = ("trial", "target", "arm", "probe", "language", "question")
    return tuple(row[name] for name in names) == said and row["messages"] == to_json(trial.messages)


def _missing(loaded: Loaded, plan: Plan, held: int) -> list[str]:
    wanted = plan.samples_per_target * len(loaded.campaign.targets)
    if held >= wanted:
        return []
    early = " (it may stop early)" if loaded.campaign.stop else ""
    return [f"its campaign asks for {wanted:,} samples; its journal holds {held:,}{early}"]


def _difference(packed: Path, counted: Path, exact: bool) -> str:
    """In which columns two tables differ; nothing where what the first says is as in the second.

    Unless they have to be ``exact``, columns that a later truename has besides are passed over.
    """
    if _digest(packed) == _digest(counted):
        return ""
    if packed.stat().st_size > 2 * counted.stat().st_size + 1_000_000:
        return ": other rows"  # there may be no end of them
    csv.field_size_limit(LONGEST_CELL)
    with packed.open(encoding="utf-8", newline="") as a, counted.open("r", newline="") as b:
        before, after = csv.reader(a), csv.reader(b)
        heads = next(before, []), next(after, [])
        if exact and (lost := [name for name in heads[1] if name not in heads[0]]):
            return f": it has lost {_listed(lost)}"
        if gone := [name for name in heads[0] if name not in heads[1]]:
            return f" in {_listed(gone)}, which this truename does not count"
        places = [heads[1].index(name) for name in heads[0]]
        other: dict[str, None] = {}
        for said, now in zip_longest(before, after):
            if said is None or now is None or len(said) != len(places):
                return ": other rows"
            pairs = zip(heads[0], said, (now[at] for at in places), strict=True)
            other |= {name: None for name, x, y in pairs if x != y}
    if exact and not other:
        return ": the same, written otherwise"
    return f" in {_listed(list(other))}" if other else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _digest(path: Path) -> bytes:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").digest()


def foreign(names: Mapping[str, str]) -> list[str]:
    """Files that counting rests on and that are not as they ship with this truename."""
    own = folders.SHIPPED
    return [
        name
        for name, digest in names.items()
        if name.startswith("probes/identities/") or name.startswith("probes/backstories/")
        if not (own / name).is_file() or _digest(own / name).hex() != digest
    ]
