"""The command `truename`: parse, call one function of a wing, print.

A file a group of commands. Wings are imported by the command that needs them, so that help is
quick.
"""

from __future__ import annotations

import gc
import os
import sys

import click

from harness.cli.audits import audit
from harness.cli.beginning import init, reference
from harness.cli.campaigns import inspect, plan, run, size
from harness.cli.evidence import bundle, keys, verify
from harness.cli.lab import lab
from harness.cli.labels import judge, label
from harness.cli.replies import eval_classifier, score
from harness.cli.results import checkpoint, compare, export_run, report, show, tally
from harness.cli.weights import weights
from harness.masking import show_traceback

#: What imports make is no garbage: looking through it at the usual pace takes a seventh of the
#: start.
gc.set_threshold(50_000, 20, 20)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="truename", prog_name="truename")
@click.pass_context
def main(context: click.Context) -> None:
    """Find out who a language model really is.

    A campaign (a YAML file, or the name of one that ships) says which targets are asked what, under
    which system prompts, how often. `plan` counts it, `run` samples it, `tally` classifies it,
    `show` opens one sample. `score` classifies replies that you have already.
    """
    sys.excepthook = show_traceback
    if os.environ.get("NO_COLOR"):
        context.color = False


for _command in (
    *(
        init,
        plan,
        run,
        tally,
        label,
        judge,
        report,
        show,
        compare,
        bundle,
        verify,
        keys,
        export_run,
        checkpoint,
        size,
    ),
    *(inspect, weights, score, eval_classifier, audit, lab, reference),
):
    main.add_command(_command)
