"""What is said before any verdict: samples that are owed, and that none could be scored."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from harness.journal import find_run
from harness.journal.schema import responses
from harness.report import unfinished
from tests.commands import truename
from tests.made_runs import founding, make


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "results", "r", founding)
    return tmp_path


def drop(folder, which):
    """Take blocks out of a journal, as if the run had been stopped before them."""
    run = find_run("r", folder / "results", None)
    with run.journal.engine.begin() as connection:
        gone = connection.execute(sa.delete(responses).where(which(responses.c.position)))
    run.journal.engine.dispose()
    run.journal.told.path.unlink()
    return gone.rowcount


def words(text):
    return " ".join(text.split())


def test_a_whole_run_says_nothing_of_it(folder):
    run = find_run("r", folder / "results", None)
    assert unfinished(run) == []
    run.journal.engine.dispose()
    assert "not finished" not in truename("tally", "r", folder=folder).output


def test_a_stopped_run_says_what_is_owed_before_any_verdict(folder):
    run = find_run("r", folder / "results", None)
    whole = run.journal.held()
    run.journal.engine.dispose()
    per_target = whole // 2
    gone = drop(folder, lambda position: position >= whole // 2 - 3)  # two samples a place
    owed = 2 * gone
    said = f"This run is not finished: {owed} of {whole} samples are owed ("
    for command in (("tally", "r"), ("report", "r", "--terminal"), ("report", "r")):
        done = truename(*command, folder=folder)
        assert done.exit_code == 0, done.output
        out = words(done.stdout)
        assert out.startswith(said), out[:300]
        named = re.search(r"owed \((.*?)\)\.", out)[1]
        assert sum(int(n) for n in re.findall(r" (\d+)(?:,|$)", named)) == owed, named
        assert "To go on: truename run CAMPAIGN --run r" in out
    page = (folder / "results/r/report.html").read_text()
    assert said in page and page.index(said) < page.index('class="verdict')
    assert per_target * 2 == whole


def test_where_the_questions_cannot_be_made_again_nothing_is_claimed(folder):
    drop(folder, lambda position: position > 3)
    (folder / "prompts/identity").mkdir(parents=True)
    (folder / "prompts/identity/en.j2").write_text("{% block q %}Who?{% endblock %}")
    done = truename("tally", "r", folder=folder)
    assert done.exit_code == 0 and "not finished" not in done.output


def test_a_run_in_which_all_failed_says_why(tmp_path):
    make(tmp_path / "results", "r", lambda trial, number: None)
    for command in (("tally", "r"), ("report", "r", "--terminal"), ("report", "r")):
        out = truename(*command, folder=tmp_path).stdout
        assert re.match(r"None of the \d+ samples could be scored:\n  \d+ x suspect absent,", out)
        assert "failed: HTTP 500" in out
