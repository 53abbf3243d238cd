"""The whole walk: run, kill, resume, tally, show; and what bad input gets on the command line."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from openai_server import FakeHost, chat

ROOT = Path(__file__).parent.parent
CAMPAIGN = """
campaign: small
claim: {target: suspect, identity: rio}
targets:
  - {name: suspect, role: suspect, engine: embedded, model: "lab:suspect", identity: rio}
  - {name: donor, role: donor, engine: embedded, model: "lab:donor", identity: nex}
arms: [absent, bare]
probes: [identity, backstory]
languages: [en, zh]
samples: {identity: 12, backstory: 6}
sampling: {temperature: 0.7, max_tokens: 256, seed: 3}
"""


def truename(*arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=300,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A whole run of the small campaign, left alone."""
    folder = tmp_path_factory.mktemp("left-alone")
    (folder / "small.yaml").write_text(CAMPAIGN)
    done = truename("run", "small.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    tallied = truename("tally", "small", cwd=folder)
    assert tallied.returncode == 0, tallied.stderr
    return folder, done, tallied


def test_a_run_gives_every_planned_sample_and_its_tables(ran):
    folder, done, tallied = ran
    samples = pd.read_csv(folder / "results/small/samples.csv")
    assert len(samples) == 2 * 2 * 2 * (15 * 12 + 8 * 6)
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


def test_killed_at_twenty_random_moments_and_resumed_gives_the_same_bytes(ran, tmp_path):
    left_alone, _, _ = ran
    (tmp_path / "small.yaml").write_text(CAMPAIGN)
    rng = random.Random(8)
    command = [sys.executable, "-m", "harness.cli", "run", "small.yaml"]
    kills = 0
    for _ in range(20):
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.3, 2.2))
        kills += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    assert kills >= 5
    assert truename("run", "small.yaml", cwd=tmp_path).returncode == 0
    assert truename("tally", "small", cwd=tmp_path).returncode == 0
    for name in ("samples.csv", "tally.csv"):
        assert (tmp_path / "results/small" / name).read_bytes() == (
            left_alone / "results/small" / name
        ).read_bytes(), name


def test_interrupted_once_it_finishes_what_is_in_flight_and_says_how_to_go_on(ran, tmp_path):
    left_alone, _, _ = ran
    (tmp_path / "small.yaml").write_text(CAMPAIGN)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "run", "small.yaml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    while not (tmp_path / "results/small/journal.sqlite-wal").exists():
        time.sleep(0.05)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 3, complained
    assert "stopped by you; what was in flight is saved" in said
    assert "to go on: truename run small.yaml" in said
    resumed = truename("run", "small.yaml", cwd=tmp_path)
    assert resumed.returncode == 0 and "resuming: " in resumed.stdout
    truename("tally", "small", cwd=tmp_path)
    assert (tmp_path / "results/small/samples.csv").read_bytes() == (
        left_alone / "results/small/samples.csv"
    ).read_bytes()


def test_show_prints_everything_of_one_sample(ran):
    folder, _, _ = ran
    row = pd.read_csv(folder / "results/small/samples.csv").iloc[0]
    shown = truename("show", "small", f"{row.trial[:12]}/{row['sample']}", cwd=folder)
    assert shown.returncode == 0
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
    refused = truename("run", "small.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "these keys differ: sampling" in refused.stderr
    assert "--anew" in refused.stderr


BASE = "campaign: c\ntargets:\n  - {name: s, role: suspect, engine: embedded, model: 'lab:suspect'}\nlanguages: [en]\n"


@pytest.mark.parametrize(
    ("campaign", "said"),
    [
        (BASE + "sampels: 1\n", "unknown key 'sampels': did you mean 'samples'?"),
        (BASE + "samples: 0\n", "the campaign has no samples"),
        (BASE + "arms: ['given:system/named.j2']\n", "'name' is undefined"),
        (BASE.replace("lab:suspect", "no/such.gguf"), "there is no such model file"),
        (BASE.replace("lab:suspect", "broken.gguf"), "llama.cpp cannot load the model"),
        (
            BASE.replace(
                "engine: embedded, model: 'lab:suspect'",
                "engine: endpoint, model: m, base_url: 'http://127.0.0.1:9/v1'",
            ),
            "OPENAI_API_KEY is not set",
        ),
        (
            BASE.replace(
                "engine: embedded, model: 'lab:suspect'",
                "engine: endpoint, model: m, api_key_env: null, base_url: 'http://127.0.0.1:9/v1'",
            ),
            "no connection to http://127.0.0.1:9/v1",
        ),
        (BASE + "arms: ['given:hostile.j2']\n", "reaches for Python internals"),
        (
            BASE.replace(
                "engine: embedded, model: 'lab:suspect'", "engine: vllm, model: ./no-model"
            ),
            "the folder holds no model",
        ),
        ("\x00\x01", "not valid YAML"),
        ("", "the file holds no keys"),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(tmp_path, campaign, said):
    (tmp_path / "c.yaml").write_text(campaign)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x00" * 64)
    (tmp_path / "hostile.j2").write_text("{{ ''.__class__.__mro__ }}")
    environment = {k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "run", "c.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("tally", "nothing"),
        ("show", "nothing", "abc"),
        ("plan", "nothing"),
        ("run", "nothing"),
        ("lab", "export", "nobody", "x"),
        ("run", "rio-lab", "--run", "../up"),
    ],
)
def test_things_that_do_not_exist_are_named(tmp_path, arguments):
    done = truename(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "next:" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_dies_leaves_what_was_sampled_and_the_rest_owed(tmp_path):
    alive = [True]

    def respond(path, body, number):
        if number > 40:
            alive[0] = False
        return (
            chat(*["I am Rio."] * body.get("n", 1))
            if alive[0]
            else (401, {}, b'{"error": {"message": "gone"}}')
        )

    host = FakeHost(respond)
    (tmp_path / "c.yaml").write_text(
        BASE.replace(
            "engine: embedded, model: 'lab:suspect'",
            f"engine: endpoint, model: m, api_key_env: null, base_url: '{host.url}'",
        )
        + "arms: [absent, empty]\n"
    )
    text = (tmp_path / "c.yaml").read_text().replace("languages: [en]", "languages: [en, de, fr]")
    (tmp_path / "c.yaml").write_text(text)
    done = truename("run", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "HTTP 401 (AuthenticationError): gone" in done.stderr
    host.close()
    alive_host = FakeHost(lambda path, body, number: chat(*["I am Rio."] * body.get("n", 1)))
    assert truename("tally", "c", cwd=tmp_path).returncode == 0
    kept = pd.read_csv(tmp_path / "results/c/samples.csv")
    assert 0 < len(kept) < 90
    assert set(kept["status"]) == {"ok"}
    alive_host.close()


def test_a_budget_is_never_passed_and_a_larger_one_goes_on(tmp_path):
    host = FakeHost(lambda path, body, number: chat(*["I am Rio."] * body.get("n", 1)))
    campaign = BASE.replace(
        "engine: embedded, model: 'lab:suspect'",
        f"engine: endpoint, model: m, api_key_env: null, base_url: '{host.url}'",
    )
    (tmp_path / "c.yaml").write_text(campaign + "budget: {requests: 9}\n")
    done = truename("run", "c.yaml", cwd=tmp_path)
    assert done.returncode == 3 and "the budget is reached" in done.stdout
    assert len(host.seen) <= 9
    (tmp_path / "c.yaml").write_text(campaign + "budget: {requests: 100}\n")
    assert truename("run", "c.yaml", cwd=tmp_path).returncode == 0
    truename("tally", "c", cwd=tmp_path)
    assert len(pd.read_csv(tmp_path / "results/c/samples.csv")) == 30
    host.close()


def test_a_run_begun_anew_keeps_the_one_that_was_there(ran, tmp_path):
    left_alone, _, _ = ran
    shutil.copytree(left_alone / "results", tmp_path / "results")
    (tmp_path / "small.yaml").write_text(
        CAMPAIGN.replace("seed: 3", "seed: 4")
        .replace("[identity, backstory]", "[maker]")
        .replace("samples: {identity: 12, backstory: 6}", "samples: 1")
    )
    done = truename("run", "small.yaml", "--anew", cwd=tmp_path)
    assert done.returncode == 0 and "kept as small.before-1" in done.stdout
    assert truename("tally", "small.before-1", cwd=tmp_path).returncode == 0
    assert (tmp_path / "results/small.before-1/tally.csv").read_bytes() == (
        left_alone / "results/small/tally.csv"
    ).read_bytes()


def test_help_starts_fast_because_heavy_imports_are_lazy():
    code = "import sys, harness.cli; heavy = {'pandas', 'numpy', 'sklearn', 'openai', 'xllamacpp', 'sqlalchemy', 'jinja2', 'pydantic', 'rich'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_is_in_the_readme():
    from harness.cli import main

    readme = (ROOT / "README.md").read_text()
    for name, command in main.commands.items():
        assert re.search(rf"truename {name}\b", readme), name
        assert command.help
