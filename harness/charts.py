"""Pictures of rates as SVG that a page can hold; those over time are drawn with matplotlib.

Text stays text, colours come from the page's theme.
"""

from __future__ import annotations

import datetime
import io
import math
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

SVG: Final = "{http://www.w3.org/2000/svg}"
XLINK: Final = "{http://www.w3.org/1999/xlink}"
#: Stand-ins that matplotlib draws with, and the page's variables that take their place: so one
#: picture serves dark and light.
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
#: Corners of the markers that are no circle, from their middle.
SHAPES: Final = {
    "s": ((-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)),
    "^": ((0, -4), (4, 3.4), (-4, 3.4)),
    "D": ((0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0)),
    "v": ((0, 4), (4, -3.4), (-4, -3.4)),
}
#: Sizes of a picture of rates: its text, a row, and the panel that rates stand in.
FONT, ROW, PANEL, PANEL_NARROW = 10, 19, 390, 310
#: The panel that ratios of layers stand in.
WIDE, HIGH = 560, 190
GRID_LINE: Final = {"stroke": "var(--grid)", "stroke_width": 0.8}


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


def _quiet(axes: Any) -> None:
    """A panel without ticks and frame, with grid lines behind what is drawn."""
    axes.tick_params(length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
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


def _look(number: int) -> tuple[str, str]:
    """Colour and marker of a series."""
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def _literal(text: str) -> str:
    """Text in which no dollar begins mathematics."""
    return text.replace("$", r"\$")


def _legend(axes: Any, series: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=max(1, series),
        frameon=False,
        borderaxespad=0.2,
    )


def _shift(number: int, series: int) -> float:
    """How far a series is drawn beside its row, so that none hides another."""
    return number - (series - 1) / 2


def forest(rows: list[str], series: list[str], points: list[Point], label: str) -> str:
    """Rates with intervals: a line a row, a colour and marker a series.

    Returns two SVG elements as text, for a page to show one of: `wide`, with the rows' names beside
    the panel, and `narrow`, with each name above its line, so that a phone shows letters at their
    own size. ``label`` is said aloud in their place. Written as they stand, for they are in every
    report, and matplotlib takes longer to import than the report to make.
    """
    return "".join(_forest(rows, series, points, label, narrow=narrow) for narrow in (False, True))


def _forest(
    rows: list[str], series: list[str], points: list[Point], label: str, *, narrow: bool
) -> str:
    left = 8.0 if narrow else max([_text_width(row) for row in rows], default=0) + 10
    right, row_height = left + (PANEL_NARROW if narrow else PANEL), 2 * ROW if narrow else ROW
    keys, top = _keys(series, left, right)
    bottom = top + row_height * len(rows)

    def along(rate: float) -> float:
        """Where a rate stands in the panel, which begins at -2 % and ends at 102 %."""
        return left + round((right - left) * (rate + 0.02) / 1.04, 2)

    root = _root(right + 16, bottom + 18, label)
    root.set("class", "narrow" if narrow else "wide")
    for share in range(0, 101, 20):
        x = along(share / 100)
        _put(root, "path", d=f"M{x:g} {top:g}V{bottom:g}", **GRID_LINE)
        _write(root, x, bottom + 12, f"{share} %", "middle")
    for number, row in enumerate(rows):
        y = top + row_height * number + ROW / 2 + 3.5
        _write(root, 2 if narrow else left - 6, y, row, "start" if narrow else "end")
    _write_keys(root, keys, series)
    spread = 0.5 / max(1, len(series))
    for point in points:
        colour, _ = _look(point.series)
        y = top + row_height * (point.row + 1) - ROW / 2
        y += ROW * spread * _shift(point.series, len(series))
        low, rate, high = (along(one) for one in (point.low, point.rate, point.high))
        line = {"stroke": THEME[colour], "stroke_width": 2, "stroke_opacity": 0.55}
        _put(root, "path", d=f"M{low:g} {y:g}H{high:g}", **line)
        _mark(root, point.series, rate, y)
    return ElementTree.tostring(root, encoding="unicode")


def _root(width: float, height: float, label: str) -> ElementTree.Element:
    root = ElementTree.Element("svg", {"xmlns": SVG.strip("{}"), "role": "img"})
    root.set("viewBox", f"0 0 {width:g} {height:g}")
    root.set("aria-label", label)
    return root


def _keys(
    series: list[str], left: float, right: float, above: float = 0.0
) -> tuple[list[tuple[float, float, int]], float]:
    """The marks above the panel, in as many lines as they take (x, y, series); the panel's top.

    ``above`` is the height of what stands above them.
    """
    placed, x, y = [], left + 6, above + 10.0
    for number, name in enumerate(series):
        wide = _text_width(name) + 34
        if x + wide > right and x > left + 6:
            x, y = left + 6, y + 15
        placed.append((x, y, number))
        x += wide
    return placed, y + 15


def _write_keys(
    root: ElementTree.Element, keys: list[tuple[float, float, int]], series: list[str]
) -> None:
    for x, y, number in keys:
        _mark(root, number, x, y)
        _write(root, x + 10, y + 3.5, series[number], "start")


def _text_width(text: str) -> float:
    """About how wide a text of `FONT` is: a Chinese letter takes its whole height."""
    return sum(FONT if unicodedata.east_asian_width(one) in "WF" else 0.6 * FONT for one in text)


def _put(parent: ElementTree.Element, tag: str, **attributes: Any) -> ElementTree.Element:
    named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
    return ElementTree.SubElement(parent, tag, named)


def _write(parent: ElementTree.Element, x: float, y: float, text: str, anchor: str) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "font_size": f"{FONT}px", "text_anchor": anchor}
    _put(parent, "text", **place, fill="var(--ink)").text = text
    parent[-1].set("class", "label")


def _mark(parent: ElementTree.Element, number: int, x: float, y: float) -> None:
    """The marker of a series, its middle at a place."""
    colour, marker = _look(number)
    if marker == "o":
        _put(parent, "circle", cx=f"{x:g}", cy=f"{y:g}", r=3.6, fill=THEME[colour])
        return
    corners = " ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in SHAPES[marker])
    _put(parent, "polygon", points=corners, fill=THEME[colour])


def timeline(
    times: list[datetime.datetime],
    links: list[str | None],
    series: dict[str, list[Point | None]],
    tokens: list[float | None],
    alarms: list[datetime.datetime],
    label: str,
) -> str:
    """Rates over time with their intervals, a line a series (None: no value, and a gap).

    Under it the prompts' median length; a dashed line at each alarm. A point opens its link, where
    it has one.
    """
    with _drawing() as figure_of:
        figure = figure_of(figsize=(12, 3.6))
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        for number, (name, points) in enumerate(series.items()):
            _over_time(axes, number, name, times, points, links)
        lengths = [math.nan if n is None else n for n in tokens]
        below.plot(times, lengths, "o-", color=INK, markersize=3, linewidth=1)
        below.set_ylim(0, 1.25 * max([n for n in tokens if n is not None], default=1))
        below.set_ylabel("prompt\ntokens", rotation=0, ha="right", va="center")
        for moment in alarms:
            for panel in (axes, below):
                panel.axvline(moment, color=INK, linewidth=1, linestyle="--")
        axes.set_ylim(-4, 104)
        axes.set_yticks(range(0, 101, 25), [f"{y} %" for y in range(0, 101, 25)])
        _dated(below)
        for panel in (axes, below):
            _quiet(panel)
        _legend(axes, len(series))
        return _svg(figure, label)


def _over_time(
    axes: Any,
    number: int,
    name: str,
    times: list[datetime.datetime],
    points: list[Point | None],
    links: list[str | None],
) -> None:
    """One series: intervals, a line, and room to click on over everything."""
    colour, marker = _look(number)
    known = [p for p in points if p is not None]
    at = [t for t, p in zip(times, points, strict=True) if p is not None]
    lows, highs = [100 * p.low for p in known], [100 * p.high for p in known]
    axes.vlines(at, lows, highs, color=colour, linewidth=1.5, alpha=0.4)
    rates = [math.nan if p is None else 100 * p.rate for p in points]
    line = {"markersize": 4, "linewidth": 1, "label": _literal(name)}
    axes.plot(times, rates, f"{marker}-", color=colour, **line)
    dots = axes.scatter(at, [100 * p.rate for p in known], s=90, alpha=0.01, zorder=9)
    dots.set_urls([link for link, p in zip(links, points, strict=True) if p is not None])


def _dated(axes: Any) -> None:
    from matplotlib import dates

    # with the default of five ticks at least, some spans fit no interval, and it warns
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


class Placed(NamedTuple):
    """A ratio of one layer (None: outside the layers), with its interval; 0 to 1 as a rule."""

    layer: int | None
    value: float
    low: float
    high: float


def layers(
    series: dict[str, list[Placed]], label: str, one: str, zero: str, heading: Sequence[str] = ()
) -> str:
    """Ratios by layer, a colour and marker a series; ``one`` and ``zero`` name the ends.

    Lines of ``heading`` stand above, broken at words.

    What lies outside the layers stands before them. Written as it stands, as `forest` is.
    """
    every = [p for points in series.values() for p in points]
    values = [p.value for p in every]
    last = max((p.layer for p in every if p.layer is not None), default=0)
    least, most = min([-0.05, *values]) - 0.03, max([1.05, *values]) + 0.03
    heights = {0.0: f"0 ({zero[:24]})", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75"}
    heights[1.0] = f"1 ({one[:24]})"
    left = max(map(_text_width, heights.values())) + 10
    right = left + WIDE
    letters = int((right - 10) / (0.6 * FONT))
    above = [line for text in heading for line in textwrap.wrap(text, letters)]
    keys, top = _keys([*series], left, right, 15 * len(above))
    bottom = top + HIGH

    def across(layer: float) -> float:
        return round(left + WIDE * (layer + 3) / (last + 3.7), 2)

    def up(value: float) -> float:
        """Intervals end where the panel does."""
        inside = min(most, max(least, value))
        return round(bottom - HIGH * (inside - least) / (most - least), 2)

    root = _root(right + 16, bottom + 30, label)
    for number, said in enumerate(above):
        _write(root, 6, 13 + 15 * number, said, "start")
    for value, said in heights.items():
        _put(root, "path", d=f"M{left:g} {up(value):g}H{right:g}", **GRID_LINE)
        _write(root, left - 6, up(value) + 3.5, said, "end")
    ticks = {-2: "outside", **{n: str(n) for n in range(0, last + 1, max(1, (last + 1) // 12))}}
    for layer, said in ticks.items():
        _write(root, across(layer), bottom + 12, said, "middle")
    _write(root, (left + right) / 2, bottom + 26, "layer", "middle")
    _write_keys(root, keys, [*series])
    for number, points in enumerate(series.values()):
        colour, _ = _look(number)
        line = {"stroke": THEME[colour], "stroke_width": 2, "stroke_opacity": 0.5}
        shift = 0.5 * _shift(number, len(series)) / len(series)
        for point in points:
            x = across((-2 if point.layer is None else point.layer) + shift)
            _put(root, "path", d=f"M{x:g} {up(point.low):g}V{up(point.high):g}", **line)
            _mark(root, number, x, up(point.value))
    return ElementTree.tostring(root, encoding="unicode")


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
    """An SVG document as an element of a page.

    No inline styles (the page's policy forbids them), theme colours, a spoken name.
    """
    ElementTree.register_namespace("", SVG.strip("{}"))
    ElementTree.register_namespace("xlink", XLINK.strip("{}"))
    root = ElementTree.fromstring(svg[svg.index("<svg") :])  # noqa: S314  (matplotlib wrote it)
    defaults = _without_styles(root)
    for element in root.iter():
        _theme(element)
    for name, value in defaults.items():
        root.set(name, value)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    anchors = list(root.iter(f"{SVG}a"))
    for anchor in anchors:
        target = anchor.attrib.pop(f"{XLINK}href", "")
        anchor.attrib.pop("target", None)
        anchor.set("href", target)
        anchor.set("aria-label", f"report {target}")
    root.set("role", "group" if anchors else "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _without_styles(root: ElementTree.Element) -> dict[str, str]:
    """Take style sheets and metadata out; what the style sheet declares of every element."""
    defaults: dict[str, str] = {}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}style":
                defaults = _declarations((child.text or "").replace("*", "").strip().strip("{}"))
                parent.remove(child)
            elif child.tag == f"{SVG}metadata":
                parent.remove(child)
    return defaults


def _theme(element: ElementTree.Element) -> None:
    """Inline styles as attributes, in the theme's colours."""
    for name, value in _declarations(element.attrib.pop("style", "")).items():
        element.set(name, THEME.get(value, value))
    for name in ("fill", "stroke"):
        drawn = element.get(name, "")
        if drawn in THEME:
            element.set(name, THEME[drawn])
    if element.tag == f"{SVG}text":
        element.attrib.pop("font", None)
        element.set("class", "label")


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
