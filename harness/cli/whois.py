"""The command that asks who somebody is."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from harness.cli import exits
from harness.cli.options import (
    AS_JSON,
    KEY,
    MODEL,
    RESULTS,
    STORE,
    print_json,
    say,
    slug,
    told_plainly,
)


@click.command(short_help="Who answers here? One short check")
@click.argument("target")
@click.option("--claims", required=True, metavar="ID", help="Who it is presented as, by the book.")
@click.option("--like", metavar="MODEL", help="The reference of the model that it is said to be.")
@MODEL
@KEY
@click.option("--run", "run", metavar="NAME", help="Name of the run; default: whois-TARGET.")
@AS_JSON
@RESULTS
@STORE
@told_plainly
def whois(
    target: str,
    claims: str,
    like: str | None,
    model: str | None,
    api_key_env: str | None,
    run: str | None,
    as_json: bool,
    results: Path,
    store: str | None,
) -> None:
    """Ask TARGET who it is, in at most 160 small requests, and print a dossier of one screen.

    TARGET is a GGUF file, lab:NAME, or a URL (with --model). Direct questions in four languages
    with and without system prompts, what stands before a question, and single words. Exits with 0
    where that is consistent with the claim, with 1 where it contradicts it, with 3 where it could
    not be found out. Killed, the same command goes on where it was.
    """
    from harness import whois as wing
    from harness.exposure import asked

    place = asked(target, None, model, api_key_env)
    name = run or f"whois-{slug(target)}"
    click.echo(f"at most {wing.REQUESTS} small requests; the run is {name}", err=True)
    with redirect_stdout(sys.stderr):  # how far it is; what is found can be read by a program
        found = wing.ask(
            place, claims, name=name, like=like, results=results, store=store, say=click.echo
        )
    if as_json:
        witnesses = [one._asdict() for one in found.witnesses]
        print_json({**found._asdict(), "witnesses": witnesses, "run": name})
    else:
        for line in wing.lines(found):
            say(line)
        click.echo(f"next: open {results / name / 'report.html'}")
    if found.outcome == "contradicted":
        sys.exit(exits.FOUND)
    if found.outcome == "not found out":
        sys.exit(exits.NOT_FOUND_OUT)
