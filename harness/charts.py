"""Pictures of rates, drawn with matplotlib as SVG that a page can hold: text stays text, colours come from the page's theme."""

from __future__ import annotations

import datetime
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple
from xml.etree import ElementTree

SVG: Final = "{http://www.w3.org/2000/svg}"
#: Stand-ins that matplotlib draws with, and the page's variables that take their place: so one picture serves dark and light.
THEME: Final = {
    "#010101": "var(--ink)",
    "#020202": "var(--grid)",
    "#030303": "var(--c1)",
    "#040404": "var(--c2)",
    "#050505": "var(--c3)",
    "#060606": "var(--c4)",
    "#070707": "var(--c5)",
}
INK, GRID, *COLOURS = THEME
MARKERS: Final = ("o", "s", "^", "D", "v")


class Point(NamedTuple):
    """One rate: its row, its series, and its interval; all from 0 to 1."""

    row: int
    series: int
    rate: float
    low: float
    high: float


@contextmanager
def _drawing() -> Iterator[Any]:
    """The class of figures, with the settings of every picture.

    Not pyplot: it takes as long to import as all else of matplotlib, and is for windows.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "truename",
            "font.size": 10,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": GRID,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    ):
        yield Figure


def _quiet(axes: Any, grid: Literal["x", "y"]) -> None:
    """A panel without ticks and frame, with grid lines behind what is drawn."""
    axes.tick_params(length=0)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _svg(figure: Any, label: str) -> str:
    out = io.StringIO()
    figure.savefig(
        out,
        format="svg",
        bbox_inches="tight",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    return themed(out.getvalue(), label)


def forest(rows: list[str], series: list[str], points: list[Point], label: str) -> str:
    """Rates with intervals: a line a row, a colour and marker a series. Returns the SVG element as text; ``label`` is said aloud in its place."""
    with _drawing() as figure_of:
        height = 0.8 + 0.29 * len(rows)
        figure = figure_of(figsize=(7, height))
        axes = figure.subplots()
        spread = 0.5 / max(1, len(series))
        for number in range(len(series)):
            mine = [p for p in points if p.series == number]
            if not mine:
                continue
            y = [p.row + spread * (number - (len(series) - 1) / 2) for p in mine]
            colour = COLOURS[number % len(COLOURS)]
            axes.hlines(
                y,
                [100 * p.low for p in mine],
                [100 * p.high for p in mine],
                color=colour,
                linewidth=2,
                alpha=0.55,
            )
            axes.plot(
                [100 * p.rate for p in mine],
                y,
                MARKERS[number % len(MARKERS)],
                color=colour,
                markersize=5.5,
                label=series[number].replace("$", r"\$"),
                linestyle="none",
            )
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [row.replace("$", r"\$") for row in rows])
        axes.set_xlim(-2, 102)
        axes.set_xticks(range(0, 101, 20), [f"{x} %" for x in range(0, 101, 20)])
        _quiet(axes, "x")
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=max(1, len(series)),
            frameon=False,
            borderaxespad=0.2,
            handletextpad=0.1,
            columnspacing=1.4,
        )
        return _svg(figure, label)


def timeline(
    times: list[datetime.datetime],
    links: list[str | None],
    series: dict[str, list[Point | None]],
    tokens: list[float | None],
    alarms: list[datetime.datetime],
    label: str,
) -> str:
    """Rates over time with their intervals, a line a series (None: no value, and a gap); under it the prompts' median length; a dashed line at each alarm.

    A point opens its link, where it has one.
    """
    from matplotlib import dates

    with _drawing() as figure_of:
        figure = figure_of(figsize=(12, 3.6))
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        for number, (name, points) in enumerate(series.items()):
            colour = COLOURS[number % len(COLOURS)]
            at = [t for t, p in zip(times, points, strict=True) if p is not None]
            known = [p for p in points if p is not None]
            axes.vlines(
                at,
                [100 * p.low for p in known],
                [100 * p.high for p in known],
                color=colour,
                linewidth=1.5,
                alpha=0.4,
            )
            axes.plot(
                times,
                [math.nan if p is None else 100 * p.rate for p in points],
                MARKERS[number % len(MARKERS)] + "-",
                color=colour,
                markersize=4,
                linewidth=1,
                label=name.replace("$", r"\$"),
            )
            dots = axes.scatter(
                at, [100 * p.rate for p in known], s=90, alpha=0.01, zorder=9
            )  # room to click on, over everything
            dots.set_urls([link for link, p in zip(links, points, strict=True) if p is not None])
        below.plot(
            times,
            [math.nan if n is None else n for n in tokens],
            "o-",
            color=INK,
            markersize=3,
            linewidth=1,
        )
        below.set_ylim(0, 1.25 * max([n for n in tokens if n is not None], default=1))
        below.set_ylabel("prompt\ntokens", rotation=0, ha="right", va="center")
        for moment in alarms:
            for panel in (axes, below):
                panel.axvline(moment, color=INK, linewidth=1, linestyle="--")
        axes.set_ylim(-4, 104)
        axes.set_yticks(range(0, 101, 25), [f"{y} %" for y in range(0, 101, 25)])
        locator = dates.AutoDateLocator(maxticks=8)
        below.xaxis.set_major_locator(locator)
        below.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        for panel in (axes, below):
            _quiet(panel, "y")
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=max(1, len(series)),
            frameon=False,
            borderaxespad=0.2,
        )
        return _svg(figure, label)


class Placed(NamedTuple):
    """A ratio of one layer (None: outside the layers), with its interval; 0 to 1 as a rule."""

    layer: int | None
    value: float
    low: float
    high: float


def layers(series: dict[str, list[Placed]], label: str, one: str, zero: str) -> str:
    """Ratios by layer, a colour and marker a series; what lies outside the layers stands before them. ``one`` and ``zero`` name the ends."""
    with _drawing() as figure_of:
        figure = figure_of(figsize=(9, 3.4))
        axes = figure.subplots()
        values = [p.value for points in series.values() for p in points]
        last = max(
            (p.layer for points in series.values() for p in points if p.layer is not None),
            default=0,
        )
        for number, (name, points) in enumerate(series.items()):
            shift = 0.5 * (number - (len(series) - 1) / 2) / max(1, len(series))
            at = [(-2 if p.layer is None else p.layer) + shift for p in points]
            colour = COLOURS[number % len(COLOURS)]
            axes.vlines(
                at,
                [p.low for p in points],
                [p.high for p in points],
                color=colour,
                linewidth=2,
                alpha=0.5,
            )
            axes.plot(
                at,
                [p.value for p in points],
                MARKERS[number % len(MARKERS)],
                color=colour,
                markersize=5,
                linestyle="none",
                label=name.replace("$", r"\$"),
            )
        axes.set_ylim(min(-0.05, *values, *[-0.05]) - 0.03, max(1.05, *values, *[1.05]) + 0.03)
        axes.set_yticks(
            [0, 0.25, 0.5, 0.75, 1], [f"0 ({zero[:24]})", "0.25", "0.5", "0.75", f"1 ({one[:24]})"]
        )
        axes.set_xlim(-3, last + 0.7)
        step = max(1, (last + 1) // 12)
        axes.set_xticks(
            [-2, *range(0, last + 1, step)], ["outside", *map(str, range(0, last + 1, step))]
        )
        axes.set_xlabel("layer")
        _quiet(axes, "y")
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=max(1, len(series)),
            frameon=False,
            borderaxespad=0.2,
            handletextpad=0.1,
            columnspacing=1.2,
        )
        return _svg(figure, label)


def alone(svg: str) -> str:
    """An element as a file of its own, with the colours that a page would give it."""
    light = {
        "var(--ink)": "#1b1f24",
        "var(--grid)": "#d0d7de",
        "var(--c1)": "#0b61a4",
        "var(--c2)": "#b3420a",
        "var(--c3)": "#1a7f4b",
        "var(--c4)": "#7a3fa0",
        "var(--c5)": "#8a6100",
    }
    for variable, colour in light.items():
        svg = svg.replace(variable, colour)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg


def themed(svg: str, label: str) -> str:
    """An SVG document as an element of a page: no inline styles (the page's policy forbids them), theme colours, a spoken name."""
    ElementTree.register_namespace("", SVG.strip("{}"))
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg[svg.index("<svg") :])  # noqa: S314  (matplotlib wrote it)
    defaults: dict[str, str] = {}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}style":
                defaults = _declarations((child.text or "").replace("*", "").strip().strip("{}"))
                parent.remove(child)
            elif child.tag == f"{SVG}metadata":
                parent.remove(child)
    for element in root.iter():
        declared = _declarations(element.attrib.pop("style", ""))
        for name, value in declared.items():
            element.set(name, THEME.get(value, value))
        for name in ("fill", "stroke"):
            drawn = element.get(name, "")
            if drawn in THEME:
                element.set(name, THEME[drawn])
        if element.tag == f"{SVG}text":
            element.attrib.pop("font", None)
            element.set("class", "label")
    for name, value in defaults.items():
        root.set(name, value)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    anchors = list(root.iter(f"{SVG}a"))
    for anchor in anchors:
        target = anchor.attrib.pop("{http://www.w3.org/1999/xlink}href", "")
        anchor.attrib.pop("target", None)
        anchor.set("href", target)
        anchor.set("aria-label", f"report {target}")
    root.set("role", "group" if anchors else "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _declarations(style: str) -> dict[str, str]:
    found = {}
    for part in style.split(";"):
        name, colon, value = part.partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return found


def steps(rate: float) -> int:
    """The shade of a rate in a heat map: 0 (none) to 10."""
    return math.ceil(10 * rate)
