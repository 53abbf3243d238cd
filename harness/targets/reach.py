"""What a campaign reaches for: addresses, variables of the environment, programs and files.

A campaign may be a stranger's. It can name any variable and any address, and both together send
the one to the other. So this is told by `truename plan`, and before anything is sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from harness.campaign import (
    EmbeddedTarget,
    RemoteTarget,
    Settings,
    VllmTarget,
    without_credentials,
)
from harness.masking import hide
from harness.targets.addresses import address_of
from harness.targets.credentials import variables_of


def reach(wanted: Iterable[Settings]) -> list[str]:
    """A line for each target that reaches out of this process, but for the lab's models."""
    return [f"{target.name}: {'; '.join(said)}" for target in wanted if (said := [*_said(target)])]


def _said(target: Settings) -> Iterator[str]:
    if isinstance(target, RemoteTarget):
        yield f"sends to {hide(without_credentials(address_of(target)))}"
        if variables := variables_of(target):
            yield "sends there what it reads from " + ", ".join(map(variable, variables))
        if folder := getattr(target, "tokenizer", None):
            yield f"reads {folder}"
        return
    if not target.model.startswith("lab:"):
        yield f"reads the model {target.model}"
    if isinstance(target, EmbeddedTarget):
        return
    yield from _started(target)


def _started(target: VllmTarget) -> Iterator[str]:
    if target.python:
        yield f"starts the program {target.python}"
    if target.arguments:
        yield "starts vLLM with " + without_credentials(" ".join(target.arguments))
    if target.options:
        yield "gives vLLM " + ", ".join(sorted(target.options))


def variable(name: str) -> str:
    """A variable of the environment, by name, and whether it is set."""
    return f"${name}" if name in os.environ else f"${name} (not set)"
