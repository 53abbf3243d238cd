"""Commands about campaigns.

Plan one, run it, see what stands before a question, count what it takes.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import exits
from harness.cli.options import (
    AS_JSON,
    KEY,
    MODEL,
    OF_CAMPAIGN,
    QUIET,
    RESULTS,
    STORE,
    console,
    print_json,
    say,
    told_plainly,
)

if TYPE_CHECKING:
    from harness.campaign import Loaded


@click.command(short_help="Count a campaign's worst case; call nothing")
@click.argument("campaign")
@click.option(
    "--register",
    is_flag=True,
    help="Write digests of plan, prompts, thresholds, decision rule, references and software into "
    "the run's plan.json, before its first sample.",
)
@click.option("--run", "name", metavar="NAME", help="With --register: the run that it is for.")
@AS_JSON
@RESULTS
@told_plainly
def plan(campaign: str, register: bool, name: str | None, as_json: bool, results: Path) -> None:
    """Print trials, requests and the worst case in tokens and money.

    Validates everything; calls nothing. CAMPAIGN may be -, for what standard input says.
    """
    from rich.table import Table

    from harness.campaign import load_backstories, load_campaign, piped_campaign, worst_case
    from harness.console import plain
    from harness.targets import check, reach

    piped = campaign == "-"
    loaded = piped_campaign(sys.stdin.buffer.read()) if piped else load_campaign(campaign)
    load_backstories()  # what the tally will need is looked at before a sample is paid
    worst = [dataclasses.asdict(one) for one in worst_case(loaded)]
    reached = [plain(line) for line in reach(loaded.campaign.targets)]
    if not as_json:
        title = f"{loaded.campaign.campaign}: worst case"
        table = Table("target", title=title, title_justify="left", box=None, pad_edge=False)
        for column in list(worst[0])[1:]:
            table.add_column(column.replace("_", " "), justify="right")
        for target, *counts, money in (one.values() for one in worst):
            price = "no price given" if money is None else f"{money:.2f}"
            table.add_row(target, *(f"{count:,}" for count in counts), price)
        console(100).print(table)
        for line in reached:
            click.echo(line)
    check(loaded.campaign.targets)
    registered = None
    if register:
        from harness.report import register as write_plan

        path, registered = write_plan(loaded, name, results)
        if not as_json:
            stamp = "(publish it, or have it time stamped)"
            click.echo(f"registered: {path}\nSHA-256 {registered} {stamp}")
    if as_json:
        said = {"campaign": loaded.campaign.campaign, "worst_case": worst, "reaches": reached}
        print_json({**said, "registered": registered})
        return
    with_name = f" --run {name}" if name else ""
    click.echo("next: truename run " + ("CAMPAIGN" if piped else campaign) + with_name)


@click.command(short_help="Sample a campaign; killed, it goes on")
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
    "--retry-failed",
    is_flag=True,
    help="Ask the blocks of samples again in which one failed, or that are damaged.",
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
    """Sample a campaign into a journal. Killed or stopped, the same command goes on where it
    was.
    """
    import gc

    gc.disable()  # imports make no garbage worth looking for: a seventh of the start
    from harness.campaign import load_backstories, load_campaign
    from harness.sampling import Sitting, sit

    loaded = load_campaign(campaign)
    load_backstories()  # what the tally will need is looked at before a sample is paid
    sitting = Sitting(
        loaded,
        name,
        results,
        store,
        anew=anew,
        retry_failed=retry_failed,
        live=sys.stdout.isatty() if live is None else live,
        log=log_file,
        registered=_registered(loaded, results / (name or loaded.campaign.campaign), anew),
    )
    gc.freeze()
    gc.enable()
    done = sit(sitting, say, _names_in)
    if done.stopped:
        click.echo(f"{done.stopped}\nto go on: truename run {campaign} --run {done.run}")
        sys.exit(exits.NOT_FOUND_OUT)
    click.echo(f"next: truename tally {done.run}")


def _registered(loaded: Loaded, folder: Path, anew: bool) -> str | None:
    """The digest of the plan that was registered for a run; a run begun anew has none."""
    if not (folder / "plan.json").is_file() or (anew and (folder / "campaign.yaml").is_file()):
        return None
    from harness.report import to_begin_with

    return to_begin_with(loaded, folder)


def _names_in(texts: Sequence[str | None]) -> Sequence[Sequence[str]]:
    """The names that texts claim; scoring is loaded only by a campaign that may stop early."""
    from harness.scoring import names_in

    return names_in(texts)


@click.command(short_help="How many questions an interval takes")
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
    "--languages",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Languages that are asked; the interval is then to hold for others like them.",
)
@click.option(
    "--language-icc",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="With --languages: how alike replies to different questions of one language are.",
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
def size(
    rate: float,
    width: float,
    icc: float,
    languages: int,
    language_icc: float,
    below: float,
    confidence: float,
) -> None:
    """Print how many questions, asked how often, an interval of some width takes.

    Before anything is spent.
    """
    from harness import sizes

    say(
        f"for an interval {100 * width:g} points wide around {100 * rate:g} %, "
        f"where replies to one question correlate by {icc:g}"
        + (
            f" and those of one language by {language_icc:g}, in {languages} languages:"
            if languages > 1
            else ":"
        )
    )
    click.echo("  repeats  questions   samples")
    for repeats in (1, 2, 5, 10, 20):
        questions = sizes.questions_for(
            rate,
            width,
            icc,
            repeats,
            confidence,
            languages=languages,
            language_icc=language_icc if languages > 1 else 0.0,
        )
        if questions is None:
            click.echo(f"  {repeats:>7,}  no number of questions is enough: ask more languages")
        else:
            click.echo(f"  {repeats:>7,}  {questions:>9,}  {questions * repeats:>8,}")
    zeros = sizes.zeros_for(below, confidence)
    say(
        f"to say that a rate is below {100 * below:g} % by zero hits "
        f"({100 * confidence:g} %, one-sided): {zeros:,} questions, each asked once or more;"
    )
    say("  repeats of one question may all be alike, so at zero hits they count once")
    click.echo("next: truename init campaign NAME, and `samples:` in it")


@click.command(short_help="What stands before a question")
@click.argument("target")
@OF_CAMPAIGN
@MODEL
@KEY
@click.option(
    "--tokenizer",
    metavar="FOLDER",
    help=(
        "Folder with tokenizer.json and tokenizer_config.json of the claimed model: "
        "counts are then compared exactly."
    ),
)
@click.option(
    "--samples",
    type=click.IntRange(0, 50),
    default=3,
    show_default=True,
    help="Samples of each request to repeat what stands before; 0 asks none.",
)
@click.option(
    "--within",
    type=click.FloatRange(min=1),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Give an endpoint up after so long; what was found until then is told.",
)
@AS_JSON
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder for the evidence; give a run's folder and its report shows it.",
)
@QUIET
@told_plainly
def inspect(
    target: str,
    campaign: str | None,
    model: str | None,
    api_key_env: str | None,
    tokenizer: str | None,
    samples: int,
    within: float,
    as_json: bool,
    out: Path,
) -> None:
    """Find what stands before a question: injected by a template, or hidden by a host.

    TARGET is a Hugging Face folder, a GGUF file, lab:NAME, a URL (with --model), or with --campaign
    the name of a target. Exits with 3 where it could not be found out.
    """
    from msgspec import to_builtins

    from harness import exposure
    from harness.console import plain

    place = exposure.named(target, campaign, model, api_key_env, tokenizer)
    found = exposure.inspect(place, samples, within)
    written = [str(path) for path in exposure.write(found, out)]
    if as_json:
        print_json({**to_builtins(found), "files": written})
    else:
        for line in found.verdict:
            say(line)
        if found.injection and found.injection.injected:
            injected = plain(found.injection.injected)
            click.echo(click.style("injected:", bold=True) + "\n" + injected)
            for line in found.injection.lines:
                click.echo(f"  template: {plain(line)}")
        click.echo("\n".join(written))
        click.echo(f"next: truename {f'run {campaign}' if campaign else 'init campaign NAME'}")
    if found.unknown:
        sys.exit(exits.NOT_FOUND_OUT)


@click.command(short_help="Whose tokenizer a target counts with")
@click.argument("target")
@OF_CAMPAIGN
@MODEL
@KEY
@click.option(
    "--add",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A tokenizer.json, or a folder with one, to be compared too; may be given again.",
)
@click.option(
    "--within",
    type=click.FloatRange(min=1),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Give an endpoint up after so long.",
)
@AS_JSON
@QUIET
@told_plainly
def tokenizer(
    target: str,
    campaign: str | None,
    model: str | None,
    api_key_env: str | None,
    add: tuple[Path, ...],
    within: float,
    as_json: bool,
) -> None:
    """Compare how a target counts nine strings with known tokenizers.

    TARGET is a Hugging Face folder, a GGUF file, lab:NAME, a URL (with --model), or with --campaign
    the name of a target. Exits with 3 where it could not be found out.
    """
    from harness import exposure

    place = exposure.named(target, campaign, model, api_key_env)
    found = exposure.fingerprint(place, add, within)
    if as_json:
        print_json(found._asdict())
    else:
        say(found.sentence)
        click.echo("next: truename inspect TARGET, for what stands before a question")
    if found.unknown:
        sys.exit(exits.NOT_FOUND_OUT)
