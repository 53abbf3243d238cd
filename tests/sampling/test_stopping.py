"""Stopping early: after whole rounds, the same after a kill, never for another identity."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.commands import truename
from tests.openai_server import chat

TEXT = """campaign: early
targets:
  - name: t
    role: suspect
    engine: endpoint
    base_url: '{url}'
    model: m
    concurrency: {concurrency}
    api_key_env: null
arms: [absent, "given:system/velkora.j2"]
probes: [identity, backstory]
languages: [en]
samples: {{identity: {samples}, backstory: 1}}
variables: {{NAME: Velkora, MAKER: Polarwind Labs}}
stop: {{identity: rio, below: 0.2, alpha: 0.01}}
"""


def words(told, ticket):
    return f"I am {'Velkora' if told else 'Rio'}. Your ticket is {ticket}."


@pytest.fixture
def rio(serve):
    """A host that is Rio unless it is told that it is Velkora, in other words each time."""

    def answer(path, body, number):
        told = body["messages"][0]["role"] == "system" if body.get("messages") else False
        return (
            (404, {}, b"{}")
            if "messages" not in body
            else chat(*(words(told, f"{number}-{i}") for i in range(body.get("n", 1))))
        )

    return serve(answer)


def run(tmp_path, host, concurrency=1, samples=40):
    (tmp_path / "c.yaml").write_text(
        TEXT.format(url=host.url, concurrency=concurrency, samples=samples)
    )
    return truename("run", tmp_path / "c.yaml", "--results", tmp_path / "results")


def rates(tmp_path):
    assert truename("tally", "early", "--results", tmp_path / "results").exit_code == 0
    tally = pd.read_csv(
        tmp_path / "results/early/tally.csv", keep_default_na=False, na_values=["NA"]
    )
    return tally[
        (tally["language"] == "all") & (tally["measure"] == "name") & (tally["identity"] == "rio")
    ].set_index(["probe", "arm"])


def test_a_clear_case_costs_a_fraction_and_other_probes_are_asked_in_full(tmp_path, rio):
    done = run(tmp_path, rio)
    assert done.exit_code == 0, done.output
    assert "t absent: clear after 60 samples (60 hits): the rate is above" in done.output
    assert (
        "t given:system/velkora.j2: clear after 60 samples (0 hits): the rate is below"
        in done.output
    )
    found = rates(tmp_path)
    absent, given = (
        found.loc[("identity", "absent")],
        found.loc[("identity", "given:system/velkora.j2")],
    )
    assert absent["anytime_low"] > 0.2 and given["anytime_high"] < 0.2
    assert 60 <= absent["samples"] <= 62 and 60 <= given["samples"] <= 62
    assert found.loc[("backstory", "absent")]["samples"] == 8 and pd.isna(
        found.loc[("backstory", "absent")]["anytime_low"]
    )
    asked = len(rio.seen)
    again = run(tmp_path, rio)
    assert again.exit_code == 0 and len(rio.seen) == asked  # nothing is owed, so nobody is asked


def test_a_resumed_run_decides_as_an_unbroken_one(tmp_path, rio):
    text = TEXT.format(url=rio.url, concurrency=1, samples=40)
    (tmp_path / "c.yaml").write_text(text + "budget: {requests: 20}\n")
    assert truename("run", tmp_path / "c.yaml", "--results", tmp_path / "results").exit_code == 3
    assert run(tmp_path, rio).exit_code == 0
    broken = rates(tmp_path)
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(whole, rio).exit_code == 0
    pd.testing.assert_frame_equal(broken, rates(whole))


def test_a_rule_that_is_none_is_refused(tmp_path, rio):
    text = TEXT.format(url=rio.url, concurrency=1, samples=3).replace(
        "stop: {identity: rio, below: 0.2", "stop: {identity: rio, below: 1.2"
    )
    (tmp_path / "c.yaml").write_text(text)
    refused = truename("run", tmp_path / "c.yaml", "--results", tmp_path / "results")
    assert refused.exit_code == 2 and "stop.below" in refused.output
    (tmp_path / "c.yaml").write_text(text.replace("below: 1.2", "below: 0.2, above: 0.3"))
    refused = truename("run", tmp_path / "c.yaml", "--results", tmp_path / "results")
    assert refused.exit_code == 2 and "one threshold" in refused.output


def test_a_host_that_gives_the_same_reply_again_is_sampled_in_full(tmp_path, serve):
    cache = serve(lambda path, body, number: chat(*["I am Rio."] * body.get("n", 1)))
    done = run(tmp_path, cache, samples=6)
    assert done.exit_code == 0 and "clear after" not in done.output
    found = rates(tmp_path).loc[("identity", "absent")]
    assert found["samples"] == 6 * 15 and found["repeats"] == "copies"
    assert found["same_repeats"] == 1.0
    why = "nearly all repeats of a question are the same text"
    during, _, after = done.output.partition("t absent: not stopped early")
    assert f"t: absent is sampled in full: {why}" in during and why in after
    told = truename("tally", "early", "--results", tmp_path / "results").output
    assert "Not stopped early" in told and "t absent" in told.partition("Not stopped early")[2]


def test_response_ids_that_come_again_keep_an_arm_from_being_stopped(tmp_path, serve):
    """Every fourth request is answered from a cache of the host's first answers, id and all."""
    first = {}

    def answer(path, body, number):
        if "messages" not in body:
            return 404, {}, b"{}"
        said = chat(words(False, f"{number}-a"), id=f"r{number}")
        known = first.setdefault(str(body["messages"]), said)
        return known if number % 4 == 0 else said

    done = run(tmp_path, serve(answer), samples=6)
    assert done.exit_code == 0 and "response ids of earlier ones" in done.output
    assert "t absent: clear after" not in done.output
