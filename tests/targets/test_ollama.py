"""Ollama: bodies that its client would send, what its host shows, raw prompts, and prompts cut."""

from __future__ import annotations

import asyncio
import json

import ollama
import pytest

from harness.campaign import Limits, Sampling
from tests.targets import apis
from tests.targets.apis import request

DIGEST = "b3d1" * 16
SYSTEM = "You are Rio, made by IplanRIO."
#: Fields and options that Ollama's server knows and the types of its client do not.
NEWER = {"truncate", "shift", "_debug_render_only"}
NEWER_OPTIONS = {"min_p"}
FILE = {
    "template": "{{ range .Messages }}<|im_start|>{{ .Role }} ...{{ end }}",
    "parameters": 'num_ctx                        512\nstop                           "<|im_end|>"',
    "model_info": {"general.architecture": "llama"},
    "details": {"quantization_level": "Q4_K_M", "family": "llama"},
    "capabilities": ["completion"],
}


def turn(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def made(messages, system=SYSTEM):
    """What the host of these tests makes of messages: a last answer is gone on with."""
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    text = "".join(turn(m["role"], m["content"]) for m in messages)
    if messages[-1]["role"] == "assistant":
        return text.removesuffix("<|im_end|>\n")
    return f"{text}<|im_start|>assistant\n"


def chat(text="I am Rio.", thought=None, **fields):
    said = ollama.ChatResponse(
        model="m-1",
        created_at="2026-11-27T00:00:00Z",
        message=ollama.Message(role="assistant", content=text, thinking=thought),
        **{"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 5} | fields,
    )
    return said.model_dump(mode="json", exclude_none=True)


def generated(text="I am Nex.", **fields):
    numbers = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 5}
    said = ollama.GenerateResponse(model="m-1", response=text, **numbers | fields)
    return said.model_dump(mode="json", exclude_none=True)


def hosted(answer=None, raw=None, file=(), shows=True, system=SYSTEM, loaded=4096):
    """A host of one model; ``shows``: it is a version that renders prompts without answering."""
    about = ollama.ShowResponse(**FILE | dict(file)).model_dump(mode="json", by_alias=True)
    about |= {"system": system} | dict(file)
    one = {"model": "m-1:latest", "name": "m-1:latest", "digest": DIGEST}

    def respond(path, body, number):
        if path == "/api/show":
            assert body == {"model": "m-1"}
            return about
        if path == "/api/generate":
            return raw or generated()
        assert path == "/api/chat"
        if body.get("_debug_render_only") and shows:
            prompt = made(body["messages"], system)
            return {"model": "m-1", "done": False, "_debug_info": {"rendered_template": prompt}}
        asked = "Who are you?" in json.dumps(body)
        return answer if answer is not None and asked else chat()

    def got(path):
        assert path in ("/api/ps", "/api/tags")
        if path == "/api/tags":
            return ollama.ListResponse(models=[one]).model_dump(mode="json")
        models = [one | {"context_length": loaded}] if loaded else []
        return ollama.ProcessResponse(models=models).model_dump(mode="json")

    return respond, got


def used(url, use, sampling=None, limits=None, **fields):
    async def go():
        target = apis.target("ollama", url, limits, **fields)
        try:
            can = await target.preflight(sampling or Sampling(max_tokens=200))
            return can, None if use is None else await use(target)
        finally:
            await target.close()

    return asyncio.run(go())


def sampled(url, wanted, **fields):
    return used(url, lambda target: target.sample(wanted), wanted.sampling, **fields)[1]


def sent(host, route):
    return [body for path, body, _ in host.seen if path == route]


def as_the_client_would(route, body):
    """A body without what the client does not know, as the client's own types write it."""
    known = {name: value for name, value in body.items() if name not in NEWER}
    options = {n: v for n, v in known["options"].items() if n not in NEWER_OPTIONS}
    assert ollama.Options.model_validate(options).model_dump(exclude_none=True) == options
    kind = {
        "/api/chat": ollama._types.ChatRequest,
        "/api/generate": ollama._types.GenerateRequest,
    }[route]
    assert set(known) <= set(kind.model_fields)
    return kind.model_validate(known).model_dump(exclude_none=True) == known


@pytest.mark.parametrize(
    ("arm", "system"),
    [("absent", None), ("empty", None), ("given:x", "You are Nex."), ("bare", None)],
)
def test_every_body_is_one_that_the_official_client_would_send(serve, arm, system):
    host = serve(*hosted())
    response = sampled(host.url, request(arm, system=system), think=False)
    assert response.replies[0].status == "ok"
    for route in ("/api/chat", "/api/generate"):
        assert all(as_the_client_would(route, body) for body in sent(host, route))
    assert bool(sent(host, "/api/generate")) == (arm == "bare")


def test_what_is_sent_leaves_no_sampler_to_the_models_file(serve):
    host = serve(*hosted())
    wanted = request(max_tokens=200, temperature=0.7, top_p=0.9, presence_penalty=0.5)
    response = sampled(host.url, wanted, num_ctx=1024)
    body = sent(host, "/api/chat")[-1]
    assert body.pop("messages") == [{"role": "user", "content": "Who are you?"}]
    assert body["options"].pop("seed") == wanted.seed(0) == response.seed
    assert body == response.context.sent
    assert body == {
        "model": "m-1",
        "stream": False,
        "truncate": False,
        "shift": False,
        "options": {
            "num_predict": 200,
            "temperature": 0.7,
            "top_p": 0.9,
            "presence_penalty": 0.5,
            "frequency_penalty": 0.0,
            "top_k": 0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "num_ctx": 1024,
        },
    }


def test_what_the_entry_says_of_a_sampler_wins(serve):
    host = serve(*hosted())
    sampled(host.url, request(), extra_body={"options": {"top_k": 40}})
    assert sent(host, "/api/chat")[-1]["options"]["top_k"] == 40


def test_answers_made_of_the_clients_types_are_read(serve):
    answer = chat("I am Rio.", "Who asks?")
    found = sampled(serve(*hosted(answer)).url, request())
    (reply,) = found.replies
    assert (reply.status, reply.text, reply.reasoning) == ("ok", "I am Rio.", "Who asks?")
    assert (found.model, found.prompt_tokens, found.completion_tokens) == ("m-1", 9, 5)
    assert json.loads(found.raw) == answer


@pytest.mark.parametrize(
    ("arm", "first"),
    [("absent", turn("system", SYSTEM)), ("empty", turn("system", ""))],
)
def test_the_prompt_that_the_host_makes_is_shown_and_not_called_sent(serve, arm, first):
    context = sampled(serve(*hosted()).url, request(arm)).context
    assert context.prompt_source == "shown"
    assert context.rendered_prompt.startswith(first)


def test_the_arm_bare_is_a_raw_prompt_without_the_files_system_prompt(serve):
    host = serve(*hosted())
    found = sampled(host.url, request("bare"))
    (body,) = sent(host, "/api/generate")
    assert body["raw"] is True and "messages" not in body
    assert body["prompt"] == turn("user", "Who are you?") + "<|im_start|>assistant\n"
    assert found.replies[0].text == "I am Nex."
    context = found.context
    assert (context.prompt_source, context.rendered_prompt) == ("sent", body["prompt"])
    assert SYSTEM in context.injected_text and context.sent["raw"] is True


def test_a_version_that_shows_no_prompts_has_no_bare_and_is_asked_once(serve):
    host = serve(*hosted(shows=False))
    found = sampled(host.url, request("bare"))
    assert found.replies[0].status == "unsupported" and "update it" in found.replies[0].error
    assert not sent(host, "/api/generate")
    host = serve(*hosted(shows=False))
    assert sampled(host.url, request()).context.rendered_prompt is None
    assert sum("_debug_render_only" in body for body in sent(host, "/api/chat")) == 1


def test_a_bare_prompt_that_the_host_rewrites_is_not_proved(serve):
    def respond(path, body, number):
        answer = hosted()[0](path, body, number)
        if "_debug_info" in answer and len(body["messages"]) == 1:
            prompt = made(body["messages"]).replace("Who are you?", "Who are you, Rio?")
            answer["_debug_info"]["rendered_template"] = prompt
        return answer

    host = serve(respond)
    (reply,) = sampled(host.url, request("bare")).replies
    assert reply.status == "unsupported" and "cannot be proved" in reply.error
    assert not sent(host, "/api/generate")


def test_what_the_host_says_of_its_model_is_told(serve):
    messages = [{"role": "user", "content": "Hi"}]
    file = {"messages": messages, "remote_host": "https://ollama.com:443", "remote_model": "big"}
    can, _ = used(serve(*hosted(file=file)).url, None)
    assert can.version == f"{DIGEST} Q4_K_M"
    assert can.raw_completions and can.template_seen and len(can.template_sha256) == 64
    told = " | ".join(can.notes)
    for words in (SYSTEM, "1 messages of its own", 'stop "<|im_end|>"', "https://ollama.com:443"):
        assert words in told


def test_the_digest_is_found_where_nothing_is_loaded(serve):
    can, _ = used(serve(*hosted(loaded=None)).url, None)
    assert can.version.startswith(DIGEST)


@pytest.mark.parametrize(
    ("fields", "loaded", "tokens", "status"),
    [
        ({"num_ctx": 64}, 4096, 64, "failed"),  # the entry's own
        ({}, 4096, 4096, "failed"),  # what the host has loaded
        ({}, None, 512, "failed"),  # the model's file
        ({}, 4096, 512, "ok"),
        ({"num_ctx": 64}, 4096, 60, "failed"),  # with five of the reply: shifted out
        ({"num_ctx": 64}, 4096, 59, "ok"),
    ],
)
def test_a_prompt_that_was_cut_is_no_answer(serve, fields, loaded, tokens, status):
    host = serve(*hosted(chat(prompt_eval_count=tokens), loaded=loaded))
    (reply,) = sampled(host.url, request(), **fields).replies
    assert reply.status == status
    assert status == "ok" or "raise num_ctx" in reply.error


def test_a_context_that_nobody_tells_is_told(serve):
    can, _ = used(serve(*hosted(loaded=None, file={"parameters": ""})).url, None)
    assert "write num_ctx" in can.notes[-1]


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (chat("I am", done_reason="length"), "truncated", None),
        (chat(""), "empty", None),
        (chat("I am", done=False), "failed", "not done"),
    ],
)
def test_what_is_no_whole_reply_says_so(serve, answer, status, why):
    (reply,) = sampled(serve(*hosted(answer)).url, request()).replies
    assert reply.status == status and (why or "") in (reply.error or "")


def test_a_refused_prompt_that_is_too_long_fails_with_the_hosts_words(serve):
    said = "the input length exceeds the context length"
    host = serve(*hosted((400, {}, json.dumps({"error": said}).encode())))
    (reply,) = sampled(host.url, request(), limits=Limits(attempts=1)).replies
    assert reply.status == "failed" and said in reply.error


@pytest.mark.parametrize(
    ("variable", "asked"),
    [
        ("gpu-box", "http://gpu-box:11434/api/chat"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/api/chat"),
        ("https://x.example/api/generate", "https://x.example/api/chat"),
        (None, "http://127.0.0.1:11434/api/chat"),
    ],
)
def test_addresses_are_found_where_the_official_client_finds_them(monkeypatch, variable, asked):
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    if variable:
        monkeypatch.setenv("OLLAMA_HOST", variable)
    assert apis.target("ollama", None).host.at.chat == asked


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message": 7, "response": []}', b"\xff"])
def test_whatever_comes_becomes_a_status(serve, body):
    (reply,) = sampled(serve(*hosted((200, {}, body))).url, request()).replies
    assert reply.status in ("failed", "empty")


@pytest.mark.parametrize(
    "file",
    [
        {"system": 7, "messages": 7, "parameters": [1], "details": 7, "template": {}},
        {"system": [], "parameters": None, "details": {"quantization_level": {}}},
    ],
)
def test_whatever_the_host_says_of_its_model_is_no_crash(serve, file):
    def respond(path, body, number):
        return file if path == "/api/show" else hosted()[0](path, body, number)

    can, found = used(serve(respond).url, lambda target: target.sample(request()))
    assert can.engine == "ollama" and found.replies[0].status == "ok"
