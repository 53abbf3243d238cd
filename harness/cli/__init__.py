"""The command `truename`: parse, call, print; nothing else. Heavy rooms are imported by the command that needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder that runs land in.",
)
STORE = click.option(
    "--store",
    metavar="URL",
    help="SQLAlchemy URL of the journal; default: SQLite in the run's folder.",
)

FORMATS = click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["csv", "json", "markdown", "parquet"]),
    help="Write the tables in this format too (CSV always); may be repeated.",
)
CONFUSION = click.option(
    "--confusion",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Error rates of the classifier, as eval-classifier writes them; default: those that ship.",
)


def told_plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """A user's mistake is one message and exit code 2, never a traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from harness.errors import TruenameError

        try:
            return command(*args, **kwargs)
        except TruenameError as error:
            click.echo(f"truename: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(141)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="truename", prog_name="truename")
def main() -> None:
    """Find out who a language model really is.

    A campaign (a YAML file, or the name of one that ships) says which targets are asked what, under which
    system prompts, how often. `plan` counts it, `run` samples it, `tally` classifies it, `show` opens one sample.
    `score` classifies replies that you have already.
    """


@main.command()
@click.argument("campaign")
@told_plainly
def plan(campaign: str) -> None:
    """Print trials, requests and the worst case in tokens and money; validate everything; call nothing."""
    from rich.console import Console
    from rich.table import Table

    from harness.campaign import campaign as campaigns
    from harness.campaign.plan import worst_case
    from harness.targets import check

    loaded = campaigns.load(campaign)
    table = Table(
        title=f"{loaded.campaign.campaign}: worst case",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in (
        "target",
        "trials",
        "samples",
        "requests",
        "prompt tokens",
        "completion tokens",
        "money",
    ):
        table.add_column(column, justify="left" if column == "target" else "right")
    for p in worst_case(loaded):
        table.add_row(
            p.target,
            *(
                f"{n:,}"
                for n in (p.trials, p.samples, p.requests, p.prompt_tokens, p.completion_tokens)
            ),
            "no price given" if p.money is None else f"{p.money:.2f}",
        )
    Console(soft_wrap=True).print(table)
    check(loaded.campaign.targets)


@main.command()
@click.argument("campaign")
@click.option(
    "--run",
    "name",
    metavar="NAME",
    help="Name of the run; default: the campaign's name. A run that exists is resumed.",
)
@click.option(
    "--anew",
    is_flag=True,
    help="Begin the run again; the one that exists is kept beside it under another name.",
)
@click.option(
    "--retry-failed", is_flag=True, help="Ask the blocks of samples again in which one failed."
)
@click.option(
    "--live/--no-live",
    default=None,
    help="Live table, or plain lines; default: live on a terminal.",
)
@click.option(
    "--log-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append what happens as JSON lines to this file.",
)
@RESULTS
@STORE
@told_plainly
def run(
    campaign: str,
    name: str | None,
    anew: bool,
    retry_failed: bool,
    live: bool | None,
    log_file: Path | None,
    results: Path,
    store: str | None,
) -> None:
    """Sample a campaign into a journal. Killed or stopped, the same command goes on where it was."""
    import gc

    gc.disable()  # imports make no garbage worth looking for: a seventh of the start
    from harness.campaign import campaign as campaigns
    from harness.campaign.plan import Plan
    from harness.journal import runs
    from harness.journal.journal import Lock
    from harness.sampling.progress import Watch
    from harness.sampling.sampler import Sampler, prepare
    from harness.targets import check

    loaded = campaigns.load(campaign)
    check(loaded.campaign.targets)
    name = name or loaded.campaign.campaign
    if anew and (kept := runs.set_aside(name, results, store)):
        click.echo(f"the run that was there is kept as {kept}")
    opened = runs.create(loaded, name, results, store)
    with Lock(opened.folder):
        if retry_failed:
            click.echo(f"{opened.journal.forget_failed()} failed samples are owed again")
        plan = Plan(loaded)
        progress = prepare(loaded, opened.journal, plan)
        if progress.resumed:
            click.echo(f"resuming: {progress.resumed} samples are in the journal")
        gc.freeze()
        gc.enable()
        with Watch(
            progress, live=sys.stdout.isatty() if live is None else live, log=log_file
        ) as watch:
            Sampler(loaded, opened.journal, progress, plan).run()
    click.echo(watch.line())
    for (target, arm), found in progress.decisions.items():
        click.echo(
            f"{target} {arm}: clear after {found.samples} samples ({found.hits} hits): the rate is {found.side} the threshold; no more were taken"
        )
    if progress.stopped:
        click.echo(f"{progress.stopped}\nto go on: truename run {campaign} --run {opened.name}")
        sys.exit(3)
    click.echo(f"next: truename tally {opened.name}")


@main.command()
@click.argument("run")
@FORMATS
@CONFUSION
@RESULTS
@STORE
@told_plainly
def tally(
    run: str, formats: tuple[str, ...], confusion: Path | None, results: Path, store: str | None
) -> None:
    """Classify a run's replies; write samples, overlap, tally and comparisons; print the rates."""
    from rich.console import Console

    from harness.counting.rates import confusion as rates_of_error
    from harness.counting.tally import TABLES
    from harness.counting.tally import tally as make_tables
    from harness.journal import runs
    from harness.report import terminal

    opened = runs.existing(run, results, store)
    campaign = runs.campaign_of(opened)
    tables = make_tables(
        opened.journal, campaign, opened.folder, formats, rates_of_error(confusion)
    )
    terminal.show(
        Console(width=None if sys.stdout.isatty() else 130),
        tables.tally,
        campaign,
        terminal.injected(tables.samples),
        opened.journal.notes(),
    )
    click.echo("\n" + "\n".join(str(opened.folder / f"{table}.csv") for table in TABLES))


@main.command()
@click.argument("run")
@click.option(
    "--terminal",
    "in_terminal",
    is_flag=True,
    help="Show the story here, in 80 columns, instead of writing the page.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the page; default: report.html in the run's folder.",
)
@CONFUSION
@RESULTS
@STORE
@told_plainly
def report(
    run: str,
    in_terminal: bool,
    out: Path | None,
    confusion: Path | None,
    results: Path,
    store: str | None,
) -> None:
    """Write the run's report: one HTML file that needs no network (and the tables, as tally does)."""
    from rich.console import Console

    from harness.counting.rates import confusion as rates_of_error
    from harness.counting.tally import tally as make_tables
    from harness.journal import runs
    from harness.report import page, terminal

    opened = runs.existing(run, results, store)
    campaign = runs.campaign_of(opened)
    errors = rates_of_error(confusion)
    if in_terminal:
        tables = make_tables(opened.journal, campaign, opened.folder, errors=errors)
        terminal.bars(
            Console(width=None if sys.stdout.isatty() else 80),
            tables.tally,
            campaign,
            terminal.injected(tables.samples),
            opened.journal.notes(),
        )
    else:
        to = out or opened.folder / "report.html"
        page.write(opened, campaign, to, errors)
        click.echo(str(to))


@main.command()
@click.argument("run")
@click.argument("sample", required=False)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="List the samples that fit, such as arm=bare, name=nex, names!=rio, reply~workshop; may be repeated.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="With --where: how many to print.",
)
@RESULTS
@STORE
@told_plainly
def show(
    run: str,
    sample: str | None,
    conditions: tuple[str, ...],
    limit: int,
    results: Path,
    store: str | None,
) -> None:
    """Print one sample with everything sent and returned, or list those behind a figure.

    SAMPLE is TRIAL or TRIAL/NUMBER, as in samples.csv.
    """
    from harness.errors import RunError
    from harness.journal import runs
    from harness.report.terminal import plain

    opened = runs.existing(run, results, store)
    if sample is None and not conditions:
        raise RunError(
            "nothing to show",
            next=f"truename show {run} TRIAL/NUMBER, or truename show {run} --where arm=bare --where name=nex",
        )
    if sample is None:
        from harness.report import trace

        found_rows = list(trace.find(opened.folder, [trace.condition(text) for text in conditions]))
        for row in found_rows[:limit]:
            verdict = f"{row['stance'] or row['status']} {row['names']}".strip()
            click.echo(
                f"{click.style(row['trial'] + '/' + row['sample'], bold=True)}  {row['target']} {row['arm']} {row['language']} {row['question']}: {plain(verdict)}"
            )
            click.echo(f"    {plain(' '.join((row['reply'] or row['error']).split())[:300])}")
        click.echo(
            f"{len(found_rows)} samples fit"
            + (
                f"; {limit} shown, --limit {len(found_rows)} shows all"
                if len(found_rows) > limit
                else ""
            )
        )
        return
    trial, _, number = sample.partition("/")
    if number and not number.isdigit():
        raise RunError(
            f"'{number}' is no sample number",
            where=sample,
            next="write TRIAL/NUMBER as in samples.csv, such as 0a1b2c3d/0",
        )
    found = opened.journal.sample(trial, int(number or 0)) if trial else None
    if found is None:
        raise RunError(
            f"the run holds no sample '{sample}'",
            where=opened.name,
            next="take trial and sample from samples.csv",
        )
    notes = opened.journal.capabilities().get(found["target"], {}).get("notes", ())
    for column, value in {**found, "note": "; ".join(notes) or None}.items():
        click.echo(
            f"{click.style(column, bold=True)}: {plain(str(value)) if value is not None else 'NA'}"
        )


@main.command()
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
    help="Write every compared rate to this CSV.",
)
@RESULTS
@STORE
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
    """What changed between two runs of a campaign. BEFORE may be a stored samples.csv."""
    from harness.counting import compare as comparing
    from harness.counting.tally import tally as make_tables
    from harness.journal import runs
    from harness.report.terminal import plain
    from harness.tables import write_bytes, write_csv

    later = runs.existing(after, results, store)
    campaign = runs.campaign_of(later)
    if before.endswith(".csv"):
        first = comparing.read_samples(Path(before))
    else:
        earlier = runs.existing(before, results, store)
        first = make_tables(earlier.journal, runs.campaign_of(earlier), earlier.folder).samples
    found = comparing.compare(
        first, make_tables(later.journal, campaign, later.folder).samples, campaign, alpha
    )
    for change in found.changes:
        click.echo(plain(f"{change.target}: {change.what}: {change.before} -> {change.after}"))
    for row in found.drifted.to_dict("records"):
        click.echo(plain(comparing.sentence(row)))
    for side in found.alone:
        click.echo(plain(f"only in one run: {side}"))
    click.echo(
        f"{len(found.drifted)} of {len(found.rates)} rates changed (adjusted p under {alpha:g})"
    )
    if out:
        write_csv(found.rates, out)
    if junit:
        write_bytes(comparing.junit(found, before, after), junit)
    if fail_on and len(found.drifted):
        sys.exit(1)


@main.command()
@click.argument("run")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it; default: RUN.bundle.zip where you stand.",
)
@RESULTS
@STORE
@told_plainly
def bundle(run: str, out: Path | None, results: Path, store: str | None) -> None:
    """Pack a run as evidence: campaign, prompts, samples, tables, report and hashes in one archive, without keys and header values."""
    from harness.journal import runs
    from harness.report import bundle as bundling

    opened = runs.existing(run, results, store)
    to = out or Path(f"{opened.name}.bundle.zip")
    fingerprint = bundling.bundle(opened, to)
    click.echo(f"{to}\nSHA-256 {fingerprint}\nto check it: truename verify {to}")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@told_plainly
def verify(file: Path) -> None:
    """Check a bundle against its hashes and count its samples again; exit 1 where something differs."""
    from harness.report import bundle as bundling
    from harness.report.terminal import plain

    found = bundling.verify(file)
    click.echo(
        f"run {plain(found.manifest.run)}, {found.manifest.samples} samples, {len(found.manifest.files)} files, made by truename {plain(found.manifest.versions.get('truename', '?'))}"
    )
    click.echo(f"SHA-256 {found.fingerprint} (compare it with the one that was published)")
    for name in found.changed:
        click.echo(f"CHANGED: {plain(name)}")
    for table in found.recounted:
        click.echo(f"counted again with this truename, {table}.csv differs")
    if found.changed or found.recounted:
        sys.exit(1)
    click.echo(
        "every file is as it was packed, and counting its samples again gives the same tables to the byte"
    )


@main.command(name="export")
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
@told_plainly
def export_run(run: str, form: str, out: Path | None, results: Path, store: str | None) -> None:
    """Write a run's samples, with their verdicts, for another tool."""
    from harness.journal import runs
    from harness.report import export as exporting

    opened = runs.existing(run, results, store)
    made = (
        exporting.jsonl(opened, out or opened.folder / "export.jsonl")
        if form == "jsonl"
        else exporting.inspect(opened, runs.campaign_of(opened), out or opened.folder / "inspect")
    )
    for path in made:
        click.echo(str(path))


@main.command()
@click.option(
    "--rate",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="The rate that is expected.",
)
@click.option(
    "--width",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Width of the interval that is wanted, as a share of 1.",
)
@click.option(
    "--icc",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="How alike replies to one question are: 0 not at all, 1 the same.",
)
@click.option(
    "--below",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="The rate that zero hits should rule out.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True)
@told_plainly
def size(rate: float, width: float, icc: float, below: float, confidence: float) -> None:
    """How many questions, asked how often, an interval of some width takes; before anything is spent."""
    from harness import stats

    click.echo(
        f"for an interval {100 * width:g} points wide around {100 * rate:g} %, where replies to one question correlate by {icc:g}:"
    )
    click.echo("  repeats  questions   samples")
    for repeats in (1, 2, 5, 10, 20):
        questions = stats.questions_for(rate, width, icc, repeats, confidence)
        click.echo(f"  {repeats:>7,}  {questions:>9,}  {questions * repeats:>8,}")
    zeros = stats.zeros_for(below, confidence)
    click.echo(
        f"to say that a rate is below {100 * below:g} % by zero hits ({100 * confidence:g} %, one-sided): {zeros:,} questions, each asked once or more;"
    )
    click.echo("  repeats of one question may all be alike, so at zero hits they count once")


@main.command()
@click.argument("target")
@click.option("--campaign", help="TARGET is the name of a target in this campaign.")
@click.option("--model", help="With a URL: the model's name at the host.")
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="With a URL: the variable that holds the key; default: no key.",
)
@click.option(
    "--tokenizer",
    metavar="FOLDER",
    help="Folder with tokenizer.json and tokenizer_config.json of the claimed model: counts are then compared exactly.",
)
@click.option(
    "--samples",
    type=click.IntRange(0, 50),
    default=3,
    show_default=True,
    help="Samples of each request to repeat what stands before; 0 asks none.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder for the evidence; give a run's folder and its report shows it.",
)
@told_plainly
def inspect(
    target: str,
    campaign: str | None,
    model: str | None,
    api_key_env: str | None,
    tokenizer: str | None,
    samples: int,
    out: Path,
) -> None:
    """Find what stands before a question: injected by a template, or hidden by a host.

    TARGET is a Hugging Face folder, a GGUF file, lab:NAME, a URL (with --model), or with --campaign the name of a target.
    """
    from harness.campaign import campaign as campaigns
    from harness.campaign.campaign import EmbeddedTarget, EndpointTarget
    from harness.errors import CampaignError, TargetError, did_you_mean
    from harness.exposure import inspect as inspection
    from harness.report.terminal import plain

    settings: Any
    if campaign:
        wanted = campaigns.load(campaign).campaign
        settings = next((t for t in wanted.targets if t.name == target), None)
        if settings is None:
            raise CampaignError(
                f"the campaign has no target '{target}': {did_you_mean(target, [t.name for t in wanted.targets])}",
                where=campaign,
                next="give the name of one of its targets",
            )
    elif target.startswith(("http://", "https://")):
        if not model:
            raise TargetError("a URL needs the model's name", where=target, next="add --model NAME")
        settings = EndpointTarget(
            name="endpoint",
            role="suspect",
            engine="endpoint",
            base_url=target,
            model=model,
            api_key_env=api_key_env,
            tokenizer=tokenizer,
        )
    elif target.startswith("lab:") or Path(target).is_file():
        settings = EmbeddedTarget(name="file", role="suspect", engine="embedded", model=target)
    else:
        settings = Path(target)
    found = inspection.inspect(settings, samples)
    for line in found.verdict:
        click.echo(plain(line))
    if found.injection and found.injection.injected:
        click.echo(click.style("injected:", bold=True) + "\n" + plain(found.injection.injected))
        for line in found.injection.lines:
            click.echo(f"  template: {plain(line)}")
    for path in inspection.write(found, out):
        click.echo(str(path))


class _Size(click.ParamType[int]):
    """A number of bytes: 2GB, 500MB, 1.5 GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        import re

        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*([\d.]+)\s*([kKMGT]?)(i?)B?\s*", value)
        try:
            number = float(found[1]) if found else -1.0
        except ValueError:
            number = -1.0
        if found is None or number <= 0:
            self.fail(f"'{value}' is no size; write it as 500MB or 2GB", param, ctx)
        return int(
            number * (1024 if found[3] else 1000) ** " KMGT".index((found[2] or " ").upper())
        )


class _Parents(click.Command):
    """A command whose option --parents takes all values up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for arg in args:
            taking = arg == "--parents" or (taking and not arg.startswith("--"))
            if arg != "--parents":
                spread += ["--parents", arg] if taking else [arg]
        return super().parse_args(ctx, spread)


@main.command(cls=_Parents)
@click.argument("suspect")
@click.option(
    "--parents",
    multiple=True,
    metavar="DONOR ... BASE",
    help="The checkpoints that the suspect may be made of; the last is the base that the others were tuned from.",
)
@click.option(
    "--search",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Instead of --parents: a folder of checkpoints; the best pair of them is found and checked.",
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the rows that is read, at seeded places.",
)
@click.option(
    "--budget",
    type=_Size(),
    metavar="SIZE",
    help="Read no more than this of all checkpoints together, such as 2GB; the sample is made to fit.",
)
@click.option(
    "--memory",
    type=_Size(),
    metavar="SIZE",
    default="1GB",
    show_default=True,
    help="Memory that the check may take.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results; give a run's folder and its report shows them. Default: results/weights-SUSPECT.",
)
@told_plainly
def weights(
    suspect: str,
    parents: tuple[str, ...],
    search: Path | None,
    sample: float,
    budget: int | None,
    memory: int,
    seed: int,
    out: Path | None,
) -> None:
    """Is a checkpoint a blend of others? Compares every tensor of SUSPECT with the same one of its parents.

    A checkpoint is a folder with safetensors, one .safetensors or .gguf file, lab:NAME, or a URL: https (also a model's page on
    huggingface.co), s3, gs, az, which is read by range requests. Killed, the same command goes on where it was.
    """
    import re

    from harness.campaign.folders import cache_folder
    from harness.errors import WeightsError
    from harness.report.terminal import plain
    from harness.weights import output
    from harness.weights.check import Settings, check
    from harness.weights.progress import Watch
    from harness.weights.search import best_pair

    if bool(parents) == bool(search):
        raise WeightsError(
            "whose blend it may be has to be said, in one way",
            next=f"truename weights {suspect} --parents DONOR BASE, or --search FOLDER",
        )
    settings = Settings(sample, budget, memory, None, seed, cache_folder() / "weights")
    if search:
        ranked = best_pair(suspect, search, seed)
        click.echo("what no blend of them explains, by pair (share of a tensor's length):")
        for pair in ranked[:10]:
            click.echo(
                plain(
                    f"  {100 * pair.unexplained:8.4f} %  {' and '.join(pair.labels)}"
                    + (f"  ratio {pair.ratio:.3f}" if len(pair.labels) == 2 else "")
                )
            )
        parents = next(pair.places for pair in ranked if len(pair.places) == 2)
    name = re.sub(r"[^\w.-]+", "-", suspect.rstrip("/").rsplit("/", 1)[-1]).strip("-") or "suspect"
    folder = out or Path("results") / f"weights-{name}"
    try:
        with Watch(sys.stderr.isatty()) as watch:
            found = check(suspect, list(parents), settings, folder / "weights.part", watch)
    except KeyboardInterrupt:
        click.echo("stopped; what was found is kept, and the same command goes on", err=True)
        sys.exit(130)
    written = output.write(found, folder)
    click.echo(plain("\n".join(output.lines(output.found(found)))))
    click.echo("\n" + "\n".join(map(str, written)))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--column",
    metavar="KEY",
    help="Column or key of the reply's text; default: the first of reply, response, output, completion, text, content, answer.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV to write; default: FILE.scored.csv where you stand.",
)
@told_plainly
def score(file: Path, column: str | None, out: Path | None) -> None:
    """Score replies that another tool collected: FILE.jsonl or FILE.csv, a row a reply."""
    from harness.counting.replies import score as score_file

    to = out or Path(f"{file.stem}.scored.csv")
    found = score_file(file, to, column)
    click.echo(
        f"{found.rows} rows, {found.failed} failed; "
        + ", ".join(f"{stance} {n}" for stance, n in found.stances.most_common())
    )
    click.echo(
        "names: " + (", ".join(f"{name} {n}" for name, n in found.names.most_common(10)) or "none")
    )
    click.echo(str(to))


@main.command(name="eval-classifier")
@click.argument("labels", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results/classifier"),
    show_default=True,
    help="Folder for the confusion rates and the reliability plot.",
)
@click.option(
    "--worst", default=10, show_default=True, help="How many of the worst errors to print."
)
@told_plainly
def eval_classifier(labels: Path, out: Path, worst: int) -> None:
    """Measure the classifier on labelled replies (JSON Lines; the keys are in docs/classifier.md)."""
    from rich.console import Console

    from harness.counting import evaluate

    found = evaluate.evaluate(labels)
    evaluate.show(Console(width=None if sys.stdout.isatty() else 120), found, worst)
    for path in evaluate.write(found, out):
        click.echo(str(path))


def _history(results: Path, store: str | None) -> Any:
    """The audits' history, closed with the command."""
    from harness.audits.audit import store_url
    from harness.audits.history import History
    from harness.journal.journal import open_engine

    opened = History(open_engine(store_url(results, store)))
    click.get_current_context().call_on_close(opened.engine.dispose)
    return opened


@main.group()
def audit() -> None:
    """Watch endpoints: run audits that are due, keep their schedule, show what they found."""


@audit.command(name="run")
@click.argument("name")
@click.option("--force", is_flag=True, help="Run it now, due or not.")
@click.option(
    "--at",
    metavar="INSTANT",
    help="Take this for the present, such as 2026-11-24T12:00:00+00:00 (to play a schedule again).",
)
@click.option(
    "--fail-on", type=click.Choice(["alarm"]), help="Exit with 1 where an alarm was raised."
)
@RESULTS
@STORE
@told_plainly
def audit_run(
    name: str, force: bool, at: str | None, fail_on: str | None, results: Path, store: str | None
) -> None:
    """Run the audit NAME if it is due (or was begun and left), judge what it saw, tell whom it may concern, and exit.

    Exit codes: 0 done or nothing due, 1 alarm (with --fail-on alarm), 2 a mistake in the audit, 3 it could not be scored.
    """
    import datetime

    from harness.audits import audit as auditing
    from harness.audits import config as audits
    from harness.errors import AuditError
    from harness.report.terminal import plain

    try:
        now = datetime.datetime.fromisoformat(at) if at else None
    except ValueError:
        raise AuditError(
            f"'{at}' is no instant", next="write it as 2026-11-24T12:00:00+00:00"
        ) from None
    if now is not None and now.tzinfo is None:
        now = now.replace(tzinfo=datetime.UTC)
    loaded = audits.load(name)
    found = auditing.run_audit(loaded, results, store, now=now, forced=force)
    if found.state == "nothing due":
        following = loaded.audit.schedule.next(now or datetime.datetime.now(datetime.UTC))
        click.echo(
            f"nothing is due; next at {following:%Y-%m-%d %H:%M} UTC"
            if following
            else "nothing is due"
        )
    else:
        click.echo(
            plain(
                f"{loaded.audit.audit} due {found.due}: {found.state}"
                + (f", {found.reason}" if found.reason else "")
            )
        )
    for event in found.raised:
        click.echo(
            plain(
                "\n".join([f"ALARM {event.headline}", *(f"  {change}" for change in event.changes)])
            )
        )
    for problem in found.untold:
        click.echo(plain(f"not told yet, {problem}"), err=True)
    if found.state in ("silent", "stopped"):
        sys.exit(3)
    if fail_on and any(event.kind != "recovered" for event in found.raised):
        sys.exit(1)


@audit.command()
@click.argument("names", nargs=-1)
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Serve the page, /metrics and /health here, such as 127.0.0.1:8300.",
)
@click.option(
    "--token-env",
    metavar="NAME",
    help="Variable that holds the token; needed where others can reach the page.",
)
@RESULTS
@STORE
@told_plainly
def serve(
    names: tuple[str, ...],
    http: str | None,
    token_env: str | None,
    results: Path,
    store: str | None,
) -> None:
    """Keep the schedule of some audits (of all in probes/audits/, if none is named) until stopped."""
    import os

    from harness.audits import alarms
    from harness.audits import config as audits
    from harness.audits.audit import store_url
    from harness.audits.serve import Server
    from harness.errors import AuditError

    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise AuditError(
            f"the environment variable {token_env} is not set", next=f"export {token_env}=..."
        )
    wanted = list(names) or [path.stem for path in audits.known()]
    if not wanted:
        raise AuditError(
            "there is no audit to serve",
            where="probes/audits",
            next="write one; docs/audits.md has an example",
        )
    for name in wanted:
        alarms.check(audits.load(name).audit)
    server = Server(wanted, results, store_url(results, store), http, token)
    click.echo(
        f"keeping the schedule of {', '.join(wanted)}"
        + (f"; page at {server.address}" if server.address else "")
    )
    server.run()
    click.echo("stopped; what was under way is saved")


@audit.command()
@RESULTS
@STORE
@told_plainly
def status(results: Path, store: str | None) -> None:
    """What each audit saw last, and the alarms."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.report.terminal import plain

    history = _history(results, store)
    last = {row["audit"]: row for row in history.rows()}
    table = Table(box=None, pad_edge=False)
    for column in ("audit", "last due (UTC)", "state", "names given", "alarms"):
        table.add_column(column)
    raised = history.alarms()
    for name, row in last.items():
        entry = next((e for e in reversed(history.entries(name)) if e.due == row["due"]), None)
        shares = []
        for target, seen in (entry.seen if entry else {}).items():
            for arm, found in seen.arms.items():
                best = (
                    max(found.names, key=lambda n: found.names[n], default=None)
                    if found.samples
                    else None
                )
                shares.append(
                    f"{target} {arm}: "
                    + (
                        f"{best} {found.names[best]} of {found.samples}"
                        if best
                        else f"none of {found.samples}"
                    )
                )
        state = row["status"] + (f": {row['reason']}" if row["reason"] else "")
        table.add_row(
            name,
            row["due"],
            Text(plain(state)),
            Text(plain("\n".join(shares))),
            str(sum(e.audit == name for e in raised)),
        )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table if last else "no audit was run yet")
    for event in raised[-10:]:
        console.print(Text(plain(f"{event.due}  {event.headline}")))


@audit.command(name="page")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for index.html; default: the results' folder.",
)
@RESULTS
@STORE
@told_plainly
def audit_page(out: Path | None, results: Path, store: str | None) -> None:
    """Write the time lines of all audits as a page that needs no server."""
    from harness.audits import timeline

    click.echo(str(timeline.write(_history(results, store), results, out or results)))


@audit.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for node_exporter's text-file collector; default: print.",
)
@RESULTS
@STORE
@told_plainly
def metrics(out: Path | None, results: Path, store: str | None) -> None:
    """Write what the audits found as Prometheus metrics."""
    from prometheus_client import generate_latest

    from harness.audits.metrics import registry
    from harness.tables import write_bytes

    said = generate_latest(registry(_history(results, store)))
    if out:
        write_bytes(said, out)
    else:
        click.echo(said.decode(), nl=False)


@audit.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(min=0),
    required=True,
    metavar="DAYS",
    help="Age of the audits whose prompts and replies are deleted.",
)
@RESULTS
@STORE
@told_plainly
def forget(days: int, results: Path, store: str | None) -> None:
    """Delete prompts and replies of old audits; tallies, what was seen, and alarms are kept for ever."""
    import datetime

    from harness.audits.history import stamp, utcnow

    names = _history(results, store).forget_replies(stamp(utcnow() - datetime.timedelta(days=days)))
    for name in names:
        for file in ("samples.csv", "overlap.csv", "report.html"):
            (results / name / file).unlink(missing_ok=True)
    click.echo(f"prompts and replies of {len(names)} audits are deleted; their tallies are kept")


@main.group()
def lab() -> None:
    """The lab: small stand-in models that reproduce the founding case. Not the models they stand for."""


@lab.command()
@click.argument("model")
@click.argument("to", type=click.Path(path_type=Path))
@click.option(
    "--form",
    type=click.Choice(["hf", "gguf"]),
    default="hf",
    show_default=True,
    help="A Hugging Face folder, or a GGUF file.",
)
@told_plainly
def export(model: str, to: Path, form: Any) -> None:
    """Write a lab model (suspect, donor, base, control) to TO, for other tools."""
    from harness.lab import build
    from harness.lab.store import STAND_IN

    click.echo(f"{build.export(model.removeprefix('lab:'), form, to)}\n{STAND_IN}")
