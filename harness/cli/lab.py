"""Commands about the lab's stand-in models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import Whole, told_plainly


@click.group(cls=Whole, short_help="Write the lab's models for other tools")
def lab() -> None:
    """The lab: small stand-in models that reproduce the founding case.

    Not the models they stand for.
    """


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
    from harness import lab as models

    click.echo(f"{models.export(model.removeprefix('lab:'), form, to)}\n{models.STAND_IN}")
