"""Which references a suspect is compared with: those that were asked the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.errors import LineupError, did_you_mean
from harness.lineup import references as kept
from harness.lineup.battery import Battery, of_protocol
from harness.lineup.references import Reference, References


class Chosen(NamedTuple):
    """Models that were asked the same, and what that was."""

    models: list[Reference]
    battery: Battery


def choose(names: Sequence[str] = (), claim: str | None = None) -> Chosen:
    """Load references: those named, or all that were asked what the claimed model was.

    Without a name and a claim: all that were asked the fixed battery.

    Raises
    ------
    LineupError
        None fits, those named were asked different questions, or a model stands in two of them.
    """
    loaded = {name: kept.load(name) for name in (names or kept.known())}
    if not names:
        loaded = _alike(loaded, claim)
    protocols = {one.protocol.questions for one in loaded.values()}
    if len(protocols) > 1:
        raise LineupError(
            "these references were asked different questions",
            where=", ".join(loaded),
            next="name references of one protocol: truename references show NAME",
        )
    where = ", ".join(loaded)
    models: dict[str, Reference] = {}
    for one in (model for file in loaded.values() for model in file.models):
        if one.model in models:
            raise LineupError(
                f"'{one.model}' stands in two files of references",
                where=where,
                next="choose one of them with --references",
            )
        models[one.model] = one
    if claim is not None and claim not in models:
        raise LineupError(
            f"no reference is of '{claim}': {did_you_mean(claim, models)}",
            where=where,
            next="truename references list, or make one: truename references make",
        )
    return Chosen(list(models.values()), of_protocol(next(iter(loaded.values())).protocol, where))


def _alike(loaded: dict[str, References], claim: str | None) -> dict[str, References]:
    """The files whose models were asked what the claimed one was, or else the fixed battery."""
    asked = Battery().questions
    for one in loaded.values():
        if claim is not None and claim in {model.model for model in one.models}:
            asked = one.protocol.questions
            break
    else:
        if claim is not None:
            every = {model.model for one in loaded.values() for model in one.models}
            raise LineupError(
                f"no reference is of '{claim}': {did_you_mean(claim, every)}",
                next="truename references list, or make one: truename references make",
            )
    alike = {name: one for name, one in loaded.items() if one.protocol.questions == asked}
    if not alike:
        raise LineupError(
            "there are no references of the battery's questions as they are here",
            next="truename references make TARGET --name NAME makes one",
        )
    return alike
