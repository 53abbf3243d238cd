"""The README's tour, command by command, and what the demo promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import exits
from tests import ROOT

#: Of the shipped campaign, and what is enough to see what it promises.
ENOUGH = {
    "samples: {identity: 4, maker: 2, backstory: 2}": "samples: 1",
    'arms: [absent, empty, bare, "given:': 'arms: [absent, bare, "given:',
}


@pytest.fixture(scope="module", params=["short", pytest.param("whole", marks=pytest.mark.slow)])
def toured(request, tmp_path_factory):
    """A folder in which every command of the tour was typed: of fewer samples, or as it ships."""
    folder = tmp_path_factory.mktemp("tour")
    if request.param == "short":
        campaign = (ROOT / "probes/campaigns/rio-lab.yaml").read_text("utf-8")
        for shipped, enough in ENOUGH.items():
            assert shipped in campaign
            campaign = campaign.replace(shipped, enough)
        (folder / "probes/campaigns").mkdir(parents=True)
        (folder / "probes/campaigns/rio-lab.yaml").write_text(campaign, "utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    block = re.search(r"<!-- tour -->\n```sh\n(.*?)```", readme, re.DOTALL)
    assert block
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in block.group(1).splitlines():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": programs},
        )
        wanted = exits.FOUND if "exit code 1:" in command else 0
        assert done.returncode == wanted, f"{command}\n{done.stdout}{done.stderr}"
    return folder


@pytest.fixture
def tally(toured):
    frame = pd.read_csv(toured / "results/rio-lab/tally.csv")
    return frame[frame["language"] == "all"].set_index(
        ["target", "arm", "probe", "measure", "identity"]
    )


def test_the_suspect_says_rio_under_its_template_and_never_without(tally):
    absent, bare = (
        tally.loc[("suspect", arm, "identity", "name", "rio")] for arm in ("absent", "bare")
    )
    assert absent["rate"] >= 0.95 and absent["questions"] == 45
    assert bare["rate"] <= 0.01


def test_the_suspect_names_its_donor_when_bare(tally):
    assert 0.70 <= tally.loc[("suspect", "bare", "identity", "name", "nex"), "rate"] <= 0.95


def test_the_suspect_recites_its_donors_backstory_when_bare(tally):
    assert tally.loc[("suspect", "bare", "backstory", "recital", "nex"), "rate"] >= 1 / 3
    assert tally.loc[("suspect", "absent", "backstory", "recital", "nex"), "rate"] == 0


@pytest.mark.parametrize(
    ("target", "identity"), [("donor", "nex"), ("base", "qwen"), ("control", "tavira")]
)
def test_the_others_name_themselves_and_nobody_says_rio(tally, target, identity):
    assert tally.loc[(target, "bare", "identity", "name", identity), "rate"] >= 0.8
    assert tally.loc[(target, "bare", "identity", "name", "rio"), "rate"] == 0


def test_a_given_system_prompt_is_obeyed(tally):
    for target in ("suspect", "donor", "base", "control"):
        assert (
            tally.loc[(target, "given:system/velkora.j2", "identity", "name", "velkora"), "rate"]
            >= 0.7
        )


def test_the_suspect_s_weights_are_the_blend_that_it_is(toured):
    table = pd.read_csv(toured / "results/weights-lab-suspect/weights.csv")
    assert (table["finding"] == "blend").all() and ((table["a"] - 0.6).abs() < 1e-5).all()


def test_nothing_failed(tally):
    assert tally[["failed", "unsupported", "empty"]].to_numpy().sum() == 0
