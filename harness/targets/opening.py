"""From a target's entry to what can be asked; heavy packages are imported here and nowhere earlier."""

from __future__ import annotations

from collections.abc import Sequence

from harness.campaign import EmbeddedTarget, EndpointTarget, Settings
from harness.targets.pace import Pace
from harness.targets.protocol import Target


def open_target(settings: Settings, pace: Pace | None = None) -> Target:
    """The room for a target's engine; heavy packages are imported here and nowhere earlier. ``pace`` serves endpoints."""
    if isinstance(settings, EmbeddedTarget):
        from harness.targets.embedded import Embedded

        return Embedded(settings)
    if isinstance(settings, EndpointTarget):
        from harness.targets.endpoint import Endpoint

        return Endpoint(settings, pace)
    from harness.targets.vllm import open_vllm

    return open_vllm(settings, pace)


def check(wanted: Sequence[Settings]) -> None:
    """Find what is wrong with any target (a path, a key variable, a tokenizer folder) before the first is asked.

    Raises
    ------
    TargetError
        For the first target that could not be opened. No call is made and no model is loaded.
    """
    for settings in wanted:
        open_target(settings)
