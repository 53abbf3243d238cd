"""How far a command is: shown where it is wanted, in lines that say how long it still takes."""

from __future__ import annotations

import io
import re
import sys

import pytest

from harness import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown():
    progress.show(True)
    yield
    progress.show(False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by 0.1 s at each look."""
    now = [0.0]

    def tick() -> float:
        now[0] += 0.1
        return now[0]

    monkeypatch.setattr(progress.time, "monotonic", tick)
    return now


def test_nothing_is_shown_where_nobody_asked(capsys, clock):
    assert list(progress.watched(range(100_000), "samples")) == list(range(100_000))
    assert capsys.readouterr().err == ""


def test_work_that_is_over_at_once_shows_nothing(capsys, shown):
    assert list(progress.watched(range(100), "samples", 100)) == list(range(100))
    assert capsys.readouterr().err == ""


def test_without_a_terminal_a_line_now_and_then_says_how_long_it_takes(capsys, shown, clock):
    assert sum(1 for _ in progress.watched(range(64_000), "samples scored", 64_000)) == 64_000
    lines = capsys.readouterr().err.splitlines()
    assert 5 < len(lines) < 20
    first = re.fullmatch(r"([\d,]+) of 64,000 samples scored, (\d+)/s, (\d:\d\d) left", lines[0])
    assert first
    done, speed = int(first[1].replace(",", "")), int(first[2])
    minutes, seconds = map(int, first[3].split(":"))
    assert abs((64_000 - done) / speed - 60 * minutes - seconds) < 2


def test_an_unknown_whole_says_so(capsys, shown, clock):
    list(progress.watched(iter(range(20_000)), "rows read"))
    assert "rows read" in (said := capsys.readouterr().err) and "time left unknown" in said


def test_bytes_are_told_in_gigabytes(clock, shown):
    bar = progress.Bar("read", None, in_bytes=True)
    bar.at(0, 4_000_000_000)
    assert bar.line(1_000_000_000, bar.began + 10) == ("1.00 of 4.00 GB read, 100 MB/s, 0:30 left")


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch, shown, clock):
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    list(progress.watched(range(5_000), "samples scored", 5_000))
    assert "samples scored" in screen.getvalue() and "5000/5000" in screen.getvalue()


def test_what_is_named_by_a_stranger_brings_no_escapes():
    assert "\x1b" not in progress.Bar("\x1b[2J", 1).what


def test_a_consumer_that_stops_midway_ends_the_bar(monkeypatch, shown, clock):
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    items = progress.watched(range(5_000), "samples", 5_000)
    for item in items:
        if item == 4_000:
            break
    items.close()
    assert screen.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in screen.getvalue()
