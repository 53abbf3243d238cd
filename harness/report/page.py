"""The report: one HTML file that opens without a network.

It holds the claim, the picture, the evidence and the method. Whatever a model, a host or a file
said is escaped (Jinja2 autoescape; JavaScript sets text, never markup), control and direction
characters are shown as code points, and a Content-Security-Policy allows this file's own style and
script alone, by hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
import pandas as pd

from harness import stats
from harness.campaign import Campaign, public_text
from harness.console import percent, plain
from harness.counting import Confusion, Scored, Scoring, Tables, error_rates, make_tables
from harness.journal import Run
from harness.report.keeper import Keeper
from harness.report.pictures import heat_maps, pictures
from harness.report.recitals import recitals
from harness.report.rows import measure_of, name_of, of_suspects, records, short_arm
from harness.report.shared import shared_words
from harness.report.terminal import injected, told_of
from harness.report.transcripts import prompts, transcripts
from harness.tables import write_bytes

HERE: Final = Path(__file__).parent
#: Kinds of failures that the page lists at most.
FAILURES: Final = 50
#: Identities of a probe whose comparisons the page lists at most.
COMPARED: Final = 3


def write_page(
    run: Run,
    campaign: Campaign,
    to: Path,
    errors: Confusion | None = None,
    look: Callable[[Scored], None] = lambda scored: None,
    scoring: Scoring | None = None,
    first: Sequence[str] = (),
) -> Tables:
    """Its tables into a run's folder, its page to ``to``; every sample is shown to ``look`` too.

    Raises
    ------
    RunError
        The run holds no sample, or the disk refuses; what stood at ``to`` before is still there.
    """
    errors = errors or error_rates()
    keeper = Keeper(len(campaign.targets) * len(campaign.arms) * len(campaign.probes))

    def both(scored: Scored) -> None:
        keeper(scored)
        look(scored)

    tables = make_tables(
        run.journal, campaign, run.folder, errors=errors, look=both, scoring=scoring
    )
    page = render(run, campaign, tables, keeper, errors, first)
    write_bytes(page.encode("utf-8", "replace"), to)
    return tables


def render(
    run: Run,
    campaign: Campaign,
    tables: Tables,
    keeper: Keeper,
    errors: Confusion,
    first: Sequence[str] = (),
) -> str:
    """The page as text; ``first`` is said before any verdict."""
    script, style = asset("page.js"), asset("page.css")
    page = page_templates().get_template("page.html.j2")
    return page.render(
        campaign=campaign,
        unfinished=first,
        claim_name=name_of("name", campaign.claim.identity) if campaign.claim else None,
        errors=errors,
        classifier=method(errors),
        script=script,
        style=style,
        policy=policy(style, script),
        **_of_run(run),
        **_of_tables(tables, campaign),
        **_of_samples(keeper, campaign),
    )


def _of_run(run: Run) -> dict[str, Any]:
    """What is known of the run beside its samples."""
    record = run.journal.record
    known = record.describe() or {}
    inspections = sorted(run.folder.glob("inspect-*.json"))
    return {
        "run": run.name,
        "created": str(known.get("created", ""))[:19].replace("T", " "),
        "known": {**known, "campaign_source": public_text(str(known.get("campaign_source", "")))},
        "versions": sorted(msgspec.json.decode(known.get("versions") or "{}").items()),
        "capabilities": record.capabilities(),
        "notes": record.notes(),
        "weights": _weights(run.folder / "weights.json"),
        "inspections": [msgspec.json.decode(path.read_bytes()) for path in inspections],
    }


def _of_tables(tables: Tables, campaign: Campaign) -> dict[str, Any]:
    """What was counted: the story, its pictures, its comparisons."""
    templates = injected(tables.samples)
    return {
        "templates": templates,
        "told": told_of(tables, campaign),
        "samples": len(tables.samples),
        "pictures": pictures(tables.tally, campaign),
        "heat": heat_maps(tables.run, tables.tally, campaign),
        "comparisons": _comparisons(tables.comparisons, campaign, tables.tally),
        "shared": shared_words(tables.recitals, campaign),
    }


def _of_samples(keeper: Keeper, campaign: Campaign) -> dict[str, Any]:
    """What single samples show."""
    return {
        "recitals": recitals(keeper, campaign),
        "prompts": prompts(keeper),
        "failures": keeper.failures.most_common(FAILURES),
        "more_failures": max(0, len(keeper.failures) - FAILURES),
        "transcripts": transcripts(keeper),
        "shown_transcripts": min(keeper.seen, sum(map(len, keeper.drawn.values()))),
    }


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
    return (
        f"default-src 'none'; {own}style-src 'sha256-{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def asset(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _comparisons(
    frame: pd.DataFrame, campaign: Campaign, tally: pd.DataFrame
) -> list[dict[str, Any]]:
    """The comparisons of the identities that matter, as text."""
    wanted = {
        (probe, measure_of(probe), identity)
        for probe in campaign.probes
        for identity in of_suspects(tally, campaign, probe, measure_of(probe), COMPARED)
    }
    suspects = {t.name for t in campaign.targets if t.role == "suspect"}
    return [
        _comparison(row) | {"suspect": row["target_a"] in suspects}
        for row in records(frame)
        if (row["probe"], row["measure"], row["identity"]) in wanted
    ]


def _comparison(row: dict[str, Any]) -> dict[str, Any]:
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    return {
        "a": f"{row['target_a']} {short_arm(row['arm_a'])}",
        "b": f"{row['target_b']} {short_arm(row['arm_b'])}",
        "kind": row["comparison"],
        "what": f"{row['probe']}: {plain(name_of(row['measure'], row['identity']))}",
        "rates": f"{100 * row['rate_a']:.1f} / {100 * row['rate_b']:.1f}",
        "difference": f"{100 * row['difference']:+.1f} ({low:+.0f} to {high:+.0f})",
        "p": _p(row["p_holm"]),
        "p_by_question": _p(row["p_by_question_holm"]),
        "sure": row["p_holm"] < 0.05,
    }


def _p(value: float) -> str:
    if pd.isna(value):
        return "NA"
    return "under 1e-15" if value < 1e-15 else f"{value:.2g}"


def _weights(path: Path) -> dict[str, Any] | None:
    """A merge check that was written into the run's folder, with its picture."""
    if not path.is_file():
        return None
    from harness.weights import Found, picture

    found = msgspec.json.decode(path.read_bytes(), type=Found)
    return {"found": found, "svg": picture(found)}


def method(errors: Confusion) -> str:
    """One line on the classifier's measured errors."""
    name = errors.measures.get("name")
    if not name:
        return "not measured"
    said = (
        f"{band} words: names found {_share(e.sensitivity)}, none found that is not there "
        f"{_share(e.specificity)}"
        for band, e in name.items()
    )
    return "; ".join(said)


def _share(counts: tuple[int, int]) -> str:
    right, of = counts
    if not of:
        return "not measured"
    return f"{percent(right / of, *stats.wilson(right, of))} %"
