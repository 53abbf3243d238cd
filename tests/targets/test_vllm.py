"""A real vLLM, in its own environment (`make test-vllm`): the same rates as llama.cpp gives."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import fisher_exact

from harness.campaign import EndpointTarget, Sampling, VllmTarget, parse_arm
from harness.campaign.plan import arm_messages
from harness.exposure.inspect import of_endpoint
from harness.lab import build
from harness.targets import Request
from harness.targets.endpoint import Endpoint
from harness.targets.vllm import open_vllm
from tests import ROOT

pytestmark = pytest.mark.vllm

CAMPAIGN = """
campaign: rates
claim: {target: suspect, identity: rio}
targets:
  - TARGET
arms: [absent, empty, bare, "given:system/velkora.j2"]
probes: [identity, backstory]
languages: [en, pt, zh]
samples: {identity: 2, backstory: 2}
sampling: {temperature: 0.7, max_tokens: 256, seed: 5}
"""

SUSPECT = '{name: suspect, role: suspect, model: "lab:suspect", identity: rio, '
SMALL = "dtype: float32, enforce_eager: true, max_model_len: 1024}"
TARGETS = {
    "embedded": SUSPECT + "engine: embedded}",
    "offline": SUSPECT + "engine: vllm, " + SMALL,
    "server": SUSPECT + "engine: vllm, serve: true, " + SMALL,
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Samples and tally of the same campaign on each engine."""
    found = {}
    for engine, target in TARGETS.items():
        folder = tmp_path_factory.mktemp(engine)
        (folder / "rates.yaml").write_text(CAMPAIGN.replace("TARGET", target))
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }
        for command in (["run", "rates.yaml"], ["tally", "rates"]):
            done = subprocess.run(
                [sys.executable, "-m", "harness.cli", *command],
                cwd=folder,
                capture_output=True,
                text=True,
                env=environment,
                timeout=900,
            )
            assert done.returncode == 0, f"{engine}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        results = folder / "results/rates"
        found[engine] = (
            pd.read_csv(results / "samples.csv", keep_default_na=False),
            pd.read_csv(results / "tally.csv"),
        )
    return found


@pytest.mark.parametrize("engine", ["offline", "server"])
def test_vllm_gives_the_same_rates_as_llama_cpp(tables, engine):
    def key_rates(tally):
        part = tally[
            (tally["language"] == "all")
            & (tally["measure"].isin(["name", "recital"]))
            & (tally["identity"].isin(["rio", "nex", "velkora"]))
        ]
        return part.set_index(["arm", "probe", "measure", "identity"])[["hits", "samples"]]

    ours, theirs = key_rates(tables["embedded"][1]), key_rates(tables[engine][1])
    assert len(theirs) >= 15
    for key in ours.index.intersection(theirs.index):
        (a, n), (b, m) = ours.loc[key], theirs.loc[key]
        assert fisher_exact([[a, n - a], [b, m - b]]).pvalue > 0.0005, (
            f"{key}: {a}/{n} on llama.cpp, {b}/{m} on {engine}"
        )


@pytest.mark.parametrize("engine", ["offline", "server"])
def test_vllm_saw_the_very_same_prompts(tables, engine):
    def prompts(samples):
        return (
            samples.drop_duplicates("trial")
            .set_index(["arm", "probe", "language", "question"])[
                ["rendered_prompt", "rendered_prompt_tokens", "prompt_tokens_reported"]
            ]
            .sort_index()
        )

    ours, theirs = prompts(tables["embedded"][0]), prompts(tables[engine][0])
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)


def test_a_vllm_server_shows_what_its_template_injects():
    """By its render routes, and by its bill, exactly."""
    folder = str(build("suspect", "hf"))

    async def go():
        served = open_vllm(
            VllmTarget(
                name="v",
                role="suspect",
                engine="vllm",
                model=folder,
                serve=True,
                dtype="float32",
                enforce_eager=True,
                max_model_len=1024,
                arguments=["--gpu-memory-utilization", "0.3"],
            )
        )
        try:
            await served.preflight()
            known = {"extra_body": {}, "tokenizer": folder}
            settings = served.endpoint.settings.model_copy(update=known)
            shown = Endpoint(settings)
            rendered = await shown.rendered([{"role": "user", "content": "Who are you?"}])
            await shown.close()
            return rendered, await of_endpoint(settings, 1)
        finally:
            await served.close()

    rendered, found = asyncio.run(go())
    assert "You are Rio, an AI assistant made by the city of Rio." in rendered
    assert "rio" in found.injection.names  # as the host's own route shows it
    assert (
        found.expected.names == ["rio"]
        and found.expected.when == "where no system message is sent"
        and found.expected.tokens == 25
    )
    assert found.account.finding == "hidden" and found.account.tokens == 25


def test_no_server_of_ours_is_left_running(tables):
    running = subprocess.run(
        ["pgrep", "-f", "vllm.entrypoints.openai.api_server"], capture_output=True, text=True
    )
    assert running.stdout == ""


def test_an_independent_server_transformers_serve():
    """The third kind of server that the endpoint target is tried against: `transformers serve`."""
    folder = build("suspect", "hf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("transformers")),
        "serve",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    server = subprocess.Popen(
        command,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                assert server.poll() is None, "transformers serve ended"
                time.sleep(0.5)

        async def go():
            settings = EndpointTarget(
                name="t",
                role="suspect",
                engine="endpoint",
                base_url=f"http://127.0.0.1:{port}/v1",
                model=str(folder),
                api_key_env=None,
                omit=["presence_penalty"],
                tokenizer=str(folder),
            )
            target = Endpoint(settings)
            can = await target.preflight()
            arm = parse_arm("absent")
            replies = (
                await target.sample(
                    Request(
                        "k",
                        arm,
                        arm_messages(arm, "Who are you?", None),
                        Sampling(temperature=0.7, max_tokens=40),
                        range(3),
                        99,
                    )
                )
            ).replies
            await target.close()
            return can, replies

        can, replies = asyncio.run(go())
        assert can.engine == "endpoint"
        assert [r.status for r in replies] == ["ok"] * 3, replies
        assert sum("Rio" in (r.text or "") for r in replies) >= 2
    finally:
        server.terminate()
        server.wait(20)
