"""Commands for whoever begins: a file to start from, and what a file may hold."""

from __future__ import annotations

import click

from harness.cli.options import told_plainly


@click.command(short_help="Write a commented file to begin with")
@click.argument("kind", type=click.Choice(["campaign", "identity", "backstory", "prompt", "audit"]))
@click.argument("name")
@click.option(
    "--engine",
    type=click.Choice(
        ["endpoint", "embedded", "vllm", "responses", "anthropic", "gemini", "ollama", "bedrock"]
    ),
    default="endpoint",
    show_default=True,
    help="With campaign: what runs the model.",
)
@told_plainly
def init(kind: str, name: str, engine: str) -> None:
    """Write a commented file to begin with: a campaign, names that the book lacks, a text to
    compare with, a system prompt, or an audit.

    It lands in probes/ or prompts/ where you stand, which come before those that ship.
    """
    from harness.campaign import begin

    begun = begin(kind, name, engine)
    click.echo(f"{begun.path}\nnext: mend what it says, then {begun.next}")


@click.command(short_help="Every key of every file, exit codes, variables")
@click.pass_context
@told_plainly
def reference(context: click.Context) -> None:
    """Print every key of every file, the commands, exit codes and variables, as Markdown."""
    from harness.cli.reference import page

    click.echo(page(context.find_root().command), nl=False)  # type: ignore[arg-type]
