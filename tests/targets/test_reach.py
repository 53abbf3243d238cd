"""What a campaign reaches for is told, by `plan` and before anything is sent."""

from __future__ import annotations

import pytest

from harness.campaign import EmbeddedTarget, EndpointTarget, VllmTarget
from harness.masking import hide
from harness.targets import reach
from harness.targets.credentials import Credentials
from tests.commands import truename
from tests.misbehaving import NEVER

HOST = {"role": "suspect", "engine": "endpoint", "model": "m"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOME", "some-value-1")


def test_addresses_variables_programs_and_files_are_told(monkeypatch):
    other = {"base_url": "http://h/v1", "headers": {"a": "Bearer $SOME"}, "api_key_env": "SOME"}
    wanted = [
        EndpointTarget(name="a", **HOST),
        EndpointTarget(name="b", **HOST, **other, extra_body={"x": [{"y": "${OTHER}"}]}),
        EndpointTarget(name="c", **HOST, api_key_env=None, tokenizer="/some/folder"),
        EmbeddedTarget(name="d", role="suspect", engine="embedded", model="lab:suspect"),
        EmbeddedTarget(name="e", role="suspect", engine="embedded", model="/m.gguf"),
        VllmTarget(
            name="f", role="base", engine="vllm", model="hub/m", python="/p", arguments=["--x"]
        ),
    ]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://u:pass-word-1@mine.example/v1/")
    assert reach(wanted) == [
        "a: sends to http://mine.example/v1; "
        "sends there what it reads from $OPENAI_API_KEY (not set)",
        "b: sends to http://h/v1; sends there what it reads from $SOME, $OTHER (not set)",
        "c: sends to http://mine.example/v1; reads /some/folder",
        "e: reads the model /m.gguf",
        "f: reads the model hub/m; starts the program /p; starts vLLM with --x",
    ]


def test_all_that_is_told_is_all_that_is_read(monkeypatch):
    monkeypatch.setenv("OTHER", "other-value-2")
    entry = EndpointTarget(
        **{"name": "t", **HOST, "api_key_env": "SOME", "headers": {"a": "Token $OTHER", "b": "x"}},
        extra_body={"deep": [{"key": "$OTHER"}], "price": "5$", "n": 1},
    )
    found = Credentials(entry)
    assert found.headers == {
        **{"a": "Token other-value-2", "b": "x", "authorization": "Bearer some-value-1"}
    }
    assert found.extra_body == {"deep": [{"key": "other-value-2"}], "price": "5$", "n": 1}


def test_plan_and_run_tell_it_before_anything_is_sent(tmp_path, host, monkeypatch):
    served = host(lambda number, body: [NEVER])
    (tmp_path / "c.yaml").write_text(
        "campaign: c\narms: [absent]\ntargets:\n  - {name: t, role: suspect, engine: endpoint, "
        f"model: m, base_url: '{served.url}', api_key_env: NOWHERE_SET}}\n"
    )
    said = f"t: sends to {served.url}; sends there what it reads from $NOWHERE_SET (not set)"
    for command in ("plan", "run"):
        done = truename(command, "c.yaml", folder=tmp_path)
        assert said in done.stdout and done.exit_code == 2
    assert served.heads == []


@pytest.mark.parametrize(
    "address",
    [
        "http://alice:pass-word-1@127.0.0.1:9/v1",
        "http://pass-word-1@127.0.0.1:9/v1",
        "http://127.0.0.1:9/v1?api_key=pass-word-1",
    ],
)
def test_the_secret_of_an_address_in_the_environment_is_shown_nowhere(
    tmp_path, monkeypatch, address
):
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    (tmp_path / "c.yaml").write_text(
        "campaign: c\narms: [absent]\nlimits: {attempts: 1}\ntargets:\n"
        "  - {name: t, role: suspect, engine: endpoint, model: m, api_key_env: SOME}\n"
    )
    planned = truename("plan", "c.yaml", folder=tmp_path)
    done = truename("run", "c.yaml", "--log-file", "log.jsonl", folder=tmp_path)
    assert done.exit_code == 2 and "127.0.0.1:9/v1" in done.stderr
    left = [
        planned.output.encode(),
        done.output.encode(),
        *(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()),
    ]
    assert not [one for one in left if b"pass-word-1" in one]


@pytest.mark.parametrize(
    "address", ["http://t0ken-of-proxy@127.0.0.1:9", "http://a:t0ken-of-proxy@h"]
)
def test_the_secret_of_a_proxy_is_known(monkeypatch, address):
    monkeypatch.setenv("HTTPS_PROXY", address)
    Credentials(EndpointTarget(name="t", **HOST, api_key_env=None))
    assert "t0ken" not in hide(f"cannot reach {address}")
