"""Work in several processes: the same order and the same errors as in one."""

from __future__ import annotations

import os
import signal

import pytest

from harness.errors import ScoreError
from harness.jobs import cores, mapped
from tests.commands import truename


def _told(batch: list[int]) -> tuple[int, list[int]]:
    if 13 in batch:
        raise ValueError("thirteen")
    return os.getpid(), [number * 2 for number in batch]


def test_batches_come_back_in_order_from_several_processes():
    batches = [[n, n + 1] for n in range(0, 12, 2)]
    made = list(mapped(_told, batches, 2))
    assert [batch for batch, _ in made] == batches
    assert [doubled for _, (_, doubled) in made] == [[2 * n for n in batch] for batch in batches]
    assert os.getpid() not in {worker for _, (worker, _) in made}


def test_one_batch_stays_in_this_process():
    assert list(mapped(_told, [[1]], 8)) == [([1], (os.getpid(), [2]))]
    assert list(mapped(_told, [], 8)) == []


def test_an_error_in_a_process_is_raised_here():
    with pytest.raises(ValueError, match="thirteen"):
        list(mapped(_told, [[1], [13], [2], [3]], 2))


def _killed(batch: list[int]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_a_reason_and_no_traceback():
    with pytest.raises(ScoreError, match="ended from outside"):
        list(mapped(_killed, [[1], [2]], 2))


def _heard_ctrl_c(batch: list[int]) -> bool:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        return True
    return False


def test_ctrl_c_is_not_for_the_processes_that_work():
    assert [heard for _, heard in mapped(_heard_ctrl_c, [[1], [2], [3]], 2)] == [False] * 3


def test_batches_are_taken_as_they_are_needed():
    taken = []

    def batches():
        for number in range(200):
            taken.append(number)
            yield [number + 100]

    made = mapped(_told, batches(), 2)
    next(made)
    assert len(taken) < 10
    made.close()


def test_scoring_in_two_processes_writes_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.counting.replies.CHUNK", 40)
    file = tmp_path / "replies.csv"
    rows = [f"{n},I am {('Nex', 'Qwen', 'Zorbly')[n % 3]} number {n}." for n in range(100)]
    file.write_text("\n".join(["id,reply", *rows]), encoding="utf-8")
    for jobs in (1, 2):
        done = truename("score", file, "--out", tmp_path / f"{jobs}.csv", "--jobs", jobs)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_there_is_a_core_at_least():
    assert cores() >= 1
