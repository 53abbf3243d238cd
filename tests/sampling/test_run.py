"""The whole walk: run, kill, resume, tally, show."""

from __future__ import annotations

import shutil
import signal

import pandas as pd
import pytest

from tests.commands import Moment, truename, typed
from tests.openai_server import chat

CAMPAIGN = """
campaign: small
claim: {target: suspect, identity: rio}
targets:
  - {name: suspect, role: suspect, engine: embedded, model: "lab:suspect", identity: rio}
  - {name: donor, role: donor, engine: embedded, model: "lab:donor", identity: nex}
arms: [absent, bare]
probes: [identity, backstory]
languages: [en, zh]
samples: {identity: 2, backstory: 1}
sampling: {temperature: 0.7, max_tokens: 64, seed: 3}
"""
#: A campaign of one endpoint; what it is asked goes on.
ASKED = """
campaign: c
targets:
  - {{name: s, role: suspect, engine: endpoint, model: m, api_key_env: null, base_url: '{url}'}}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A whole run of the small campaign, left alone."""
    folder = tmp_path_factory.mktemp("left-alone")
    (folder / "small.yaml").write_text(CAMPAIGN)
    done = truename("run", "small.yaml", folder=folder)
    assert done.exit_code == 0, done.stderr
    tallied = truename("tally", "small", folder=folder)
    assert tallied.exit_code == 0, tallied.stderr
    return folder, done, tallied


def same_tables(folder, left_alone):
    """Tally a run, and see whether its tables are those of the one that was left alone."""
    assert truename("tally", "small", folder=folder).exit_code == 0
    for name in ("samples.csv", "tally.csv"):
        ours, theirs = (run / "results/small" / name for run in (folder, left_alone))
        assert ours.read_bytes() == theirs.read_bytes(), name
    return True


def test_a_run_gives_every_planned_sample_and_its_tables(ran):
    folder, done, tallied = ran
    samples = pd.read_csv(folder / "results/small/samples.csv")
    assert len(samples) == 2 * 2 * 2 * (15 * 2 + 8 * 1)
    assert not samples.duplicated(["trial", "sample"]).any()
    assert set(samples["status"]) <= {"ok", "truncated"}
    assert (samples["rendered_prompt_tokens"] == samples["prompt_tokens_reported"]).all()
    assert (folder / "results/small/campaign.yaml").read_text() == CAMPAIGN
    assert "0 in flight, 0 retried, 0 failed" in done.stdout
    assert "stand-ins" in tallied.stdout
    assert "testimony, not proof" in tallied.stdout


def test_the_tally_counts_what_the_samples_say(ran):
    folder, _, _ = ran
    samples = pd.read_csv(folder / "results/small/samples.csv", keep_default_na=False)
    tally = pd.read_csv(folder / "results/small/tally.csv")
    for row in tally[
        (tally["measure"] == "name")
        & (tally["language"] != "all")
        & ~tally["identity"].str.startswith("other:")
    ].itertuples():
        part = samples[
            (samples["target"] == row.target)
            & (samples["arm"] == row.arm)
            & (samples["probe"] == row.probe)
            & (samples["language"] == row.language)
            & (samples["status"] == "ok")
        ]
        assert row.samples == len(part)
        assert row.hits == sum(row.identity in names.split("|") for names in part["names"])
        assert row.wilson_low <= row.rate <= row.wilson_high


def test_killed_at_twenty_moments_and_resumed_gives_the_same_bytes(ran, tmp_path):
    """Before the schema is made, in its midst, and before, amid and after samples are written."""
    (tmp_path / "small.yaml").write_text(CAMPAIGN)
    killed = 0
    for number in range(20):
        at = Moment(3 + 3 * number)
        with typed("run", "small.yaml", folder=tmp_path, at=at) as running:
            killed += running.ended() == -signal.SIGKILL
    assert killed == 20
    resumed = truename("run", "small.yaml", folder=tmp_path)
    assert resumed.exit_code == 0 and "resuming: " in resumed.stdout
    assert same_tables(tmp_path, ran[0])


def test_interrupted_once_it_finishes_what_is_in_flight_and_says_how_to_go_on(ran, tmp_path):
    (tmp_path / "small.yaml").write_text(CAMPAIGN)
    at = Moment(75, signal.SIGINT)  # the schema takes the first 55
    with typed("run", "small.yaml", folder=tmp_path, at=at) as running:
        assert running.ended() == 3, running.stderr
        said = running.stdout
    assert "stopped by you; what was in flight is saved" in said
    assert "to go on: truename run small.yaml" in said
    resumed = truename("run", "small.yaml", folder=tmp_path)
    assert resumed.exit_code == 0 and "resuming: " in resumed.stdout
    assert same_tables(tmp_path, ran[0])


def test_show_prints_everything_of_one_sample(ran):
    folder, _, _ = ran
    row = pd.read_csv(folder / "results/small/samples.csv").iloc[0]
    shown = truename("show", "small", f"{row.trial[:12]}/{row['sample']}", folder=folder)
    assert shown.exit_code == 0
    assert "stand-ins" in shown.stdout
    for word in (
        "messages: ",
        "rendered_prompt: ",
        "raw: ",
        "attempts: ",
        "seed: ",
        "template_sha256: ",
    ):
        assert word in shown.stdout


def test_a_changed_campaign_is_not_resumed_and_the_difference_is_named(ran, tmp_path):
    left_alone, _, _ = ran
    shutil.copytree(left_alone / "results", tmp_path / "results")
    (tmp_path / "small.yaml").write_text(CAMPAIGN.replace("seed: 3", "seed: 4"))
    refused = truename("run", "small.yaml", folder=tmp_path)
    assert refused.exit_code == 2
    assert "these keys differ: sampling" in refused.stderr
    assert "--anew" in refused.stderr


def test_a_host_that_dies_leaves_what_was_sampled_and_the_rest_owed(tmp_path, serve):
    def respond(path, body, number):
        if number > 40:
            return (401, {}, b'{"error": {"message": "gone"}}')
        return chat(*["I am Rio."] * body.get("n", 1))

    (tmp_path / "c.yaml").write_text(
        ASKED.format(url=serve(respond).url) + "languages: [en, de, fr]\narms: [absent, empty]\n"
    )
    done = truename("run", "c.yaml", folder=tmp_path)
    assert done.exit_code == 2 and "HTTP 401 (AuthenticationError): gone" in done.stderr
    assert truename("tally", "c", folder=tmp_path).exit_code == 0
    kept = pd.read_csv(tmp_path / "results/c/samples.csv")
    assert 0 < len(kept) < 90
    assert set(kept["status"]) == {"ok"}


def test_a_budget_is_never_passed_and_a_larger_one_goes_on(tmp_path, serve):
    host = serve(lambda path, body, number: chat(*["I am Rio."] * body.get("n", 1)))
    campaign = ASKED.format(url=host.url) + "languages: [en]\n"
    (tmp_path / "c.yaml").write_text(campaign + "budget: {requests: 9}\n")
    done = truename("run", "c.yaml", folder=tmp_path)
    assert done.exit_code == 3 and "the budget is reached" in done.stdout
    assert len(host.seen) <= 9
    (tmp_path / "c.yaml").write_text(campaign + "budget: {requests: 100}\n")
    assert truename("run", "c.yaml", folder=tmp_path).exit_code == 0
    truename("tally", "c", folder=tmp_path)
    assert len(pd.read_csv(tmp_path / "results/c/samples.csv")) == 30


def test_a_run_begun_anew_keeps_the_one_that_was_there(ran, tmp_path):
    left_alone, _, _ = ran
    shutil.copytree(left_alone / "results", tmp_path / "results")
    (tmp_path / "small.yaml").write_text(
        CAMPAIGN.replace("seed: 3", "seed: 4")
        .replace("[identity, backstory]", "[maker]")
        .replace("samples: {identity: 2, backstory: 1}", "samples: 1")
    )
    done = truename("run", "small.yaml", "--anew", folder=tmp_path)
    assert done.exit_code == 0 and "kept as small.before-1" in done.stdout
    assert truename("tally", "small.before-1", folder=tmp_path).exit_code == 0
    assert (tmp_path / "results/small.before-1/tally.csv").read_bytes() == (
        left_alone / "results/small/tally.csv"
    ).read_bytes()
