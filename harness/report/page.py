"""The report: one HTML file that opens without a network, with the claim, the picture, the evidence, and the method.

Whatever a model, a host or a file said is escaped (Jinja2 autoescape; JavaScript sets text, never markup), control and direction
characters are shown as code points, and a Content-Security-Policy allows this file's own style and script alone, by hash.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import charts, stats
from harness.campaign import Campaign, load_backstories, public_text
from harness.console import percent, plain
from harness.counting import Scored, Scoring, Tables
from harness.counting import tally as make_tables
from harness.counting.confusion import Confusion, confusion
from harness.counting.counted import Counted
from harness.journal import Run
from harness.report.story import (
    TITLES,
    claimed_identity,
    measure_of,
    name_of,
    not_scored,
    rates_of,
    short_arm,
    shown,
    story,
)
from harness.report.terminal import injected
from harness.scoring import places, words
from harness.tables import write_bytes

HERE: Final = Path(__file__).parent
#: Transcripts, their bytes, and characters of one text that the page holds at most; counts are always of all samples.
TRANSCRIPTS, BYTES, LONGEST = 3000, 8_000_000, 4000
RECITALS: Final = 6
#: A recital is shown from this share of the reference on.
RECITED_IN_PART: Final = 0.1
IDENTITIES: Final = 5
FAILURES: Final = 50


class Kept(NamedTuple):
    """A sample for the page, and its place in a draw that the seed of no one decides: the hash of its key."""

    order: int
    number: int
    scored: Scored


class Keeper:
    """What the page shows of single samples, gathered while they stream by: a bounded, even draw; the best recitals; a prompt for each arm."""

    def __init__(self, groups: int) -> None:
        self.each = max(1, TRANSCRIPTS // max(1, groups))
        self.drawn: dict[tuple[str, str, str], list[Kept]] = {}
        self.recitals: dict[tuple[str, str, str], tuple[float, int, Scored]] = {}
        self.prompts: dict[tuple[str, str], dict[str, Any]] = {}
        self.failures: Counter[tuple[str, str, str, str]] = Counter()
        self.seen = 0
        self._numbers = itertools.count()

    def __call__(self, scored: Scored) -> None:
        row = scored.row
        self.seen += 1
        self.prompts.setdefault((row["target"], row["arm"]), row)
        if row["error"] and (
            len(self.failures) < 1000
            or (row["target"], row["arm"], row["status"], row["error"]) in self.failures
        ):
            self.failures[row["target"], row["arm"], row["status"], row["error"]] += 1
        order = int.from_bytes(
            hashlib.blake2b(f"{row['trial']}/{row['sample']}".encode(), digest_size=6).digest(),
            "big",
        )
        kept = self.drawn.setdefault((row["target"], row["arm"], row["probe"]), [])
        number = next(self._numbers)
        if len(kept) < self.each:
            heapq.heappush(kept, Kept(-order, number, scored))
        elif -order > kept[0].order:
            heapq.heapreplace(kept, Kept(-order, number, scored))
        if scored.overlap and scored.overlap.identity and scored.overlap.runs:
            place = row["target"], row["arm"], scored.overlap.identity
            share = scored.overlap.reference_share
            if place not in self.recitals or share > self.recitals[place][0]:
                self.recitals[place] = share, number, scored


def write_page(
    run: Run,
    campaign: Campaign,
    to: Path,
    errors: Confusion | None = None,
    look: Callable[[Scored], None] = lambda scored: None,
    scoring: Scoring | None = None,
) -> Tables:
    """Its tables into a run's folder, its page to ``to``; every sample is shown to ``look`` too.

    Raises
    ------
    RunError
        The run holds no sample, or the disk refuses; what stood at ``to`` before is still there.
    """
    errors = errors or confusion()
    keeper = Keeper(len(campaign.targets) * len(campaign.arms) * len(campaign.probes))

    def both(scored: Scored) -> None:
        keeper(scored)
        look(scored)

    tables = make_tables(
        run.journal, campaign, run.folder, errors=errors, look=both, scoring=scoring
    )
    write_bytes(render(run, campaign, tables, keeper, errors).encode("utf-8", "replace"), to)
    return tables


def render(run: Run, campaign: Campaign, tables: Tables, keeper: Keeper, errors: Confusion) -> str:
    """The page as text."""
    known = run.journal.record.describe() or {}
    capabilities = run.journal.record.capabilities()
    templates = injected(tables.samples)
    script, style = asset("page.js"), asset("page.css")
    return (
        page_templates()
        .get_template("page.html.j2")
        .render(
            run=run.name,
            campaign=campaign,
            claim_name=name_of("name", campaign.claim.identity) if campaign.claim else None,
            created=str(known.get("created", ""))[:19].replace("T", " "),
            known={**known, "campaign_source": public_text(str(known.get("campaign_source", "")))},
            versions=sorted(msgspec.json.decode(known.get("versions") or "{}").items()),
            capabilities=capabilities,
            notes=run.journal.record.notes(),
            templates=templates,
            told=story(tables.tally, campaign, templates),
            samples=len(tables.samples),
            pictures=pictures(tables.tally, campaign),
            recitals=recitals(keeper, campaign),
            heat=heat_maps(tables.run, tables.tally, campaign),
            comparisons=_comparisons(tables.comparisons, campaign, tables.tally),
            prompts=_prompts(keeper),
            weights=_weights(run.folder / "weights.json"),
            inspections=[
                msgspec.json.decode(path.read_bytes())
                for path in sorted(run.folder.glob("inspect-*.json"))
            ],
            failures=keeper.failures.most_common(FAILURES),
            more_failures=max(0, len(keeper.failures) - FAILURES),
            errors=errors,
            classifier=method(errors),
            transcripts=transcripts(keeper),
            shown_transcripts=min(keeper.seen, sum(map(len, keeper.drawn.values()))),
            script=script,
            style=style,
            policy=policy(style, script),
        )
    )


def page_templates(folder: Path = HERE) -> jinja2.Environment:
    """The templates of pages in a folder; everything is escaped."""
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(folder),
    )
    environment.filters |= {"safe_text": lambda value: plain(str(value)), "arm": short_arm}
    return environment


def policy(style: str, script: str | None) -> str:
    """A Content-Security-Policy that allows one style and one script, by hash, and nothing else."""
    own = f"script-src 'sha256-{_digest(script)}'; " if script else ""
    return f"default-src 'none'; {own}style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"


@cache
def asset(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or begins another."""
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


class Picture(NamedTuple):
    """One probe: its chart and its table. Cells are (text, whether it is zero)."""

    probe: str
    title: str
    svg: str
    columns: list[str]
    rows: list[dict[str, Any]]


def pictures(tally: pd.DataFrame, campaign: Campaign) -> list[Picture]:
    """For each probe the shares of the identities that matter, by target and arm."""
    made = []
    for probe in campaign.probes:
        measure = measure_of(probe)
        part = rates_of(tally, probe, measure)
        claimed = claimed_identity(campaign, measure)
        identities = shown(tally, probe, measure, claimed, IDENTITIES)
        names = [plain(name_of(measure, identity)) for identity in identities]
        labels, points, rows = [], [], []
        for number, ((target, arm), found) in enumerate(
            part.groupby(["target", "arm"], sort=False)
        ):
            labels.append(f"{target}  {short_arm(str(arm))}")
            first, by_identity = found.iloc[0], found.set_index("identity")
            cells = []
            for series, identity in enumerate(identities):
                row: Any = by_identity.loc[identity]
                if row["samples"] and (
                    row["hits"] or identity == claimed
                ):  # zeros of other names stand in the table
                    points.append(
                        charts.Point(number, series, row["rate"], row["rate_low"], row["rate_high"])
                    )
                cells.append(
                    {
                        "text": percent(row["rate"], row["rate_low"], row["rate_high"]),
                        "zero": not row["hits"],
                    }
                )
            tokens = first["prompt_tokens_median"]
            rows.append(
                {
                    "target": target,
                    "arm": short_arm(str(arm)),
                    "tokens": "NA" if pd.isna(tokens) else f"{tokens:g}",
                    "samples": int(first["samples"]),
                    "cells": cells,
                    "missing": not_scored(first),
                }
            )
        if not rows:
            continue
        label = f"{probe}: share of replies by target and arm, with 95 % intervals; the same numbers stand in the table below"
        svg = (
            charts.forest([plain(label_) for label_ in labels], names, points, label)
            if identities
            else ""
        )
        made.append(Picture(probe, TITLES[measure], svg, names, rows))
    return made


def recitals(keeper: Keeper, campaign: Campaign) -> list[dict[str, Any]]:
    """The longest recital of each arm of the suspects, then of each other target, beside the text that it has."""
    texts = {b.file: b for b in load_backstories()}
    suspects = {t.name for t in campaign.targets if t.role == "suspect"}
    chosen: dict[tuple[str, str], Scored] = {}
    for (target, arm, _), (share, _, scored) in sorted(
        keeper.recitals.items(),
        key=lambda item: (item[0][0] not in suspects, -item[1][0], item[1][1]),
    ):
        if share >= RECITED_IN_PART:
            chosen.setdefault((target, arm if target in suspects else ""), scored)
    made = []
    for scored in list(chosen.values())[:RECITALS]:
        recited = scored.overlap
        assert recited is not None
        text = scored.row["text"]
        reference = texts[str(recited.reference)]
        passages = [text[run.start : run.end] for run in recited.runs]
        made.append(
            {
                "target": scored.row["target"],
                "arm": scored.row["arm"],
                "trial": f"{scored.row['trial']}/{scored.row['sample']}",
                "question": msgspec.json.decode(scored.row["messages"])[-1]["content"],
                "identity": name_of("name", str(recited.identity)),
                "share": f"{100 * recited.reference_share:.0f}",
                "run": recited.longest_run,
                "odds": f"{recited.log10_odds:.0f}",
                "p": f"{recited.p_value:.2g}" if recited.p_value else "under 1e-300",
                "rarest": f"{max(run.rarity for run in recited.runs):.0f}",
                "entities": recited.entities,
                "reply": _around(
                    text, [(run.start, run.end, f"{run.rarity:.0f}") for run in recited.runs]
                ),
                "reference": _pieces(reference.text, _found_in(reference.text, passages)),
                "file": reference.file,
                "stand_in": reference.stand_in,
            }
        )
    return made


def _around(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str | None]]:
    """The part of a reply that holds its spans, as `_pieces`."""
    start = max(0, min(s for s, _, _ in spans) - LONGEST // 8) if len(text) > LONGEST else 0
    part = text[start : start + LONGEST]
    pieces = _pieces(
        part,
        [
            (s - start, e - start, note)
            for s, e, note in spans
            if s >= start and e <= start + len(part)
        ],
    )
    return [
        *([("... ", None)] if start else []),
        *pieces,
        *([(" ...", None)] if start + LONGEST < len(text) else []),
    ]


def _pieces(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str | None]]:
    """A text in pieces: (piece, note of the span that it is, or None)."""
    made: list[tuple[str, str | None]] = []
    at = 0
    for start, end, note in sorted(spans):
        if start < at:
            continue
        made += [(plain(text[at:start]), None), (plain(text[start:end]), note)]
        at = end
    made.append((plain(text[at:]), None))
    return [piece for piece in made if piece[0]]


def _found_in(reference: str, passages: list[str]) -> list[tuple[int, int, str]]:
    """Where passages of a reply stand in the reference, word for word."""
    said, where = words(reference), places(reference)
    spans = []
    for passage in passages:
        wanted = words(passage)
        for at in range(len(said) - len(wanted) + 1):
            if said[at : at + len(wanted)] == wanted:
                spans.append((where[at][0], where[at + len(wanted) - 1][1], ""))
                break
    return spans


class Heat(NamedTuple):
    """Rates of one identity: columns are targets and arms; rows are languages, and questions by language."""

    title: str
    columns: list[tuple[str, str]]
    languages: list[tuple[str, list[dict[str, Any] | None]]]
    questions: list[tuple[str, str, list[dict[str, Any] | None]]]


def heat_maps(run: Counted, tally: pd.DataFrame, campaign: Campaign) -> list[Heat]:
    """For the first probe of each measure, the claimed identity and the one that is named most."""
    made: list[Heat] = []
    asked = _asked(run)
    first = {measure_of(probe): probe for probe in reversed(campaign.probes)}
    for measure, probe in reversed(first.items()):
        sides = [side for side in run.groups() if side[2] == probe]
        for identity in _of_suspects(tally, campaign, probe, measure)[:2]:
            title = f"{probe}: {TITLES[measure]} {plain(name_of(measure, identity))}"
            made.append(_heat(run, asked, sides, run.held[measure, identity], title))
    return made


def _asked(run: Counted) -> dict[int, tuple[str, str]]:
    """The language and id of each question, by its number."""
    _, places = np.unique(run.questions, return_index=True)
    rows = run.samples.iloc[places]
    pairs = zip(rows["language"].astype(str), rows["question"].astype(str), strict=True)
    return dict(zip(run.questions[places].tolist(), pairs, strict=True))


def _heat(
    run: Counted,
    asked: dict[int, tuple[str, str]],
    sides: list[tuple[str, str, str, Any]],
    held: npt.NDArray[np.bool_],
    title: str,
) -> Heat:
    """Shares of one identity: for each question, and for each language, one cell a side."""
    counts = []
    for *_, places in sides:
        by = run.by_question(places, held)
        found = zip(*(part.tolist() for part in by), strict=True)
        counts.append({n: (hits, size) for n, hits, size in found})
    numbers = {int(n) for *_, places in sides for n in run.questions[places]}
    seen = sorted(numbers, key=lambda n: asked[n])
    questions, languages = [], []
    for n in seen:
        questions.append((*asked[n], [_cell([found.get(n)]) for found in counts]))
    for language in sorted({asked[n][0] for n in seen}):
        inside = [n for n in seen if asked[n][0] == language]
        languages.append((language, [_cell([found.get(n) for n in inside]) for found in counts]))
    columns = [(target, short_arm(arm)) for target, arm, *_ in sides]
    return Heat(title, columns, languages, questions)


def _cell(counts: list[tuple[int, int] | None]) -> dict[str, Any] | None:
    """Hits of so many and the shade; None where nothing was scored."""
    known = [count for count in counts if count]
    hits, of = sum(h for h, _ in known), sum(n for _, n in known)
    return (
        {
            "hits": hits,
            "of": of,
            "percent": f"{100 * hits / of:.0f}",
            "step": charts.steps(hits / of),
        }
        if of
        else None
    )


def _of_suspects(tally: pd.DataFrame, campaign: Campaign, probe: str, measure: str) -> list[str]:
    suspects = [t.name for t in campaign.targets if t.role == "suspect"] or [
        campaign.targets[0].name
    ]
    return shown(
        tally[tally["target"].isin(suspects)],
        probe,
        measure,
        claimed_identity(campaign, measure),
        IDENTITIES,
    )


def _comparisons(
    frame: pd.DataFrame, campaign: Campaign, tally: pd.DataFrame
) -> list[dict[str, Any]]:
    """The comparisons of the identities that matter, as text."""
    wanted = {
        (probe, measure_of(probe), identity)
        for probe in campaign.probes
        for identity in _of_suspects(tally, campaign, probe, measure_of(probe))[:3]
    }
    suspects = {t.name for t in campaign.targets if t.role == "suspect"}
    records: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    return [
        {
            "a": f"{row['target_a']} {short_arm(row['arm_a'])}",
            "b": f"{row['target_b']} {short_arm(row['arm_b'])}",
            "kind": row["comparison"],
            "suspect": row["target_a"] in suspects,
            "what": f"{row['probe']}: {plain(name_of(row['measure'], row['identity']))}",
            "rates": f"{100 * row['rate_a']:.1f} / {100 * row['rate_b']:.1f}",
            "difference": f"{100 * row['difference']:+.1f} ({100 * row['difference_low']:+.0f} to {100 * row['difference_high']:+.0f})",
            "p": "under 1e-15" if row["p_holm"] < 1e-15 else f"{row['p_holm']:.2g}",
            "sure": row["p_holm"] < 0.05,
        }
        for row in records
        if (row["probe"], row["measure"], row["identity"]) in wanted
    ]


def _weights(path: Path) -> dict[str, Any] | None:
    """A merge check that was written into the run's folder, with its picture."""
    if not path.is_file():
        return None
    from harness.weights import Found, picture

    found = msgspec.json.decode(path.read_bytes(), type=Found)
    return {"found": found, "svg": picture(found)}


def _prompts(keeper: Keeper) -> list[dict[str, Any]]:
    return [
        {
            "target": target,
            "arm": arm,
            "rendered": row["rendered_prompt"] and _cut(row["rendered_prompt"], LONGEST),
            "tokens": row["rendered_tokens"],
            "reported": row["prompt_tokens"],
            "injected": row["injected_text"] and _cut(row["injected_text"], LONGEST),
            "template": row["template_sha256"],
            "messages": [
                {"role": m["role"], "content": _cut(m["content"], LONGEST)}
                for m in msgspec.json.decode(row["messages"])
            ],
            "status": row["status"],
            "error": row["error"],
        }
        for (target, arm), row in keeper.prompts.items()
    ]


def transcripts(keeper: Keeper) -> str:
    """The drawn samples as JSON; texts are cut shorter until all of them fit."""
    drawn = sorted(
        itertools.chain.from_iterable(keeper.drawn.values()), key=lambda kept: kept.number
    )
    longest = LONGEST
    while (
        len(said := embedded([_transcript(kept.scored, longest) for kept in drawn])) * 1.5 > BYTES
        and longest > 50
    ):
        longest //= 2
    return said


def _transcript(scored: Scored, longest: int) -> list[Any]:
    """One sample, in the order that `page.js` reads."""
    row, verdict, text = scored.row, scored.verdict, scored.row["text"]
    spans = (
        [
            [e.start, e.end, e.role, e.identity]
            for e in sorted(verdict.evidence, key=lambda e: e.start)
            if e.end <= longest
        ]
        if verdict and text
        else []
    )
    return [
        f"{row['trial']}/{row['sample']}",
        row["target"],
        short_arm(row["arm"]),
        row["probe"],
        row["language"],
        row["question"],
        row["status"],
        verdict.stance if verdict else "",
        verdict.names if verdict else (),
        verdict.makers if verdict else (),
        _cut(msgspec.json.decode(row["messages"])[-1]["content"], longest),
        None if text is None else _cut(text, longest),
        _cut(row["reasoning"], longest) if row["reasoning"] else None,
        spans,
        _cut(row["error"], 500) if row["error"] else None,
    ]


def _cut(text: str, most: int) -> str:
    return (
        text
        if len(text) <= most
        else f"{text[:most]} ... (cut here; {len(text)} characters in samples.csv)"
    )


def method(errors: Confusion) -> str:
    """One line on the classifier's measured errors."""
    name = errors.measures.get("name")
    if name is None:
        return "not measured"
    found, right = stats.wilson(*name.sensitivity), stats.wilson(*name.specificity)
    return f"names found: {percent(name.sensitivity[0] / name.sensitivity[1], *found)} %, names not there and not found: {percent(name.specificity[0] / name.specificity[1], *right)} %"
