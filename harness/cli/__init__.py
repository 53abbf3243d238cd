"""The command `truename`: parse, call one function of a wing, print.

A file a group of commands. Wings are imported by the command that needs them, so that help is
quick.
"""

from __future__ import annotations

import gc
import os
from typing import Final

import click

from harness.cli.audits import audit
from harness.cli.beginning import init, reference
from harness.cli.campaigns import inspect, plan, run, size, tokenizer
from harness.cli.evidence import bundle, keys, verify
from harness.cli.lab import lab
from harness.cli.labels import judge, label
from harness.cli.lineup import lineup, references
from harness.cli.replies import eval_classifier, score
from harness.cli.results import checkpoint, compare, export_run, report, show, tally
from harness.cli.weights import weights
from harness.cli.whois import whois
from harness.masking import watch_errors

#: What imports make is no garbage: looking through it at the usual pace takes a seventh of the
#: start.
gc.set_threshold(50_000, 20, 20)


#: The commands in the order in which they are typed, by what they are for.
SECTIONS: Final = {
    "Begin": (whois, init, plan, size, reference),
    "Sample and read": (run, tally, report, show, label, judge, compare),
    "Hand on": (export_run, checkpoint, keys, bundle, verify),
    "Other witnesses": (inspect, tokenizer, lineup, references, weights),
    "Replies that you have": (score, eval_classifier),
    "Keep watch": (audit,),
    "Stand-in models": (lab,),
}


class Sections(click.Group):
    """A group whose help lists its commands by what they are for, a whole line each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(command.name or "", command.short_help or "") for command in commands]
                formatter.write_dl(rows, col_max=16)


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="truename", prog_name="truename")
@click.pass_context
def main(context: click.Context) -> None:
    """Find out who a language model really is.

    A campaign (a YAML file, or the name of one that ships) says which targets are asked what, under
    which system prompts, how often. `plan` counts it, `run` samples it, `tally` classifies it,
    `show` opens one sample. `score` classifies replies that you have already.
    """
    watch_errors()
    if os.environ.get("NO_COLOR"):
        context.color = False


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
