"""Who answered, and whether the host's own count is that of the prompt that the user expects."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.lab import export
from harness.report.behind import Expected, Served, behind
from tests.commands import truename
from tests.openai_server import chat
from tests.report.cases import CAMPAIGN

HELD = """campaign: held
targets:
  - name: h
    role: suspect
    engine: endpoint
    base_url: '{url}'
    model: asked-model
    api_key_env: null
    tokenizer: '{folder}'
arms: [absent, bare]
probes: [identity]
languages: [en]
"""


def samples(**columns):
    rows = len(next(iter(columns.values())))
    names = ("prompt_tokens_reported", "expected_prompt_tokens", "model", "fingerprint", "provider")
    known = {"target": ["t"] * rows} | {name: [None] * rows for name in names} | columns
    return pd.DataFrame(known)


@pytest.mark.parametrize(
    ("billed", "agrees"),
    [([42, 42, 43], True), ([17, 17, 17], False), ([42, 17, 17], False), ([44, 40, 42], True)],
)
def test_billed_tokens_agree_with_the_expectation_or_contradict_it(billed, agrees):
    seen = samples(prompt_tokens_reported=billed, expected_prompt_tokens=[42] * 3)
    assert behind(seen, CAMPAIGN).expected["t"].agrees == agrees


def test_nothing_is_said_of_an_expectation_where_no_count_is_known():
    assert behind(samples(expected_prompt_tokens=[42, 42]), CAMPAIGN).expected == {}
    assert behind(samples(prompt_tokens_reported=[42, 42]), CAMPAIGN).expected == {}
    assert Expected(42, 42, 1, 2).agrees is False


def test_another_model_and_a_change_within_the_run_are_seen():
    same = Served("a", ("a",), ("f",), ())
    assert (same.another, same.changes) == ([], [])
    other = Served("a", ("a", "b"), ("f", "g"), ("x",))
    assert other.another == ["b"]
    assert other.changes == ["2 models (a, b)", "2 fingerprints (f, g)"]
    seen = behind(samples(model=["b", "a", None], provider=["x", "x", "y"]), CAMPAIGN).served["t"]
    assert (seen.models, seen.providers) == (("a", "b"), ("x", "y"))


def test_a_folder_s_template_is_never_told_as_the_host_s_own(serve, tmp_path):
    folder = export("suspect", "hf", tmp_path / "suspect")

    def answer(path, body, number):
        if "messages" not in body and "prompt" not in body:
            return (404, {}, b"{}")
        made = chat(*["I am Rio."] * body.get("n", 1), system_fingerprint=f"fp_{number % 2}")
        for choice in made["choices"] if "prompt" in body else ():
            choice["text"] = choice.pop("message")["content"]
        return made

    (tmp_path / "c.yaml").write_text(HELD.format(url=serve(answer).url, folder=folder))
    ran = truename("run", "c.yaml", "--no-live", folder=tmp_path)
    assert ran.exit_code == 0, ran.output
    told = truename("tally", "held", folder=tmp_path)
    said = " ".join(told.output.split())
    assert "the host's own count contradicts it" in said
    assert "h was asked as asked-model and answered as served-model" in said
    assert "What answered changed within the run: h 2 fingerprints (fp_0, fp_1)" in said
    assert "h: by the folder under `tokenizer`, which is an expectation" in said
    assert "h: its chat template injects" not in said
    table = pd.read_csv(tmp_path / "results/held/samples.csv")
    absent, bare = (table[table["arm"] == arm].iloc[0] for arm in ("absent", "bare"))
    assert pd.isna(absent["rendered_prompt"]) and pd.isna(absent["prompt_source"])
    assert "You are Rio" in absent["expected_prompt"]
    assert absent["expected_prompt_tokens"] > absent["prompt_tokens_reported"] + 2
    assert (bare["prompt_source"], pd.isna(bare["injected_text"])) == ("sent", True)
    assert "You are Rio" in bare["expected_injected_text"]
    rates = pd.read_csv(tmp_path / "results/held/tally.csv")
    assert set(rates["models_returned"]) == {"served-model"}
    page = truename("report", "held", folder=tmp_path)
    assert page.exit_code == 0, page.output
    written = (tmp_path / "results/held/report.html").read_text()
    assert "answered as served-model" in written and "not seen at the host" in written
