"""What commands share: options, kinds of values, and how a mistake is told."""

from __future__ import annotations

import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from harness.cli import exits

RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder that runs land in.",
)
OF_CAMPAIGN = click.option("--campaign", help="TARGET is the name of a target in this campaign.")
MODEL = click.option("--model", help="With a URL: the model's name at the host.")
KEY = click.option(
    "--api-key-env",
    metavar="NAME",
    help="With a URL: the variable that holds the key; default: no key.",
)
STORE = click.option(
    "--store",
    metavar="URL",
    envvar="TRUENAME_STORE",
    help="SQLAlchemy URL of the journal, or the variable TRUENAME_STORE (an option is seen by all "
    "users of the machine); default: SQLite in the run's folder.",
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


AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, for other programs."
)


def _quiet(context: click.Context, param: click.Parameter, wanted: bool) -> None:
    from harness import progress

    progress.show(not wanted)
    context.call_on_close(lambda: progress.show(False))


QUIET = click.option(
    "--quiet",
    "-q",
    is_flag=True,
    expose_value=False,
    callback=_quiet,
    help="Do not show how far it is.",
)


def say(text: str, err: bool = False) -> None:
    """Print lines, a stranger's among them; a terminal gets them broken between words."""
    from harness.console import plain

    for line in plain(text).split("\n"):
        click.echo(_broken(line) if sys.stdout.isatty() else line, err=err)


def slug(text: str) -> str:
    """A run's name out of what was typed."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in text.split("://")[-1])
    return kept.strip("-")[:40] or "target"


def _broken(line: str) -> str:
    """A line in pieces of the terminal's width, all but the first set in a little more."""
    width = shutil.get_terminal_size().columns
    if len(line) <= width:
        return line
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line,
        width,
        subsequent_indent=f"{start}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_json(said: Any) -> None:
    """Print a value as JSON: what is missing as null, strangers' text as it is, escaped."""
    import json

    click.echo(json.dumps(_known(said), indent=2, allow_nan=False, default=str))


def _known(said: Any) -> Any:
    """A value without numpy's numbers, and with null for a number that is none."""
    if isinstance(said, dict):
        return {key: _known(value) for key, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [_known(value) for value in said]
    if hasattr(said, "item"):
        said = said.item()
    return None if isinstance(said, float) and not math.isfinite(said) else said


def told_plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """A user's mistake is one message and exit code 2, never a traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from harness.errors import TruenameError

        try:
            return command(*args, **kwargs)
        except TruenameError as error:
            click.echo(f"truename: {error}", err=True)
            sys.exit(exits.USAGE)
        except KeyboardInterrupt:
            again = "nothing that was saved is lost, and the same command may be typed again"
            click.echo(f"stopped; {again}", err=True)
            sys.exit(exits.STOPPED)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(exits.NOBODY_READS)

    return wrapped


def console(width: int) -> Any:
    """A terminal as wide as it is, or ``width`` columns where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width)


class Size(click.ParamType[int]):
    """A number of bytes: 2GB, 500MB, 1.5 GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*([\d.]+)\s*([kKMGT]?)(i?)B?\s*", value)
        try:
            number = float(found[1]) if found else -1.0
        except ValueError:
            number = -1.0
        if found is None or number <= 0:
            self.fail(f"'{value}' is no size; write it as 500MB or 2GB", param, ctx)
        thousand = 1024 if found[3] else 1000
        return int(number * thousand ** " KMGT".index((found[2] or " ").upper()))


class Whole(click.Group):
    """A group whose help lists the first sentence of each of its commands, whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(n, self.commands[n].get_short_help_str(300)) for n in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class ManyParents(click.Command):
    """A command whose option --parents takes all values up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for arg in args:
            taking = arg == "--parents" or (taking and not arg.startswith("-"))
            if arg != "--parents":
                spread += ["--parents", arg] if taking else [arg]
        return super().parse_args(ctx, spread)
