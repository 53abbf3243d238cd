"""The process that renders templates of others: what it may not, and that it is there again."""

from __future__ import annotations

import io
import os
import signal
import threading

import pytest

from harness import guarded
from harness.guarded import NotRendered, rendered
from harness.rendering import write_whole
from tests.commands import until


def text(source, tmp_path, **variables):
    path = tmp_path / "t.j2"
    path.write_text(source)
    return rendered("text", roots=[], path=str(path), variables=variables, most=1000)


def test_a_job_that_breaks_the_process_leaves_the_next_one_unharmed(tmp_path, hostile):
    broken = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(NotRendered, match="CPU time"):
        text(broken, tmp_path)
    assert text("{{ x }}", tmp_path, x="é\ud800") == "é\ud800"


def test_jobs_together_may_be_bound(tmp_path, monkeypatch):
    """A file of strangers may hold many templates that each stay below the limit."""
    monkeypatch.setattr(guarded, "_process", guarded._Process())
    try:
        guarded.allow_together(0.5)
        assert text("a", tmp_path) == "a"
        # a clock of CPU time may stand still so long
        assert 0 < guarded._process.left <= 0.5
        with pytest.raises(NotRendered, match="together take more CPU time"):
            text(
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                tmp_path,
            )
        with pytest.raises(NotRendered, match="together take more CPU time"):
            text("a", tmp_path)
    finally:
        guarded._process.end()


def test_a_process_that_was_killed_from_outside_is_started_again(tmp_path):
    assert text("a", tmp_path) == "a"
    process = guarded._process._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert text("b", tmp_path) == "b"


def test_a_job_whose_process_others_end_is_done_again(tmp_path):
    """It reads its template from a pipe, so that it is seen to be under way, and waits."""
    pipe, found = tmp_path / "t.j2", []
    os.mkfifo(pipe)
    file = {"roots": [], "path": str(pipe), "most": 10}
    asked = threading.Thread(
        target=lambda: found.append(rendered("text", variables={"x": "there"}, **file))
    )
    asked.start()
    with pipe.open("w"):  # opened once the process reads from it
        process = guarded._process._process
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: guarded._process._process is not process)
    with pipe.open("w") as again:
        again.write("{{ x }}")
    asked.join()
    assert found == ["there"]


def test_a_message_leaves_nothing_that_a_fork_would_write_again(tmp_path):
    """What waits in a file's buffer a forked process writes too, when it lets go."""
    held, told = os.pipe()

    class Waiting(io.BufferedWriter):
        def flush(self):
            """A fork comes before."""

    with open(held, "rb") as source:  # noqa: PTH123
        to = Waiting(io.FileIO(told, "wb"))
        os.set_blocking(held, False)
        write_whole(b"asked", to)
        assert source.read() == (5).to_bytes(8) + b"asked"
        to.detach().close()


def test_a_process_that_cannot_be_started_is_a_reason(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(guarded, "_process", guarded._Process())
    monkeypatch.setattr(guarded.subprocess, "Popen", refused)
    with pytest.raises(NotRendered, match=r"cannot be started: .*temporarily unavailable"):
        text("a", tmp_path)


def test_no_secret_of_the_environment_reaches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(guarded, "_process", guarded._Process())
    try:
        text("a", tmp_path)
        with open(f"/proc/{guarded._process._process.pid}/environ", "rb") as source:  # noqa: PTH123
            assert b"sk-secret" not in source.read()
    finally:
        guarded._process.end()


def test_many_threads_get_the_answer_to_their_own_job(tmp_path):
    (tmp_path / "t.j2").write_text("{{ x }}")
    found = {}

    def ask(number):
        file = {"roots": [], "path": str(tmp_path / "t.j2"), "most": 10}
        found[number] = rendered("text", variables={"x": number}, **file)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number) for number in range(20)}


def test_a_forked_process_has_one_of_its_own(tmp_path):
    text("a", tmp_path)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if text("b", tmp_path) == "b" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert text("c", tmp_path) == "c"
