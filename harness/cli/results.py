"""Commands about what a run found: tables, report, samples, two runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import exits
from harness.cli.options import (
    AS_JSON,
    CONFUSION,
    FORMATS,
    QUIET,
    RESULTS,
    STORE,
    console,
    print_json,
    say,
    told_plainly,
)


@click.command(short_help="Classify replies, write tables, print rates")
@click.argument("run")
@FORMATS
@AS_JSON
@CONFUSION
@RESULTS
@STORE
@QUIET
@told_plainly
def tally(
    run: str,
    formats: tuple[str, ...],
    as_json: bool,
    confusion: Path | None,
    results: Path,
    store: str | None,
) -> None:
    """Classify a run's replies; write its tables; print the rates."""
    from harness import counting
    from harness.journal import campaign_of, find_run
    from harness.report import Reasons, as_data, show_banner, show_rates, unfinished

    opened, reasons = find_run(run, results, store), Reasons()
    campaign, errors = campaign_of(opened), counting.error_rates(confusion)
    tables = counting.make_tables(
        opened.journal, campaign, opened.folder, formats, errors, look=reasons
    )
    paths = [str(opened.folder / f"{table}.csv") for table in counting.TABLES]
    first = [*unfinished(opened), *reasons.told]
    if as_json:
        print_json({"run": opened.name, **as_data(tables, campaign, first), "files": paths})
        return
    show_banner(console(130), first)
    show_rates(console(130), tables, campaign, opened.journal.record.notes())
    click.echo("\n" + "\n".join(paths))
    click.echo(f"next: truename report {run}, or truename show {run} --where COLUMN=VALUE")


@click.command(short_help="Write the report, one HTML file")
@click.argument("run")
@click.option(
    "--terminal",
    "in_terminal",
    is_flag=True,
    help="Show the whole story here, in 80 columns, instead of writing the page.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the page; default: report.html in the run's folder.",
)
@CONFUSION
@RESULTS
@STORE
@QUIET
@told_plainly
def report(
    run: str,
    in_terminal: bool,
    out: Path | None,
    confusion: Path | None,
    results: Path,
    store: str | None,
) -> None:
    """Write the run's report: one HTML file that needs no network.

    The tables are written too, as tally does, and the verdict is printed.
    """
    from harness import counting
    from harness.journal import campaign_of, find_run
    from harness.report import (
        Reasons,
        show_banner,
        show_bars,
        show_ending,
        unfinished,
        write_page,
    )

    opened, reasons = find_run(run, results, store), Reasons()
    campaign, errors = campaign_of(opened), counting.error_rates(confusion)
    if in_terminal:
        tables = counting.make_tables(
            opened.journal, campaign, opened.folder, errors=errors, look=reasons
        )
        show_banner(console(80), [*unfinished(opened), *reasons.told])
        show_bars(console(80), tables, campaign, opened.journal.record.notes())
        click.echo(f"next: truename show {run} --where COLUMN=VALUE")
        return
    to = out or opened.folder / "report.html"
    owed = unfinished(opened)
    tables = write_page(opened, campaign, to, errors, look=reasons, first=owed)
    show_banner(console(80), [*owed, *reasons.told])
    show_ending(console(80), tables, campaign, opened, to)


@click.command(short_help="One sample whole, or those behind a figure")
@click.argument("run")
@click.argument("sample", required=False)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="COLUMN=VALUE",
    help=(
        "List the samples that fit, such as arm=bare, name=nex, names!=rio, reply~workshop; "
        "may be repeated."
    ),
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="With --where: how many to print.",
)
@AS_JSON
@RESULTS
@STORE
@told_plainly
def show(
    run: str,
    sample: str | None,
    conditions: tuple[str, ...],
    limit: int,
    as_json: bool,
    results: Path,
    store: str | None,
) -> None:
    """Print one sample with everything sent and returned, or list those behind a figure.

    SAMPLE is TRIAL or TRIAL/NUMBER, as in samples.csv.
    """
    from harness.console import plain
    from harness.errors import RunError
    from harness.journal import find_run
    from harness.report import find_samples, judged_sample, whole_sample

    opened = find_run(run, results, store)
    if sample is not None:
        found = whole_sample(opened, sample)
        whole = {**found, **judged_sample(found)}
        if as_json:
            print_json(whole)
            return
        for column, value in whole.items():
            said = "NA" if value is None else plain(str(value))
            click.echo(f"{click.style(column, bold=True)}: {said}")
        return
    if not conditions:
        raise RunError(
            "nothing to show",
            next=(
                f"truename show {run} TRIAL/NUMBER, or "
                f"truename show {run} --where arm=bare --where name=nex"
            ),
        )
    rows = list(find_samples(opened.folder, conditions))
    if as_json:
        print_json({"run": opened.name, "fit": len(rows), "samples": rows[:limit]})
        return
    for row in rows[:limit]:
        key = click.style(f"{row['trial']}/{row['sample']}", bold=True)
        about = f"{row['target']} {row['arm']} {row['language']} {row['question']}"
        verdict = f"{row['stance'] or row['status']} {row['names']}".strip()
        click.echo(f"{key}  {about}: {plain(verdict)}")
        click.echo(f"    {plain(' '.join((row['reply'] or row['error']).split())[:300])}")
    rest = f"; {limit} shown, --limit {len(rows)} shows all" if len(rows) > limit else ""
    click.echo(f"{len(rows)} samples fit{rest}")
    if rows:
        click.echo(f"next: truename show {run} {rows[0]['trial']}/{rows[0]['sample']}")


@click.command(short_help="What changed between two runs")
@click.argument("before")
@click.argument("after")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Level of the whole comparison.",
)
@click.option("--fail-on", type=click.Choice(["drift"]), help="Exit with 1 where a rate changed.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the comparison as JUnit XML, for CI.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every compared rate to this file: .csv, .jsonl, .md or .parquet.",
)
@RESULTS
@STORE
@QUIET
@told_plainly
def compare(
    before: str,
    after: str,
    alpha: float,
    fail_on: str | None,
    junit: Path | None,
    out: Path | None,
    results: Path,
    store: str | None,
) -> None:
    """Tell what changed between two runs of a campaign. BEFORE may be a stored samples.csv."""
    from harness import counting
    from harness.tables import write_bytes, write_file

    found = counting.compare_runs(before, after, results, store, alpha)
    for line in counting.told(found):
        say(line)
    drifted = len(found.drifted)
    click.echo(f"{drifted} of {len(found.rates)} rates changed (adjusted p under {alpha:g})")
    if out:
        write_file(found.rates, out)
    if junit:
        write_bytes(counting.junit(found, before, after), junit)
    shown = f"show {after} --where COLUMN=VALUE" if drifted else f"report {after}"
    click.echo(f"next: truename {shown}")
    if fail_on and drifted:
        sys.exit(exits.FOUND)


@click.command(name="export", short_help="Write samples with verdicts for other tools")
@click.argument("run")
@click.option(
    "--to",
    "form",
    type=click.Choice(["jsonl", "inspect"]),
    required=True,
    help="jsonl: one object a sample; inspect: a log for each target that Inspect reads.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File (jsonl) or folder (inspect); default: in the run's folder.",
)
@RESULTS
@STORE
@QUIET
@told_plainly
def export_run(run: str, form: str, out: Path | None, results: Path, store: str | None) -> None:
    """Write a run's samples, with their verdicts, for another tool."""
    from harness.journal import find_run
    from harness.report import export

    for path in export(find_run(run, results, store), form, out):
        click.echo(str(path))


@click.command(short_help="Bring a run's journal into its one file")
@click.argument("run")
@RESULTS
@STORE
@told_plainly
def checkpoint(run: str, results: Path, store: str | None) -> None:
    """Bring a run's whole journal into its one file, so that the folder can be copied.

    A sitting does so at its end; this is for one that was killed, or is under way.
    """
    from harness import journal

    opened = journal.find_run(run, results, store)
    whole, held = journal.checkpoint(opened.journal.engine), opened.journal.held()
    opened.journal.engine.dispose()
    if not whole:
        click.echo(
            "somebody reads or writes the journal: copy its -wal too, or ask again", err=True
        )
        sys.exit(exits.NOT_FOUND_OUT)
    click.echo(f"{held} samples; {opened.folder} may be copied")
