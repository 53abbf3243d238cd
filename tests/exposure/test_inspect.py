"""`truename inspect`: files, hosts that hide a prompt, and llama.cpp's own server."""

from __future__ import annotations

import asyncio
import threading

import pandas as pd
import pytest

from harness import progress
from harness.campaign import EndpointTarget
from harness.exposure import Inspection
from harness.exposure.counts import probes
from harness.exposure.findings import told
from harness.exposure.inspect import _asked
from harness.exposure.patience import Course
from harness.lab import build, export
from harness.targets import counter, open_target, template_from_folder
from tests.asking import served
from tests.commands import PATIENCE_S, truename
from tests.misbehaving import NEVER
from tests.openai_server import chat


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
    billed = "where no system message is sent, 10 to 18 tokens stand before the question"
    assert f"By prompt tokens: {billed}" in done.output
    assert (
        "you are kimi from moonshot and you never name the shop" in done.output
        and "no single recital is a fact" in done.output
    )
    table = pd.read_csv(tmp_path / "inspect-endpoint.csv")
    asked = probes(0)
    assert set(table["finding"]) == {"hidden"}
    assert len(table[table["turns"] == 1]) == 2 * len(asked.questions) * len(asked.systems)
    assert len(table[table["turns"] == 3]) == 4


def usage(tokens):
    return {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}


def up_to(step):
    return lambda tokens, *_: -(-tokens // step) * step


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (lambda tokens, *_: tokens, "nothing is seen to be hidden"),
        *((up_to(step), "rounds its counts to") for step in (8, 16, 64)),
        (up_to(2), "nothing is seen to be hidden"),
        (
            lambda tokens, *_: tokens + 60,
            "with every question that were not sent, before it or after",
        ),
        (lambda tokens, told, _: tokens + 22 * (not told), "stand before the question"),
        (
            lambda tokens, told, _: up_to(8)(tokens + 60 * (not told)),
            "rounds its counts to 8 tokens; w",
        ),
        (lambda tokens, _, number: tokens + number * 7 % 11, "they cannot be used"),
    ],
)
def test_hosts_that_round_add_hide_and_jitter_are_told_apart(serve, tmp_path, counted, said):
    def answer(path, body, number):
        if "messages" not in body:
            return (404, {}, b"{}")
        told = body["messages"][0]["role"] == "system"
        tokens = 7 + sum(len(m["content"].split()) for m in body["messages"]) + 4 * told
        return chat("Word.", usage=usage(counted(tokens, told, number)))

    done = truename("inspect", serve(answer).url, "--model", "m", "--out", tmp_path, "--samples", 0)
    found_out = said != "they cannot be used"
    assert done.exit_code == (0 if found_out else 3), done.output
    assert said in " ".join(done.output.split()), done.output
    hides = "that were not sent" in " ".join(done.output.split())
    assert hides == ("not sent" in said or "stand" in said or "; w" in said), done.output


def test_a_llama_cpp_server_is_inspected_and_counted_exactly(tmp_path):
    server = served("suspect")
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


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (0, "it is contradicted by the host's own count"),
        (25, "the host's own count agrees with it"),
        (60, "it is contradicted by the host's own count"),
    ],
)
def test_a_named_folder_is_an_expectation_that_the_host_s_count_is_compared_with(
    serve, tmp_path, hidden, said
):
    folder = export("suspect", "hf", tmp_path / "suspect")
    template, count = template_from_folder(folder), counter(folder)

    def answer(path, body, number):
        if "messages" not in body:
            return (404, {}, b"{}")
        messages = body["messages"]
        told = messages[0]["role"] == "system"
        plain = template.render(messages) if told else template.bare(messages[0]["content"]).prompt
        return chat("Word.", usage=usage(count(plain) + hidden * (not told)))

    arguments = ["--model", "m", "--tokenizer", folder, "--out", tmp_path, "--samples", 0]
    done = truename("inspect", serve(answer).url, *arguments)
    output = " ".join(done.output.split())
    assert done.exit_code == 0, output
    assert "By the named folder, the claimed model's template injects text" in output
    assert said in output and "The chat template injects" not in output


def counting(path, body, number):
    """A host that counts words, and adds nothing."""
    if "messages" not in body:
        return (404, {}, b"{}")
    told = body["messages"][0]["role"] == "system"
    words = sum(len(m["content"].split()) for m in body["messages"])
    return chat("Word.", usage=usage(7 + words + 4 * told))


def inspected(url, folder, *more):
    done = truename("inspect", url, "--model", "m", "--out", folder, *more)
    return done.exit_code, " ".join(done.output.split())


def test_a_silent_host_is_given_up_and_how_far_it_is_was_shown(host, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    try:
        silent = host(lambda number, body: None if number <= 3 else [NEVER])
        code, said = inspected(silent.url, tmp_path, "--within", 1)
    finally:
        progress.show(False)
    assert code == 3
    assert "It could not be found out: the limit of 1 s was reached while" in said
    assert "answers for the inspection" in said


def test_what_was_found_before_an_inspection_was_given_up_is_told(serve):
    asked, go_on = threading.Event(), threading.Event()

    def respond(path, body, number):
        if body.get("messages") and "word" not in body["messages"][-1]["content"] and number > 3:
            asked.set()
            go_on.wait(PATIENCE_S)
        return counting(path, body, number)

    entry = {"name": "t", "role": "suspect", "engine": "endpoint", "model": "m"}
    url = serve(respond).url

    async def go():
        target = open_target(EndpointTarget(**entry, base_url=url, api_key_env=None))
        found, course = Inspection("t"), Course(PATIENCE_S)
        asking = asyncio.create_task(_asked(target, found, course, 1))
        await asyncio.to_thread(asked.wait, PATIENCE_S)
        asking.cancel()
        go_on.set()
        await asyncio.wait([asking])
        await target.close()
        return found, course

    found, course = asyncio.run(go())
    assert course.doing == "asking the model to repeat what stands before"
    assert course.done >= 32 and found.account.finding == "clean"
    found.cut = "the limit was reached"
    assert told(found).verdict[-1] == "It could not be found out: the limit was reached."


def test_a_template_that_cannot_be_read_is_not_found_out(serve, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/tokenizer_config.json").write_text('{"chat_template": "{% for %}"}')
    done = truename("inspect", tmp_path / "model", "--out", tmp_path)
    assert done.exit_code == 3
    assert "It could not be found out: the chat template cannot be read." in done.output


@pytest.mark.parametrize("reported", [None, {"prompt_tokens": 0, "completion_tokens": 1}])
def test_a_host_that_shows_and_counts_nothing_is_not_found_out(serve, tmp_path, reported):
    def answer(path, body, number):
        found = counting(path, body, number)
        return found | {"usage": reported} if isinstance(found, dict) else found

    code, said = inspected(serve(answer).url, tmp_path, "--samples", 1)
    assert code == 3 and "its counts of prompt tokens say nothing" in said


def test_a_host_that_refuses_system_messages_is_asked_once(serve, tmp_path):
    def answer(path, body, number):
        if body.get("messages", [{}])[0].get("role") == "system":
            return (400, {}, b'{"error": {"message": "System role not supported"}}')
        return counting(path, body, number)

    host = serve(answer)
    code, said = inspected(host.url, tmp_path, "--samples", 0)
    refused = [b for _, b, _ in host.seen if b.get("messages", [{}])[0].get("role") == "system"]
    chats = [body for path, body, _ in host.seen if path.endswith("/chat/completions")]
    assert code == 3 and "too few requests were counted" in said, said
    assert len([b for b in chats if b in refused]) == 1
