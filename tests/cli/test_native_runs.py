"""A whole run by each native API: sampled, tallied, and its replies where they belong."""

from __future__ import annotations

import csv
import json
import textwrap

import pytest

from tests.commands import truename
from tests.targets import apis, test_ollama

CAMPAIGN = """
    campaign: native
    targets:
      - {name: t, role: suspect, engine: %s, base_url: "%s", model: m-1, api_key_env: null}
    arms: [absent, bare, "given:system/nex.j2"]
    probes: [identity]
    languages: [en]
    samples: 1
    sampling: {max_tokens: 200}
    """


def answering(engine):
    """A host of one API: it names itself as its system prompt says, else Rio."""

    def respond(path, body, number):
        if path.endswith(("input_tokens", "count_tokens", ":countTokens")):
            return {"input_tokens": 9, "totalTokens": 9}
        name = "Nex" if "You are Nex" in json.dumps(body) else "Rio"
        n = body.get("generationConfig", {}).get("candidateCount", 1)
        return apis.ANSWERS[engine](*[f"I am {name}."] * n)

    return (respond,)


def ollama_host():
    respond, got = test_ollama.hosted()

    def answer(path, body, number):
        if path == "/api/chat" and "_debug_render_only" not in body:
            name = "Nex" if "You are Nex" in json.dumps(body) else "Rio"
            return test_ollama.chat(f"I am {name}.")
        return respond(path, body, number)

    return answer, got


@pytest.mark.parametrize("engine", [*sorted(apis.ANSWERS), "ollama"])
def test_a_whole_run_by_a_native_api(serve, tmp_path, engine):
    host = serve(*(ollama_host() if engine == "ollama" else answering(engine)))
    (tmp_path / "prompts" / "system").mkdir(parents=True)
    (tmp_path / "prompts" / "system" / "nex.j2").write_text("You are Nex.")
    path = tmp_path / "native.yaml"
    path.write_text(textwrap.dedent(CAMPAIGN) % (engine, host.url))
    ran = truename("run", path, "--no-live", folder=tmp_path)
    assert ran.exit_code == 0, ran.output
    tallied = truename("tally", "native", folder=tmp_path)
    assert tallied.exit_code == 0, tallied.output
    with (tmp_path / "results" / "native" / "tally.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["language"] == "all"]
    rates = {
        (row["arm"], row["identity"]): (row["rate"], int(row["samples"]), int(row["unsupported"]))
        for row in rows
        if row["measure"] == "name"
    }
    asked = rates["absent", "rio"][1]
    assert asked > 0 and float(rates["absent", "rio"][0]) == 1.0
    assert float(rates["given:system/nex.j2", "nex"][0]) == 1.0
    if engine == "ollama":  # the raw prompt brings what the model says without its file's words
        assert float(rates["bare", "nex"][0]) == 1.0
    else:
        assert all(
            (samples, unsupported) == (0, asked)
            for (arm, _), (_, samples, unsupported) in rates.items()
            if arm == "bare"
        )
