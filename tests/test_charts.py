"""Pictures."""

from __future__ import annotations

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
