"""Commands about audits: run one that is due, keep their schedule, show what they found."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import exits
from harness.cli.options import (
    AS_JSON,
    RESULTS,
    STORE,
    Whole,
    console,
    print_json,
    say,
    told_plainly,
)


@click.group(cls=Whole, short_help="Run audits that are due, and tell what changed")
def audit() -> None:
    """Watch endpoints: run audits that are due, keep their schedule, show what they found."""


@audit.command()
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
def run(
    name: str, force: bool, at: str | None, fail_on: str | None, results: Path, store: str | None
) -> None:
    """Run the audit NAME if it is due (or was begun and left), judge what it saw, tell whom it may
    concern.

    Exit codes: 0 done or nothing due, 1 alarm (with --fail-on alarm), 2 a mistake in the audit, 3
    it could not be scored.
    """
    from harness import audits

    now = audits.present(at)
    loaded = audits.load_audit(name)
    found = audits.run_audit(loaded, results, store, now=now, forced=force, say=say)
    for line in audits.told(loaded.audit, found, now):
        say(line)
    for problem in found.untold:
        say(f"not told yet, {problem}", err=True)
    say("next: truename audit status")
    if found.state in ("silent", "stopped"):
        sys.exit(exits.NOT_FOUND_OUT)
    if fail_on and any(event.opens for event in found.raised):
        sys.exit(exits.FOUND)


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
@click.option(
    "--host-name",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name under which the page is asked for, as a proxy passes it on; may be repeated.",
)
@RESULTS
@STORE
@told_plainly
def serve(
    names: tuple[str, ...],
    http: str | None,
    token_env: str | None,
    hosts: tuple[str, ...],
    results: Path,
    store: str | None,
) -> None:
    """Keep the schedule of some audits (of all in probes/audits/, if none is named) until
    stopped.
    """
    from harness import audits

    server = audits.open_server(names, results, store, http, token_env, hosts)
    page = f"; page at {server.address}" if server.address else ""
    click.echo(f"keeping the schedule of {', '.join(server.names)}{page}")
    for name in server.names:
        for line in audits.reaches(audits.load_audit(name)):
            say(line)
    server.run(say)
    click.echo("stopped; what was under way is saved, and the same command goes on")


@audit.command()
@AS_JSON
@RESULTS
@STORE
@told_plainly
def status(as_json: bool, results: Path, store: str | None) -> None:
    """Show what each audit saw last, and the alarms."""
    from harness.audits import open_history, show_status, status_data

    with open_history(results, store) as history:
        if as_json:
            print_json(status_data(history))
        else:
            show_status(console(120), history)
            say(f"next: truename {'audit page' if any(history.rows()) else 'init audit NAME'}")


@audit.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for index.html; default: the results' folder.",
)
@RESULTS
@STORE
@told_plainly
def page(out: Path | None, results: Path, store: str | None) -> None:
    """Write the time lines of all audits as a page that needs no server."""
    from harness.audits import open_history, write_timeline

    with open_history(results, store) as history:
        click.echo(str(write_timeline(history, results, out or results)))


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
    from harness.audits import exposition, open_history
    from harness.tables import write_bytes

    with open_history(results, store) as history:
        said = exposition(history)
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
@click.option(
    "--with-evidence", is_flag=True, help="Delete those that alarms rest on too; default: keep."
)
@RESULTS
@STORE
@told_plainly
def forget(days: int, with_evidence: bool, results: Path, store: str | None) -> None:
    """Delete prompts and replies of old audits.

    Tallies, what was seen, and alarms are kept for ever.
    """
    from harness.audits import forget_older, open_history

    with open_history(results, store) as history:
        gone, spared = forget_older(history, days, results, with_evidence)
    click.echo(f"prompts and replies of {len(gone)} audits are deleted; their tallies are kept")
    if spared:
        click.echo(f"kept, for alarms rest on them (--with-evidence): {', '.join(spared)}")


_EVENT = click.option("--event", metavar="ID", help="One event, as `audit status` prints it.")
_TARGET = click.option("--target", metavar="NAME", help="One target; default: all.")


@audit.command()
@click.argument("name")
@_EVENT
@_TARGET
@RESULTS
@STORE
@told_plainly
def accept(
    name: str, event: str | None, target: str | None, results: Path, store: str | None
) -> None:
    """The change is wanted: what the audit NAME saw last is its baseline from now on."""
    from harness import audits

    with audits.open_history(results, store) as history:
        for line in audits.accept(history, name, event, target):
            click.echo(line)


@audit.command()
@click.argument("name")
@_EVENT
@RESULTS
@STORE
@told_plainly
def ack(name: str, event: str | None, results: Path, store: str | None) -> None:
    """Say that you know of the open alarms of the audit NAME: nobody is reminded of them."""
    from harness import audits

    with audits.open_history(results, store) as history:
        for line in audits.acknowledge(history, name, event):
            click.echo(line)


@audit.command()
@click.argument("name")
@click.option("--for", "lasts", required=True, metavar="TIME", help="How long: 30m, 2h, 3d.")
@_TARGET
@RESULTS
@STORE
@told_plainly
def silence(name: str, lasts: str, target: str | None, results: Path, store: str | None) -> None:
    """Tell nobody of the audit NAME for a while; what is open at its end is told then."""
    from harness import audits

    with audits.open_history(results, store) as history:
        for line in audits.silence(history, name, target, audits.duration(lasts)):
            click.echo(line)


@audit.command("test-alarm")
@click.argument("name")
@RESULTS
@told_plainly
def test_alarm(name: str, results: Path) -> None:
    """Tell a test to every channel of the audit NAME.

    Exit codes: 0 all took it, 3 one did not.
    """
    from harness import audits

    wanted = audits.load_audit(name).audit
    where = wanted.public_url or str(results)
    told = audits.test_alarm(wanted, where)
    for kind, problem in told:
        click.echo(f"{kind}: {'told' if problem is None else f'not told, {problem}'}")
    if not told:
        click.echo(f"{wanted.audit} tells nobody: its file has no 'notify'")
    if any(problem for _, problem in told):
        sys.exit(exits.NOT_FOUND_OUT)


@audit.command()
@click.argument("name")
@RESULTS
@STORE
@told_plainly
def plan(name: str, results: Path, store: str | None) -> None:
    """How small a drop of the presented name's rate the audit NAME finds in 1, 7 and 30 audits."""
    from harness import audits

    loaded = audits.load_audit(name)
    with audits.open_history(results, store) as history:
        for line in audits.drops(loaded, history):
            click.echo(line)


@audit.command()
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A file that ends with .csv, .jsonl, .md or .parquet.",
)
@click.option(
    "--table",
    type=click.Choice(["history", "events"]),
    default="history",
    help="What was seen by audit, target, arm and name; or the alarms.",
)
@click.option("--audit", "name", metavar="NAME", help="Of one audit; default: of all.")
@RESULTS
@STORE
@told_plainly
def export(to: Path, table: str, name: str | None, results: Path, store: str | None) -> None:
    """Write what audits saw, or the alarms, as a table."""
    from harness import audits
    from harness.tables import write_file

    made = audits.history_frame if table == "history" else audits.events_frame
    with audits.open_history(results, store) as history:
        rows = write_file(made(history, name), to)
    click.echo(f"{to}: {rows} rows")
