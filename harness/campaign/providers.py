"""One entry, several hosts: an aggregator's `providers` become a target each.

The names of fields are OpenRouter's: `only` lists the hosts that may answer, and where
`allow_fallbacks` is false no other may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from harness.campaign.entries import EndpointTarget

#: Characters of a tag that no target's name may hold, and characters that a name has at most.
_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 64


def each_host(targets: Iterable[Any]) -> Iterator[Any]:
    """The targets, those with `providers` as one for each of these, in their order.

    Raises
    ------
    ValueError
        A target's name would be too long, or `provider` says already which hosts may answer.
    """
    for target in targets:
        if isinstance(target, EndpointTarget) and target.providers:
            for tag in target.providers:
                yield _pinned(target, tag)
        else:
            yield target


def _pinned(target: EndpointTarget, tag: str) -> EndpointTarget:
    said = target.provider or {}
    if twice := sorted({"only", "order", "allow_fallbacks"} & {*said}):
        raise ValueError(
            f"target {target.name}: `providers` says which hosts answer, so `provider` "
            f"says no {', '.join(twice)}"
        )
    name = f"{target.name}-{_OTHER.sub('-', tag)}"
    if len(name) > _LONGEST:
        raise ValueError(
            f"target {target.name}: with its host it would be called '{name}', which is longer "
            f"than {_LONGEST} characters: give it a shorter name"
        )
    pinned = {**said, "only": [tag], "allow_fallbacks": False}
    return target.model_copy(update={"name": name, "provider": pinned, "providers": None})
