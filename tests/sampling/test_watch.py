"""What whoever watches a run is shown: a table of 80 columns, and a line."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.sampling import Counts, Progress
from harness.sampling import watch as watching
from harness.sampling.watch import Watch


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    return now


def table(watch):
    console = Console(width=80, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(watch._table())
    return captured.get()


def test_a_target_that_is_done_keeps_its_speed(clock):
    quick, slow = Counts(planned=100), Counts(planned=1000)
    watch = Watch(Progress({"quick": quick, "slow": slow}), live=True)
    quick.running = slow.running = 1
    watch._changed()
    clock[0] += 10
    quick.done, slow.done = 100, 50
    watch._changed()
    clock[0] += 90
    slow.done = 100
    assert re.search(r"^quick +100/100 +10/s +done", table(watch), re.MULTILINE)
    assert re.search(r"^slow +100/1000 +1\.0/s +15:00", table(watch), re.MULTILINE)
    assert "15:00 left" in watch.line()


def test_targets_that_take_turns_are_timed_from_their_own_beginning(clock):
    first, second = Counts(planned=100), Counts(planned=100)
    watch = Watch(Progress({"first": first, "second": second}), live=True)
    first.running = 1
    watch._changed()
    clock[0] += 20
    first.done, first.running, second.running = 100, 0, 1
    watch._changed()
    assert "0:20 left" in watch.line()  # the second has not begun: as fast as all so far
    clock[0] += 10
    second.done = 20
    assert re.search(r"^second +20/100 +2\.0/s +0:40", table(watch), re.MULTILINE)
    assert "0:40 left" in watch.line()


def test_unsupported_samples_are_told_where_there_are_some(clock):
    counts = Counts(planned=10)
    watch = Watch(Progress({"host": counts}), live=True)
    assert "unsup" not in table(watch)
    counts.done = counts.unsupported = 4
    assert "unsup." in table(watch) and "4 unsupported" in watch.line()


def test_the_table_fits_in_80_columns(clock):
    worst = Counts(
        *(99_999, 88_888, 128, 0, 7777, 6666, 5555, 0, 999_999_999, 12_345.67),
        last_error="x" * 300,
    )
    watch = Watch(Progress({"a-target-with-a-long-name-" + "x" * 40: worst}), live=True)
    clock[0] += 3600
    assert max(cell_len(line.rstrip()) for line in table(watch).splitlines()) <= 80


def test_a_second_request_of_a_host_without_n_is_no_retry():
    from harness.sampling.committer import retried

    assert retried(("ok", "ok", "ok")) == 0
    assert retried(("HTTP 429", "ok", "HTTP 500", "HTTP 500", "ok")) == 3
    assert retried(("HTTP 401",)) == 0
