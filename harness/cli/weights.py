"""The command about weights: whose they are."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import exits
from harness.cli.options import QUIET, ManyParents, Size, say, told_plainly


@click.command(cls=ManyParents, short_help="Is a checkpoint a blend of others?")
@click.argument("suspect")
@click.option(
    "--parents",
    multiple=True,
    metavar="DONOR ... BASE",
    help=(
        "The checkpoints that the suspect may be made of; the last is the base that the others "
        "were tuned from. One alone: is the suspect that one, changed?"
    ),
)
@click.option(
    "--search",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Instead of --parents: a folder of checkpoints; the best pair is found and checked.",
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
    type=Size(),
    metavar="SIZE",
    help=(
        "Read no more than this of all checkpoints together, such as 2GB; "
        "the sample is made to fit."
    ),
)
@click.option(
    "--memory",
    type=Size(),
    metavar="SIZE",
    default="1GB",
    show_default=True,
    help="Memory that the check may take.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help=(
        "Folder for the results; give a run's folder and its report shows them. "
        "Default: results/weights-SUSPECT."
    ),
)
@QUIET
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
    """Tell whether a checkpoint is a blend of others: compare every tensor of SUSPECT with the
    same one of its parents.

    A checkpoint is a folder with safetensors, one .safetensors or .gguf file, lab:NAME, or a URL:
    https (also a model's page on huggingface.co), s3, gs, az, which is read by range requests.
    Killed, the same command goes on where it was. Exit code 3 where the answer is "cannot tell".
    """
    from harness.errors import WeightsError
    from harness.weights import Settings, best_pair, cache, check_into, told_pairs

    if bool(parents) == bool(search):
        raise WeightsError(
            "whose blend it may be has to be said, in one way",
            next=f"truename weights {suspect} --parents DONOR BASE, or --search FOLDER",
        )
    settings = Settings(sample, budget, memory, None, seed, cache())
    if search:
        ranked = best_pair(suspect, search, seed)
        say("\n".join(told_pairs(ranked)))
        parents = next(pair.places for pair in ranked if len(pair.places) == 2)
    try:
        found = check_into(suspect, parents, settings, out)
    except KeyboardInterrupt:
        click.echo("stopped; what was found is kept, and the same command goes on", err=True)
        sys.exit(exits.STOPPED)
    say("\n".join(found.lines))
    click.echo("\n" + "\n".join(map(str, found.written)))
    if not (out and (out / "campaign.yaml").is_file()):
        click.echo("next: the same with --out results/RUN, and that run's report shows it")
    else:
        click.echo(f"next: truename report {out.name}")
    if not found.certain:
        sys.exit(exits.NOT_FOUND_OUT)
