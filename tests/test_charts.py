"""Pictures."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest

from harness import charts


def test_pictures_have_no_styles_of_their_own_and_follow_the_theme():
    svg = charts.forest(
        ["a $x$", "<b>"],
        ["Nex & Rio"],
        [charts.Point(0, 0, 0.5, 0.4, 0.6), charts.Point(1, 0, 0.0, 0.0, 0.1)],
        'said "aloud"',
    )
    assert "style=" not in svg and "<style" not in svg and "#0" not in svg
    assert "var(--ink)" in svg and "a $x$" in svg and "&lt;b&gt;" in svg and "Nex &amp; Rio" in svg
    assert svg == charts.forest(
        ["a $x$", "<b>"],
        ["Nex & Rio"],
        [charts.Point(0, 0, 0.5, 0.4, 0.6), charts.Point(1, 0, 0.0, 0.0, 0.1)],
        'said "aloud"',
    )


def only(form, svgs):
    """One of the two forms of a picture."""
    return next(svg for svg in re.findall("<svg.*?</svg>", svgs) if f'class="{form}"' in svg)


def test_the_narrow_form_fits_a_phone_at_the_size_of_its_letters():
    svg = only("narrow", drawn(charts.Point(0, 0, 0.5, 0.0, 1.0), rows=["a target  bare"] * 9))
    assert float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) <= 390 - 2 * 19
    places = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>a target', svg)]
    assert len(places) == 9 and min(b - a for a, b in itertools.pairwise(places)) > 30


def drawn(*points, series=("Nex",), rows=("suspect bare", "donor bare")):
    return charts.forest(list(rows), list(series), list(points), "rates")


@pytest.mark.parametrize("form", ["wide", "narrow"])
def test_a_rate_stands_between_its_bounds_on_the_scale_of_its_panel(form):
    svg = only(form, drawn(charts.Point(0, 0, 0.5, 0.0, 1.0)))
    grid = [float(x) for x in re.findall(r'd="M([\d.]+) [\d.]+V', svg)]
    low, high = map(float, *re.findall(r'd="M([\d.]+) [\d.]+H([\d.]+)"', svg))
    key, rate = map(float, re.findall(r'cx="([\d.]+)"', svg))
    assert (low, high) == (grid[0], grid[-1])
    assert abs(rate - (low + high) / 2) < 0.01 and key != rate


@pytest.mark.parametrize("form", ["wide", "narrow"])
def test_each_series_has_a_key_and_long_keys_take_another_line(form):
    names = [f"A rather long name, number {number}" for number in range(5)]
    svg = only(form, drawn(charts.Point(1, 4, 0.2, 0.1, 0.3), series=names))
    placed = {
        name: re.search(rf'<text x="[\d.]+" y="([\d.]+)"[^>]*>{name}<', svg) for name in names
    }
    assert len({found[1] for found in placed.values()}) > 1
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    assert all(float(x) < width for x in re.findall(r' x="([\d.]+)"', svg))


def test_ratios_stand_by_layer_on_their_scale_and_those_outside_before_them():
    points = {"mlp": [charts.Placed(0, 0.5, 0.25, 0.75), charts.Placed(None, 1.0, 1.0, 1.0)]}
    svg = charts.layers({**points, "x < y": []}, 'said "aloud"', "donor & co", "base")
    assert "style=" not in svg and "donor &amp; co" in svg and "x &lt; y" in svg
    texts = dict(re.findall(r'<text x="([\d.]+)" [^>]*>(outside|0)</text>', svg))
    heights = {float(y) for y in re.findall(r'd="M[\d.]+ ([\d.]+)H', svg)}
    _, inside, before = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)  # after the key's
    low, high = re.findall(r'd="M[\d.]+ ([\d.]+)V([\d.]+)"', svg)[0]
    assert float(before[0]) < float(inside[0]) and len(texts) == 2
    assert {float(low), float(high), float(inside[1])} < heights  # 0.25, 0.75 and 0.5
    assert float(before[1]) == min(heights)  # 1


def test_an_interval_ends_where_the_panel_does():
    svg = charts.layers({"a": [charts.Placed(0, 0.5, -9.0, 9.0)]}, "label", "one", "zero")
    (ends,) = re.findall(r'd="M[\d.]+ ([\d.]+)V([\d.]+)"', svg)
    height = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)', svg)[1])
    assert all(0 < float(end) < height for end in ends)


def test_a_report_needs_no_matplotlib_and_rates_need_no_page():
    code = (
        "import sys; from harness import charts; from harness.report import show_rates;"
        "charts.forest(['a'], ['b'], [charts.Point(0, 0, .5, .4, .6)], 'c');"
        "charts.layers({'a': [charts.Placed(0, .5, .4, .6)]}, 'c', 'one', 'zero');"
        "print({'matplotlib', 'harness.report.page', 'harness.report.evidence'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
