"""What a merge check leaves: `weights.csv`, `weights.json`, `weights.svg`.

The first has a row a tensor, the second is for the report and the bundle, the third the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from scipy import special

from harness import charts
from harness.tables import write_bytes, write_file
from harness.weights.check import Checked
from harness.weights.checkpoint import Piece
from harness.weights.methods import Tensor, over

#: A ratio so many errors or robust spreads from its component's median is an outlier, if it
#: differs by more than OUT_BY.
OUT: Final = 6.0
OUT_BY: Final = 0.005
LISTED: Final = 20
#: Lines of evidence that stand before the tables.
WHY: Final = 3


class Summary(msgspec.Struct):
    """A ratio over the tensors of one component, or of one component in one layer."""

    component: str
    layer: int | None
    tensors: int
    elements: int
    ratio: float
    low: float
    high: float
    spread: float
    #: Of the test that all tensors have one ratio (Cochran's Q); None for one tensor.
    p_same: float | None
    found: dict[str, int]


class Found(msgspec.Struct):
    """`weights.json`: everything that the report shows."""

    suspect: str
    parents: list[str]
    method: str
    sentence: str
    evidence: list[str]
    limits: list[str]
    ratios: list[float]
    components: list[Summary]
    layers: list[Summary]
    outliers: list[str]
    tensors: int
    unmatched: dict[str, str]
    renamed: list[str]
    not_finite: int
    sample: float
    seed: int
    bytes_read: int
    bytes_whole: int
    digests: list[str]


def found(checked: Checked) -> Found:
    """A check in the form of `weights.json`."""
    telling = [t for t in checked.tensors if t.kind not in ("parents equal", "too close")]
    components: dict[str, list[Tensor]] = {}
    for tensor in telling or checked.tensors:
        components.setdefault(tensor.component, []).append(tensor)
    return Found(
        suspect=checked.suspect.label,
        parents=[p.label for p in checked.parents],
        method=checked.verdict.method,
        sentence=checked.verdict.sentence,
        evidence=checked.verdict.evidence,
        limits=checked.verdict.limits,
        ratios=checked.verdict.ratios,
        components=[summary(name, None, tensors) for name, tensors in components.items()],
        layers=[
            summary(name, layer, [t for t in tensors if t.layer == layer])
            for name, tensors in components.items()
            for layer in _layers(tensors)
        ],
        outliers=[line for tensors in components.values() for line in outliers(tensors)],
        tensors=len(checked.tensors),
        unmatched=checked.matched.unmatched,
        renamed=checked.matched.renamed,
        not_finite=sum(t.fit.not_finite for t in checked.tensors),
        sample=checked.sample,
        seed=checked.seed,
        bytes_read=checked.bytes_read,
        bytes_whole=checked.bytes_whole,
        digests=[c.digest for c in (checked.suspect, *checked.parents)],
    )


def _layers(tensors: Sequence[Tensor]) -> list[int | None]:
    """The layers that some tensors belong to; None, for those outside of any, comes first."""
    return sorted({t.layer for t in tensors}, key=lambda layer: -1 if layer is None else layer)


def summary(component: str, layer: int | None, tensors: Sequence[Tensor]) -> Summary:
    """The ratio of the first donor over some tensors, with a 95 % interval."""
    found = over(tensors, 0)
    df = len(tensors) - 1 if len(tensors) > 1 else tensors[0].fit.df
    reach = float(special.stdtrit(df, 0.975))
    kinds = [str(t.kind) for t in tensors]
    return Summary(
        component=component,
        layer=layer,
        tensors=len(tensors),
        elements=sum(t.fit.elements for t in tensors),
        ratio=found.mean,
        low=found.mean - reach * found.se,
        high=found.mean + reach * found.se,
        spread=found.spread,
        p_same=None if math.isnan(found.p) else found.p,
        found={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
    )


def outliers(tensors: Sequence[Tensor]) -> list[str]:
    """Tensors whose ratio is far from that of their component, in words."""
    if len(tensors) < 4:
        return []
    values = np.array([t.fit.a[0] for t in tensors])
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return [
        f"{t.name}: {a:.4f}, the others of {t.component} {middle:.4f}"
        for t, a in zip(tensors, values, strict=True)
        if abs(a - middle) > max(OUT * spread, OUT * t.fit.se[0], OUT_BY)
    ]


def frame(checked: Checked) -> pd.DataFrame:
    """`weights.csv`: a row a tensor, also those that could not be compared."""
    tensors = zip(checked.tensors, checked.matched.matches, strict=True)
    rows = [_row(t, m.suspect) for t, m in tensors]
    rows += [
        {"tensor": name, "finding": "not compared", "note": why}
        for name, why in checked.matched.unmatched.items()
    ]
    made = pd.DataFrame(rows)
    for column in made.columns[[pd.api.types.is_float_dtype(kind) for kind in made.dtypes]]:
        made[column] = made[column].map(_ten_digits)
    for column in ("layer", "elements", "elements_read", "not_finite"):
        made[column] = made[column].astype("Int64")
    return made.replace([math.inf, -math.inf], math.nan)


def _row(t: Tensor, piece: Piece) -> dict[str, Any]:
    f = t.fit
    reach = float(special.stdtrit(f.df, 0.975))
    row: dict[str, Any] = {
        "tensor": t.name,
        "component": t.component,
        "layer": t.layer,
        "shape": "x".join(map(str, piece.shape)),
        "dtype": piece.dtype,
        "elements": f.elements,
        "elements_read": f.read,
        "not_finite": f.not_finite,
        "finding": t.kind,
    }
    for i, (a, se) in enumerate(zip(f.a, f.se, strict=True)):
        z = a / se if se > 0 else math.nan
        row |= {
            _name("a", i): a,
            _name("a_se", i): se,
            _name("a_low", i): a - reach * se,
            _name("a_high", i): a + reach * se,
            _name("z", i): z,
            _name("p_log10", i): _p_log10(z, f.df),
        }
    return row | {
        "cosine": f.cosine,
        "residual_share": f.residual,
        "residual_in_rounding": f.in_rounding,
        **_by_donor("free_donor", f.free[:-1]),
        "free_base": f.free[-1],
        "free_residual_in_rounding": f.free_in_rounding,
        "distance_to_base": f.base_distance,
        **_by_donor("distance_to_donor", f.donor_distance),
        **_by_donor("parents_distance", f.parents_distance),
        **_by_donor("parents_in_rounding", f.parents_in_rounding),
        "note": None,
    }


def _by_donor(column: str, values: Sequence[float]) -> dict[str, float]:
    return {_name(column, donor): value for donor, value in enumerate(values)}


def _ten_digits(value: float) -> float:
    return value if pd.isna(value) or not math.isfinite(value) else float(f"{value:.10g}")


def _p_log10(z: float, df: int) -> float:
    """log10 of the two-sided p-value of Student's t; for the far tail by its leading power."""
    with np.errstate(divide="ignore"):
        from scipy import stats as distributions  # a second to import, and seldom needed

        p = float(distributions.t.logsf(abs(z), df) + math.log(2)) / math.log(10)
    return p if math.isfinite(p) else -df / 2 * math.log10(1 + z * z / df)


def _name(column: str, donor: int) -> str:
    return column if donor == 0 else f"{column}_{donor + 1}"


def picture(of: Found, *, headed: bool = False) -> str:
    """The ratio by layer and component, as an SVG element; ``headed``: with the verdict above."""
    sizes = {s.component: 0 for s in of.layers}
    series: dict[str, list[charts.Placed]] = {name: [] for name in sizes}
    for s in of.layers:
        sizes[s.component] += s.elements
        series[s.component].append(charts.Placed(s.layer, s.ratio, s.low, s.high))
    largest = sorted(sizes, key=lambda name: -sizes[name])[: len(charts.COLOURS)]
    return charts.layers(
        {name: series[name] for name in largest},
        f"share of {of.parents[0]} in {of.suspect} by layer and component, "
        "with 95 % intervals; the same numbers stand in weights.csv",
        of.parents[0],
        of.parents[-1],
        _heading(of) if headed else (),
    )


def _heading(of: Found) -> list[str]:
    """What a picture says where it stands alone: the answer, and what is not in it."""
    left = f"; {len(of.unmatched)} tensors were not compared" if of.unmatched else ""
    part = f"; a sample of {100 * of.sample:.2g} %" if of.sample < 1 else ""
    return [of.sentence, f"{of.method}; {of.tensors} tensors of {of.suspect}{left}{part}"]


class Written(NamedTuple):
    csv: Path
    json: Path
    svg: Path


def write(checked: Checked, folder: Path) -> Written:
    """Write the three files into a folder.

    Raises
    ------
    RunError
        The disk refuses.
    """
    of = found(checked)
    paths = Written(folder / "weights.csv", folder / "weights.json", folder / "weights.svg")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(frame(checked), paths.csv)
    write_bytes(msgspec.json.format(msgspec.json.encode(of), indent=1), paths.json)
    write_bytes(charts.alone(picture(of, headed=True)).encode(), paths.svg)
    return paths


def lines(of: Found) -> list[str]:
    """A check in lines for the terminal: the answer, three lines of why, tables, and the rest."""
    why, more = of.evidence[:WHY], of.evidence[WHY:]
    said = [of.sentence, *(f"  {line}" for line in why), ""]
    said += [f"  {'component':18} {'tensors':>7} {'ratio':>8}  95 % interval       found"]
    for s in of.components:
        kinds = ", ".join(f"{kind} {n}" for kind, n in s.found.items())
        said.append(
            f"  {s.component:18} {s.tensors:>7} {s.ratio:>8.4f}  "
            f"{s.low:>7.4f} to {s.high:<7.4f}  {kinds}"
        )
    said += ["", *more, *(f"outlier: {line}" for line in of.outliers[:LISTED])]
    said += [f"not compared: {name}: {why}" for name, why in list(of.unmatched.items())[:LISTED]]
    if len(of.unmatched) > LISTED:
        said.append(
            f"... and {len(of.unmatched) - LISTED} more that were not compared; "
            "all stand in weights.csv"
        )
    said += of.renamed[:LISTED]
    if of.not_finite:
        said.append(f"{of.not_finite:,} numbers are NaN or infinite; they are in no sum")
    if of.sample < 1:
        said.append(
            f"read: a seeded sample, {of.bytes_read / 1e9:.3g} GB of {of.bytes_whole / 1e9:.3g} GB "
            f"(seed {of.seed})"
        )
    return [*said, *of.limits]
