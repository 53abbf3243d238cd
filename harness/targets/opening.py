"""From a target's entry to what can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from harness.campaign import (
    EmbeddedTarget,
    EndpointTarget,
    NativeTarget,
    Settings,
    VllmTarget,
)
from harness.targets.pace import Pace
from harness.targets.protocol import Target

if TYPE_CHECKING:
    from harness.targets.embedded import Embedded
    from harness.targets.endpoint import Endpoint
    from harness.targets.native import Native


@overload
def open_target(settings: EmbeddedTarget, pace: Pace | None = None) -> Embedded: ...


@overload
def open_target(settings: EndpointTarget, pace: Pace | None = None) -> Endpoint: ...


@overload
def open_target(settings: NativeTarget, pace: Pace | None = None) -> Native: ...


@overload
def open_target(settings: VllmTarget, pace: Pace | None = None) -> Target: ...


def open_target(settings: Settings, pace: Pace | None = None) -> Target:
    """The room for a target's engine; ``pace`` serves those that are asked over HTTP.

    Heavy packages are imported here and nowhere earlier.
    """
    if isinstance(settings, EmbeddedTarget):
        from harness.targets.embedded import Embedded

        return Embedded(settings)
    if isinstance(settings, EndpointTarget):
        from harness.targets.endpoint import Endpoint

        return Endpoint(settings, pace)
    if isinstance(settings, VllmTarget):
        from harness.targets.vllm import open_vllm

        return open_vllm(settings, pace)
    from harness.targets.native import open_native

    return open_native(settings, pace)


def check(wanted: Sequence[Settings]) -> None:
    """Find what is wrong with any target before the first is asked.

    That is a path, a key variable, or a tokenizer folder.

    Raises
    ------
    TargetError
        For the first target that could not be opened. No call is made and no model is loaded.
    """
    for settings in wanted:
        open_target(settings)
