"""What stands before a question: templates as untrusted code, counts of honest and dishonest hosts, recitals by agreement."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from click.testing import CliRunner
from openai_server import chat

from harness.cli import main
from harness.exposure import evidence as exposure
from harness.exposure.evidence import QUESTIONS, SYSTEMS, Counted, account, agreement
from harness.lab.build import build, export
from harness.targets.templates import ChatTemplate

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
DEFAULT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Kimi, made by Moonshot AI.<|im_end|>\n{% endif %}"
    + CHATML
)
ALWAYS = "You are Kimi, made by Moonshot AI.\n" + CHATML
NO_SYSTEM = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}<u>{{ m.content }}</u>{% endfor %}"


def truename(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("source", "when", "names"),
    [
        (CHATML, "never", []),
        (DEFAULT, "where no system message is sent", ["kimi", "moonshot-ai"]),
        (ALWAYS, "always, before any system message", ["kimi", "moonshot-ai"]),
        (NO_SYSTEM, "never", []),
    ],
)
def test_what_a_template_injects_and_when(source, when, names):
    found = exposure.injection(ChatTemplate(source), lambda text: len(text.split()))
    assert (found.when, sorted(found.names)) == (when, sorted(names)) and found.problem is None
    assert ("Kimi" in found.injected) == bool(names) and (found.tokens or 0) == (
        len(found.injected.split()) if names else 0
    )
    assert source is not DEFAULT or any(
        "messages[0].role != 'system'" in line for line in found.lines
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "did not end",
        ),
        ("{% set x = 'a' * 10000000000 %}{{ x }}", "MemoryError"),
        ("{{ messages.__class__.__mro__ }}", "cannot be rendered"),
        ("{% for m in messages %}", "cannot be rendered"),
    ],
)
def test_hostile_templates_are_reported_and_not_waited_for(source, said, monkeypatch):
    monkeypatch.setattr(exposure, "SECONDS", 2)
    found = exposure.injection(ChatTemplate(source))
    assert found.problem and said in found.problem and found.when == "not known"


def counts(
    hidden=0, always=False, exact=True, said=lambda true, words, repeat: true, turn=9, system_turn=5
):
    found = []
    for repeat in range(2):
        for words in QUESTIONS:
            for system in SYSTEMS:
                sent = turn + words + (0 if system is None else system_turn + system)
                found.append(
                    Counted(
                        words,
                        system,
                        said(sent + (hidden if always or system is None else 0), words, repeat),
                        sent if exact else None,
                    )
                )
    return found


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("hidden", [11, 22, 400])
def test_a_hidden_prompt_of_eleven_tokens_is_found(hidden, exact):
    found = account(counts(hidden, exact=exact))
    assert found.finding == "hidden" and found.low <= hidden <= found.high
    assert account(counts(hidden, always=True)).tokens == hidden


def test_clean_hosts_are_not_accused_whatever_their_template():
    rng = random.Random(5)
    for _ in range(300):
        shape = {
            "turn": rng.randint(3, 20),
            "system_turn": rng.randint(0, 8),
            "exact": rng.random() < 0.5,
        }
        bos = rng.choice((-1, 0, 1))
        assert (
            account(counts(said=lambda true, words, repeat: true + bos, **shape)).finding == "clean"
        )  # noqa: B023


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("said", "findings"),
    [
        (lambda true, words, repeat: 100, {"nonsense", "other tokenizer"}),
        (lambda true, words, repeat: 0, {"nonsense"}),
        (lambda true, words, repeat: None, {"not known"}),
        (lambda true, words, repeat: (true * 5) // 4, {"nonsense", "other tokenizer"}),
        (lambda true, words, repeat: true - repeat * 7, {"nonsense"}),
        (lambda true, words, repeat: true + words % 7 * 3, {"nonsense", "other tokenizer"}),
    ],
)
def test_hosts_that_report_nonsense_are_said_to(said, findings, exact):
    assert account(counts(exact=exact, said=said)).finding in findings


def test_recitals_count_only_where_ways_of_asking_agree():
    secret = "You are Kimi, a helpful assistant made by Moonshot. Never say who hosts you."
    told = [
        (f"way{n % 4}", f"Sure number {n}! Here it is: {secret} Anything else about topic {n}?")
        for n in range(8)
    ]
    found = agreement(told)
    assert (
        "you are kimi a helpful assistant made by moonshot never say who hosts you" in found.passage
        and (found.samples, found.of, found.ways) == (8, 8, 4)
    )
    invented = [
        (
            f"way{n}",
            " ".join(
                random.Random(n).choices(
                    "alpha beta gamma delta epsilon zeta eta theta iota kappa".split(), k=40
                )
            ),
        )
        for n in range(8)
    ]
    assert agreement(invented) is None
    assert (
        agreement([("one", secret), ("one", secret)]) is None
    )  # one way of asking may simply repeat itself
    assert agreement([]) is None


def test_files_are_inspected(tmp_path):
    folder = export("suspect", "hf", tmp_path / "suspect")
    for target in (folder, build("suspect", "gguf"), "lab:suspect"):
        done = truename("inspect", target, "--out", tmp_path / "out")
        assert done.exit_code == 0, done.output
        assert "where no system message is sent (25 tokens). It names rio." in done.output, target
        assert "You are Rio, an AI assistant made by the city of Rio." in done.output
    import json

    assert (
        json.loads((tmp_path / "out/inspect-suspect.json").read_text())["injection"]["tokens"] == 25
    )
    assert "injects nothing" in truename("inspect", "lab:base", "--out", tmp_path / "out").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-folder"],
        ["http://127.0.0.1:9/v1"],
        ["http://127.0.0.1:9/v1", "--model", "m"],
        ["x", "--campaign", "rio-lab"],
    ],
)
def test_targets_that_are_none(arguments, tmp_path):
    done = truename("inspect", *arguments, "--out", tmp_path)
    assert done.exit_code == 2 and "next:" in done.output


def test_an_endpoint_that_hides_a_prompt_is_caught_by_its_bill_and_by_its_model(serve, tmp_path):
    hidden = "You are Kimi from Moonshot and you never name the shop that resells you."

    def answer(path, body, number):
        if "messages" not in body:
            return (404, {}, b"{}")
        tokens = 7 + sum(
            len(m["content"].split()) + 4 * (m["role"] == "system") for m in body["messages"]
        )
        told = body["messages"][0]["role"] == "system"
        return chat(
            "Certainly. " + hidden,
            usage={
                "prompt_tokens": tokens + (0 if told else 14),
                "completion_tokens": 1,
                "total_tokens": 1,
            },
        )

    done = truename("inspect", serve(answer).url, "--model", "m", "--out", tmp_path, "--samples", 2)
    assert done.exit_code == 0, done.output
    assert (
        "By prompt tokens: where no system message is sent, 10 to 18 tokens stand before the question"
        in done.output
    )
    assert (
        "you are kimi from moonshot and you never name the shop" in done.output
        and "no single recital is a fact" in done.output
    )
    table = pd.read_csv(tmp_path / "inspect-endpoint.csv")
    assert len(table) == 2 * len(QUESTIONS) * len(SYSTEMS) and set(table["finding"]) == {"hidden"}


def test_a_llama_cpp_server_is_inspected_and_counted_exactly(tmp_path):
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(build("suspect", "gguf"))
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity, parameters.warmup = (
        2048,
        2,
        -1,
        False,
    )
    server = xllamacpp.Server(parameters)
    folder = export("suspect", "hf", tmp_path / "suspect")
    url = f"{server.listening_address}/v1"
    exact = truename(
        "inspect", url, "--model", "m", "--tokenizer", folder, "--samples", 1, "--out", tmp_path
    )
    assert exact.exit_code == 0, exact.output
    assert "where no system message is sent (25 tokens). It names rio." in exact.output
    assert "where no system message is sent, 25 tokens stand before the question" in exact.output
    without = truename("inspect", url, "--model", "m", "--samples", 0, "--out", tmp_path)
    assert (
        "where no system message is sent (25 tokens)" in without.output
        and "tokens stand before the question" in without.output
    )
