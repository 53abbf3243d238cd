"""Commands about replies that no campaign sampled.

Score them, or measure the classifier on labels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import exits
from harness.cli.options import QUIET, console, say, told_plainly


@click.command(short_help="Classify replies of another tool")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--column",
    metavar="KEY",
    help=(
        "Column or key of the reply's text; default: the first of reply, response, output, "
        "completion, text, content, answer."
    ),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Table to write, called .csv, .jsonl or .parquet (or .md); default: FILE.scored.csv "
    "where you stand.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 512),
    help="Processes to score in; default: as many as there are cores. Small files take one.",
)
@QUIET
@told_plainly
def score(file: Path, column: str | None, out: Path | None, jobs: int | None) -> None:
    """Score replies that another tool collected: FILE.jsonl or FILE.csv, a row a reply.

    FILE may be -, for what standard input says: JSON Lines or CSV. Exit code 3 where no row could
    be scored.
    """
    from harness.counting import score_file, score_input
    from harness.jobs import cores

    piped = str(file) == "-"
    to = out or Path("replies.scored.csv" if piped else f"{file.stem}.scored.csv")
    if piped:
        found = score_input(sys.stdin.buffer, to, column, jobs or cores())
    else:
        found = score_file(file, to, column, jobs or cores())
    stances = ", ".join(f"{stance} {n}" for stance, n in found.stances.most_common())
    names = ", ".join(f"{name} {n}" for name, n in found.names.most_common(10))
    say(f"{found.rows} rows, {found.failed} failed{'; ' if stances else ''}{stances}")
    if found.failed:
        say(f"the first that failed: {found.problem}")
    say(f"names: {names or 'none'}")
    click.echo(str(to))
    if found.failed == found.rows:
        click.echo("next: give the column of the replies with --column, or mend the file")
        sys.exit(exits.NOT_FOUND_OUT)
    click.echo("next: truename eval-classifier LABELS.jsonl says how right such verdicts are")


@click.command(name="eval-classifier", short_help="Measure the classifier on your labels")
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
@QUIET
@told_plainly
def eval_classifier(labels: Path, out: Path, worst: int) -> None:
    """Measure the classifier on labelled replies (JSON Lines; the keys are in
    docs/classifier.md).
    """
    from harness.counting import evaluate_labels
    from harness.report import show_evaluation, write_evaluation

    found = evaluate_labels(labels)
    show_evaluation(console(120), found, worst)
    for path in write_evaluation(found, out):
        click.echo(str(path))
    click.echo(f"next: truename tally RUN --confusion {out / 'confusion.json'}")
