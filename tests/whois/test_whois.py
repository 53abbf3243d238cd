"""The rule of the short check, and checks of the lab's models and of a host."""

from __future__ import annotations

import json
import re

import pytest

from harness.lineup import Verdict
from harness.report import Story
from harness.whois import REQUESTS, Dossier, Witness, decided, lines
from tests.commands import truename
from tests.openai_server import chat


def story(outcome):
    return Story(outcome, f"It is {outcome}.", [], [], ())


def behaves(said, claim, shift=0):
    return Verdict(said, "words differ", claim, (), 80, 80, 80, 0.01, shift)


@pytest.mark.parametrize(
    ("said", "behaviour", "stopped", "wanted"),
    [
        ("contradicted", None, False, "contradicted"),
        ("contradicted", behaves("is it", "m"), True, "contradicted"),
        ("supported", None, False, "consistent"),
        ("supported", behaves("is it", "m"), False, "consistent"),
        ("supported", behaves("cannot tell", "m"), False, "consistent"),
        ("supported", behaves("none of these", None), False, "consistent"),
        ("supported", behaves("is not", "m"), False, "contradicted"),
        ("undecided", behaves("is not", "m"), False, "contradicted"),
        ("supported", behaves("is not", "m", None), False, "not found out"),
        ("supported", behaves("is not", "m", 12), False, "not found out"),
        ("contradicted", behaves("is not", "m", None), False, "contradicted"),
        ("undecided", behaves("is it", "m"), False, "not found out"),
        ("undecided", None, False, "not found out"),
        ("supported", None, True, "not found out"),
    ],
)
def test_the_rule(said, behaviour, stopped, wanted):
    outcome, why = decided(story(said), behaviour, stopped)
    assert outcome == wanted
    not_m = behaviour is not None and behaviour.said == "is not"
    assert ("does not behave like m" in why) is (not_m and said != "contradicted")


def test_a_dossier_names_each_witness_with_its_limit():
    found = Dossier(
        "Who?", "consistent", "It is.", (Witness("testimony", "all say Nex", "a name"),), ("more",)
    )
    assert lines(found)[:2] == ["Who?", "CONSISTENT: It is."]
    assert "testimony: all say Nex" in lines(found) and "  limit: a name" in lines(found)


@pytest.mark.parametrize(
    ("model", "claims", "code", "nearest"),
    [("suspect", "rio", 1, None), ("control", "tavira", 0, "lab:control")],
)
def test_the_lab_is_told_right(model, claims, code, nearest, tmp_path):
    done = truename("whois", f"lab:{model}", "--claims", claims, "--json", "--results", tmp_path)
    assert done.exit_code == code, done.output
    found = json.loads(done.stdout)
    assert [one["kind"] for one in found["witnesses"]] == [
        *("testimony", "the host's word", "what stands before a question", "behaviour")
    ]
    behaviour = found["witnesses"][3]["said"]
    assert nearest is None or f"is it: '{nearest}'" in behaviour
    if model == "suspect":
        assert "The name Rio comes from the system prompt" in found["why"]
    run = tmp_path / found["run"]
    assert (run / "report.html").is_file() and (run / "tally.csv").is_file()


def test_a_host_is_asked_within_the_budget_and_a_false_name_is_told(serve, tmp_path):
    def answer(path, body, number):
        if not path.endswith("/chat/completions"):
            return 404, {}, b"{}"
        asked = body["messages"][-1]["content"]
        reply = "I am Qwen, made by Alibaba Cloud." if len(asked) > 12 else "Blue"
        length = sum(len(m["content"].split()) for m in body["messages"])
        used = {"prompt_tokens": length, "completion_tokens": 5, "total_tokens": length + 5}
        return chat(*[reply] * (body.get("n") or 1), usage=used)

    host = serve(answer)
    done = truename(
        *("whois", host.url, "--model", "m", "--claims", "rio", "--run", "check"),
        *("--results", tmp_path),
    )
    assert done.exit_code == 1, done.output
    assert re.search(r"^CONTRADICTED: .*Qwen", done.output, re.MULTILINE)
    assert "it returns model served-model for m" in done.output
    assert 30 < len(host.seen) <= REQUESTS
    assert f"at most {REQUESTS} small requests" in done.stderr


def test_what_cannot_be_asked_or_compared_is_told_before_anything_is_asked(serve, tmp_path):
    host = serve(lambda *asked: pytest.fail("asked"))
    for arguments, said in (
        (["lab:suspect", "--claims", "no-such-id"], "no-such-id"),
        ([host.url, "--model", "m", "--claims", "rio", "--like", "nobody"], "no reference is of"),
        ([host.url, "--claims", "rio"], "--model"),
        ([str(tmp_path), "--claims", "rio"], "nothing that can be asked"),
    ):
        done = truename("whois", *arguments, "--results", tmp_path)
        assert done.exit_code == 2 and said in done.stderr, done.stderr
    assert not host.seen
