"""Which parts of a model have which ratio, in words: by component, by projection, by layer.

A ratio is said of a whole model only where all of its matrices agree; else the simplest grouping
is sought within whose groups they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

#: Two ratios are one, up to this difference or so many of their standard errors.
ALIKE: Final = 0.002
ERRORS: Final = 6.0
#: Names that are listed, and layers whose ratios are listed one by one.
NAMED: Final = 4
RUNS: Final = 4
#: An exact ratio this near to 0 or 1 is a parent itself.
ITSELF: Final = 1e-4
#: A share below this is not named.
SEEN: Final = 5e-4

Ratio = tuple[float, ...]


class Placed(NamedTuple):
    """A matrix that lies on the line between its parents: the share of each donor in it.

    ``error`` is the standard error of a share.
    """

    name: str
    component: str
    layer: int | None
    ratio: Ratio
    error: float
    size: int


class Group(NamedTuple):
    """Matrices of one ratio, and what they are called together."""

    names: list[str]
    members: list[Placed]


def projection_of(name: str, component: str) -> str:
    """What a matrix is called in every layer: ``q_proj``, ``embed_tokens``."""
    words = [w for w in name.removesuffix(".weight").split(".") if not w.isdigit()]
    return f"{component} {words[-1]}" if "experts" in component else words[-1]


def middle(members: Sequence[Placed]) -> Ratio:
    """The median ratio, by size, of each donor."""
    sizes = np.array([m.size for m in members], float)
    found = []
    for values in np.array([m.ratio for m in members], float).T:
        order = np.argsort(values)
        place = int(np.searchsorted(np.cumsum(sizes[order]), sizes.sum() / 2))
        found.append(float(values[order][min(place, len(values) - 1)]))
    return tuple(found)


def alike(members: Sequence[Placed]) -> bool:
    """Whether all matrices may have one ratio."""
    centre, usual = middle(members), float(np.median([m.error for m in members]))
    return all(_near(m.ratio, centre, max(m.error, usual)) for m in members)


def _near(one: Ratio, other: Ratio, error: float) -> bool:
    far = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return far <= max(ALIKE, ERRORS * error)


def _by_component(m: Placed) -> str:
    return m.component


def _by_projection(m: Placed) -> str:
    said = projection_of(m.name, m.component)
    return said if m.layer is None else f"{said} of all layers"


def _grouped(members: Sequence[Placed], key: Callable[[Placed], str]) -> list[Group]:
    """Groups of one ratio each, the largest last; none, where a key holds several."""
    by_key: dict[str, list[Placed]] = {}
    for m in members:
        by_key.setdefault(key(m), []).append(m)
    groups: list[Group] = []
    for name, some in by_key.items():
        if not alike(some):
            return []
        for group in groups:
            if alike([*group.members, *some]):
                group.names.append(name)
                group.members.extend(some)
                break
        else:
            groups.append(Group([name], list(some)))
    return sorted(groups, key=lambda g: sum(m.size for m in g.members))


def described(members: Sequence[Placed], said: Callable[[Ratio], str]) -> str:
    """The ratios of all matrices, such as "attention: 0.300 donor + 0.700 base; mlp: ...".

    Parameters
    ----------
    said
        A ratio in words.
    """
    for key in (_by_component, _by_projection):
        groups = _grouped(members, key)
        if len(groups) > 1:
            return "; ".join(f"{_named(g, groups)}: {said(middle(g.members))}" for g in groups)
    few = _few(members, said)
    if few:
        return few
    if (by_layer := _layers(members, said)) is not None:
        return by_layer
    parts: dict[str, list[Placed]] = {}
    for m in members:
        parts.setdefault(m.component, []).append(m)
    told = [f"{name}: {_ranged(some, said)}" for name, some in parts.items()]
    return "; ".join(told)


def _named(group: Group, groups: Sequence[Group]) -> str:
    if len(group.names) > NAMED and group is groups[-1]:
        return "all others"
    return listed(group.names)


def _few(members: Sequence[Placed], said: Callable[[Ratio], str]) -> str | None:
    """One ratio, and few matrices apart from it."""
    centre, usual = middle(members), float(np.median([m.error for m in members]))
    apart = [m for m in members if not _near(m.ratio, centre, max(m.error, usual))]
    if not 0 < len(apart) <= min(NAMED, len(members) // 4):
        return None
    names = listed([f"{m.name} ({said(m.ratio)})" for m in apart])
    return f"{said(centre)} in all but {names}"


def _layers(members: Sequence[Placed], said: Callable[[Ratio], str]) -> str | None:
    """A ratio for each layer; None, where a layer holds several."""
    outside = [m for m in members if m.layer is None]
    by_layer: dict[int, list[Placed]] = {}
    for m in members:
        if m.layer is not None:
            by_layer.setdefault(m.layer, []).append(m)
    if len(by_layer) < 2 or not all(alike(some) for some in by_layer.values()):
        return None
    told = [_along({layer: middle(some) for layer, some in sorted(by_layer.items())}, said)]
    told += [
        f"{listed(group.names)}: {said(middle(group.members))}"
        for group in _grouped(outside, _by_projection)
    ]
    return "; ".join(told)


def _ranged(members: Sequence[Placed], said: Callable[[Ratio], str]) -> str:
    """The ratios of one component, from layer to layer or from the least to the largest."""
    if alike(members):
        return said(middle(members))
    layered = [m for m in members if m.layer is not None]
    if len(layered) == len(members) and (along := _layers(members, said)) is not None:
        return along
    inner = _grouped(members, _by_projection)
    if len(inner) > 1:
        return ", ".join(f"{listed(g.names)} {said(middle(g.members))}" for g in inner)
    least, most = (pick(members, key=lambda m: m.ratio) for pick in (min, max))
    return f"from {said(least.ratio)} ({least.name}) to {said(most.ratio)} ({most.name})"


def _along(ratios: dict[int, Ratio], said: Callable[[Ratio], str]) -> str:
    """Ratios by layer: runs, where there are few, else from where to where."""
    runs: list[tuple[int, int, Ratio]] = []
    for layer, ratio in ratios.items():
        if runs and runs[-1][1] == layer - 1 and _near(ratio, runs[-1][2], 0):
            runs[-1] = runs[-1][0], layer, runs[-1][2]
        else:
            runs.append((layer, layer, ratio))
    if len(runs) <= RUNS:
        return "; ".join(f"{_span(a, b)}: {said(ratio)}" for a, b, ratio in runs)
    first = [ratio[0] for ratio in ratios.values()]
    layers = list(ratios)
    steps = np.diff(first)
    if (steps >= 0).all() or (steps <= 0).all():
        ends = [f"{said(ratios[at])} in layer {at}" for at in (layers[0], layers[-1])]
        return f"from {ends[0]} to {ends[1]}"
    least, most = (pick(layers, key=lambda at: ratios[at]) for pick in (min, max))
    return (
        f"between {said(ratios[least])} in layer {least} and {said(ratios[most])} in layer {most}"
    )


def _span(first: int, last: int) -> str:
    return f"layer {first}" if first == last else f"layers {first}-{last}"


def where(some: Sequence[Placed], among: Sequence[Placed]) -> str:
    """What some matrices are called among all: components, projections, layers, or names."""
    chosen = {m.name for m in some}
    if chosen == {m.name for m in among}:
        return "all matrices"
    for key in (_by_component, _by_projection):
        keys = dict.fromkeys(key(m) for m in some)
        if all(m.name in chosen for m in among if key(m) in keys) and len(keys) <= 2 * NAMED:
            return listed(list(keys))
    layers = sorted({m.layer for m in some if m.layer is not None})
    whole = all(m.name in chosen for m in among if m.layer in layers)
    if whole and all(m.layer is not None for m in some) and layers:
        runs: list[list[int]] = []
        for layer in layers:
            if runs and runs[-1][1] == layer - 1:
                runs[-1][1] = layer
            else:
                runs.append([layer, layer])
        if len(runs) <= NAMED:
            return listed([_span(a, b) for a, b in runs])
    names = [m.name for m in some]
    if len(names) <= NAMED:
        return listed(names)
    return f"{len(names)} of {len(among)} matrices (such as {names[0]})"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def shares(ratio: Ratio, labels: Sequence[str], exact: bool = True) -> str:
    """A ratio in words; ``labels`` name the donors and the base.

    What is a parent's own is said to be that parent's, where the ratio is an exact one.
    """
    whole = (*ratio, 1 - sum(ratio))
    for share, label in zip(whole, labels, strict=True):
        if exact and abs(share - 1) < ITSELF and max(map(abs, whole)) < 1 + ITSELF:
            others = sum(abs(one) for one in whole) - abs(share)
            if others < len(whole) * ITSELF:
                return f"{label} itself"
    told = zip(whole, labels, strict=True)
    some = [f"{share:.3f} {label}" for share, label in told if abs(share) >= SEEN]
    return " + ".join(some).replace("+ -", "- ")
