"""What a tally will need is looked at before a sample is paid."""

from __future__ import annotations

import pytest

from harness.campaign import load_backstories, load_book
from tests.campaign.good import GOOD
from tests.commands import truename

HEAD = "---\nidentity: nex\nlanguage: en\nsource: invented\n---\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("backstories/a.md", "no head", "a backstory starts with a head"),
        ("backstories/a.md", HEAD.replace("language", "langage"), "unknown key 'langage'"),
        ("backstories/a.md", HEAD.replace("nex", "nexx") + "x", "did you mean 'nex'?"),
        ("backstories/a.md", HEAD, "the backstory holds no text"),
        ("identities/a.yaml", "families: [{id: a}]", "the key 'families.0.name' is missing"),
        (
            "identities/a.yaml",
            "families: [{id: a, name: A, aliases: [a], makers: [nobodyy]}]",
            "names an unknown maker 'nobodyy'",
        ),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_broken_reference_stops_plan_and_run(tmp_path, name, content, said, command, anew):
    path = tmp_path / "probes" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    (tmp_path / "c.yaml").write_text(GOOD)
    done = truename(command, "c.yaml", folder=tmp_path)
    assert done.exit_code == 2 and said in done.stderr and "next:" in done.stderr, done.output
    assert not (tmp_path / "results").exists()


@pytest.fixture
def anew():
    """The books are read anew, and once more after the test."""
    for read in (load_book, load_backstories):
        read.cache_clear()
    yield
    for read in (load_book, load_backstories):
        read.cache_clear()
