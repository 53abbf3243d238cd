"""Endpoints: against a real server on loopback, and llama.cpp's own server."""

from __future__ import annotations

import asyncio
import json

import pytest
from openai.types.chat import ChatCompletion

from harness.campaign import Budget, EndpointTarget, Limits, Sampling, parse_arm, sample_seed
from harness.campaign.plan import arm_messages
from harness.errors import TargetError
from harness.lab import export
from harness.targets import Request, Spending, counter, pace_of, template_from_folder
from harness.targets.endpoint import Endpoint
from tests.asking import served
from tests.commands import PATIENCE_S
from tests.misbehaving import http
from tests.openai_server import chat

KEY = "sk-planted-key-0123456789"


def settings(url, **fields):
    return EndpointTarget(
        **{
            "name": "t",
            "role": "suspect",
            "engine": "endpoint",
            "base_url": url,
            "model": "m",
            "api_key_env": None,
            "timeout_s": PATIENCE_S,
        }
        | fields
    )


def request(arm="absent", n=1, system=None):
    parsed = parse_arm(arm)
    return Request(
        arm,
        parsed,
        arm_messages(parsed, "Who are you?", system),
        Sampling(max_tokens=20),
        range(n),
        80,
    )


def endpoint(url, limits=None, budget=None, **fields):
    wanted, limits = settings(url, **fields), limits or Limits(attempts=3)
    return Endpoint(wanted, pace_of(wanted, limits, Spending(budget or Budget())))


def ask(host, wanted, limits=None, **fields):
    async def go():
        target = endpoint(host.url, limits, **fields)
        try:
            can = await target.preflight()
            host.seen.clear()
            return can, (await target.sample(wanted)).replies
        finally:
            await target.close()

    return asyncio.run(go())


def preflight_then_sample(host, attempts, asked):
    """The replies of one request; ``asked`` gets an item once the preflight is over."""

    async def go():
        target = endpoint(host.url, Limits(attempts=attempts))
        await target.preflight()
        asked.append(True)
        found = await target.sample(request())
        await target.close()
        return found

    return asyncio.run(go())


def many(path, body, number):
    return (
        (404, {}, b"{}")
        if path.endswith("/completions") and "chat" not in path
        else chat(*(["I am Rio."] * body.get("n", 1)))
    )


def test_tokens_are_counted_though_a_connection_is_lost(host):
    lost = host(
        lambda number, body: ["reset"] if number < 3 else [http(200, {"tokens": [1, 2, 3]})]
    )
    lost.route = "/tokenize"

    async def go():
        target = endpoint(lost.url)
        try:
            return await target.tokenize("Who are you?")
        finally:
            await target.close()

    assert asyncio.run(go()) == [1, 2, 3]


def test_the_tokens_of_a_preflight_count_against_the_caps(serve):
    """Of four requests: the raw one finds no route, each of the others used 14 tokens."""

    async def go():
        target = endpoint(serve(many).url)
        await target.preflight()
        await target.close()
        return target.pace.spending

    spent = asyncio.run(go())
    assert (spent.requests, spent.tokens, spent.unknown_usage) == (4, 3 * 14, 0)


def test_every_parameter_is_sent_and_n_samples_share_one_request(serve):
    host = serve(many)
    can, replies = ask(host, request(n=3))
    assert can.many_samples and can.token_counts and not can.raw_completions
    ((path, body, _),) = [s for s in host.seen if "tokenize" not in s[0]]
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Who are you?"}],
        "max_tokens": 20,
        "temperature": 1.0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": sample_seed(0, "absent", 0),
        "n": 3,
    }
    assert [(r.index, r.status, r.text) for r in replies] == [
        (i, "ok", "I am Rio.") for i in range(3)
    ]


def test_a_host_that_ignores_n_is_asked_once_a_sample(serve):
    host = serve(lambda path, body, number: chat("I am Rio."))
    can, _ = ask(host, request(n=3))
    assert not can.many_samples
    assert len(host.seen) == 3
    assert sorted(body["seed"] for _, body, _ in host.seen) == sorted(
        sample_seed(0, "absent", i) for i in range(3)
    )
    assert all("n" not in body for _, body, _ in host.seen)


def test_a_host_that_refuses_n_is_noticed_in_the_preflight(serve):
    host = serve(
        lambda path, body, number: (
            (400, {}, b'{"error": {"message": "n is not supported"}}')
            if "n" in body
            else chat("I am Rio.")
        )
    )
    can, replies = ask(host, request(n=2))
    assert not can.many_samples
    assert [r.status for r in replies] == ["ok", "ok"]


def test_the_bare_arm_is_unsupported_and_never_sent_where_it_cannot_be_proved(serve):
    host = serve(many)
    _, replies = ask(host, request("bare", n=2))
    assert [(r.status, r.text) for r in replies] == [("unsupported", None)] * 2
    assert "raw completions" in replies[0].error
    assert host.seen == []


def test_an_empty_system_message_is_sent_as_such(serve):
    host = serve(many)
    ask(host, request("empty"))
    assert host.seen[-1][1]["messages"][0] == {"role": "system", "content": ""}


def test_a_refused_system_role_is_unsupported_and_not_folded_into_the_user_turn(serve):
    def respond(path, body, number):
        refused = body.get("messages", [{}])[0].get("role") == "system"
        return (
            (400, {}, b'{"error": {"message": "System role not supported"}}')
            if refused
            else many(path, body, number)
        )

    _, (reply,) = ask(serve(respond), request("given:x", system="You are Rio."))
    assert (reply.status, reply.text) == ("unsupported", None)
    assert "System role not supported" in reply.error


@pytest.mark.parametrize(
    ("answer", "status", "text", "reasoning"),
    [
        (chat("I am Rio."), "ok", "I am Rio.", None),
        (chat(None), "empty", None, None),
        (chat(""), "empty", "", None),
        (chat("I am", finish="length"), "truncated", "I am", None),
        (chat("<think>Am I Qwen?</think>I am Rio."), "ok", "I am Rio.", "Am I Qwen?"),
        (chat("<think>Am I Qwen? I am"), "empty", "", "Am I Qwen? I am"),
        (chat("<think>Am I", finish="length"), "truncated", "", "Am I"),
        (
            chat(
                "x",
                choices=[
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {
                            "role": "assistant",
                            "content": "I am Rio.",
                            "reasoning_content": "hm",
                        },
                    }
                ],
            ),
            "ok",
            "I am Rio.",
            "hm",
        ),
        (
            chat(
                "x",
                choices=[
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "I am Rio.", "reasoning": "hm"},
                    }
                ],
            ),
            "ok",
            "I am Rio.",
            "hm",
        ),
        (
            chat(
                "x",
                choices=[
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {
                            "role": "assistant",
                            "content": [
                                {"type": "text", "text": "I am "},
                                {"type": "text", "text": "Rio."},
                            ],
                        },
                    }
                ],
            ),
            "ok",
            "I am Rio.",
            None,
        ),
        (chat("x", choices=[]), "failed", None, None),
        (chat("x", choices=None), "failed", None, None),
        (chat("x", usage=None), "ok", "x", None),
    ],
)
def test_every_kind_of_answer_gets_its_status_before_any_verdict(
    serve, answer, status, text, reasoning
):
    asked = []

    def respond(path, body, number):
        return answer if asked else many(path, body, number)

    (reply,) = preflight_then_sample(serve(respond), 1, asked).replies
    assert (reply.status, reply.text, reply.reasoning) == (status, text, reasoning)


def test_the_fake_host_answers_as_the_openai_types_say():
    assert (
        ChatCompletion.model_validate(chat("I am Rio.")).choices[0].message.content == "I am Rio."
    )


@pytest.mark.parametrize(
    ("bad", "attempts", "status"),
    [
        ((429, {"Retry-After": "0"}, b"{}"), ("HTTP 429 (RateLimitError): {}", "ok"), "ok"),
        (
            (503, {"retry-after-ms": "1"}, b"busy"),
            ("HTTP 503 (InternalServerError): busy", "ok"),
            "ok",
        ),
        (
            (200, {"Content-Type": "text/html"}, b"<html>"),
            ("the answer is no JSON: b'<html>'", "ok"),
            "ok",
        ),
        (
            (400, {}, b'{"error": {"message": "bad request"}}'),
            ("HTTP 400 (BadRequestError): bad request",),
            "failed",
        ),
    ],
)
def test_attempts_are_recorded_and_only_what_may_help_is_tried_again(serve, bad, attempts, status):
    asked = []

    def respond(path, body, number):
        if asked and len(asked) == 1:
            asked.append(True)
            return bad
        return many(path, body, number)

    response = preflight_then_sample(serve(respond), 2, asked)
    assert response.attempts == attempts
    assert response.replies[0].status == status


def test_a_wrong_key_stops_the_target_and_never_shows_the_key(serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    host = serve(
        lambda path, body, number: (
            401,
            {},
            json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(),
        )
    )
    with pytest.raises(TargetError) as caught:
        ask(host, request(), api_key_env="MY_KEY")
    assert host.seen[0][2]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value)
    assert "[key]" in str(caught.value)


def test_a_missing_key_variable_is_named(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(TargetError, match="MY_KEY is not set"):
        Endpoint(settings("http://127.0.0.1:9/v1", api_key_env="MY_KEY"))


def test_a_refused_connection_is_named():
    async def go():
        await endpoint("http://127.0.0.1:9/v1", Limits(attempts=1)).preflight()

    with pytest.raises(TargetError, match=r"no connection to http://127\.0\.0\.1:9/v1"):
        asyncio.run(go())


def test_parameters_are_omitted_and_renamed_only_as_the_campaign_says(serve):
    host = serve(many)
    ask(
        host,
        request(),
        omit=["presence_penalty"],
        rename={"max_tokens": "max_completion_tokens"},
        provider={"order": ["one"]},
        extra_body={"top_k": 0},
    )
    body = host.seen[-1][1]
    assert "presence_penalty" not in body and "max_tokens" not in body
    assert (body["max_completion_tokens"], body["provider"], body["top_k"]) == (
        20,
        {"order": ["one"]},
        0,
    )


def test_llama_cpp_as_an_endpoint_gives_the_same_prompt_as_the_embedded_engine():
    server = served("suspect")

    async def go():
        target = endpoint(f"{server.listening_address}/v1")
        can = await target.preflight()
        found = {
            arm: await target.sample(
                request(arm, 2, "You are Velkora, an AI assistant made by Polarwind Labs.")
            )
            for arm in ("absent", "empty", "bare", "given:x")
        }
        await target.close()
        return can, found

    can, found = asyncio.run(go())
    assert can.template_seen and can.raw_completions and can.token_counts
    for arm, response in found.items():
        assert response.prompt_tokens == response.context.rendered_tokens, arm
        for reply in response.replies:
            assert reply.status in ("ok", "truncated"), (arm, reply.error)
    assert "You are Rio" in found["absent"].context.rendered_prompt
    assert "You are Rio" in found["bare"].context.injected_text
    assert "system" not in found["bare"].context.rendered_prompt
    assert "Rio" in found["absent"].replies[0].text + found["absent"].replies[1].text


INJECTS = (
    "{% if messages[0].role != 'system' %}<s>You are Rio.</s>{% endif %}"
    "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}</{{ m.role[0] }}>{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)


def responded(host, wanted, **fields):
    async def go():
        target = endpoint(host.url, **fields)
        try:
            await target.preflight()
            return await target.sample(wanted)
        finally:
            await target.close()

    return asyncio.run(go())


def all_routes(path, body, number):
    """Chat and raw completions, and no other."""
    if "messages" not in body and "prompt" not in body:
        return (404, {}, b"{}")
    made = chat(*["I am Rio."] * body.get("n", 1))
    if "prompt" in body:
        for choice in made["choices"]:
            choice["text"] = choice.pop("message")["content"]
    return made


def folder_with(template, folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return str(folder)


def test_what_a_named_folder_makes_is_kept_apart_from_what_was_sent(serve, tmp_path):
    host, folder = serve(all_routes), folder_with(INJECTS, tmp_path)
    absent = responded(host, request("absent"), tokenizer=folder)
    known = absent.context
    assert (known.rendered_prompt, known.injected_text, known.prompt_source) == (None, None, None)
    assert known.expected_prompt == "<s>You are Rio.</s><u>Who are you?</u><a>"
    bare = responded(host, request("bare"), tokenizer=folder)
    known = bare.context
    assert (known.prompt_source, known.rendered_prompt) == ("sent", "<u>Who are you?</u><a>")
    assert (known.injected_text, known.expected_injected) == (None, "<s>You are Rio.</s>")


def test_a_folder_whose_template_is_broken_costs_the_bare_arm_alone(serve, tmp_path):
    host, folder = serve(all_routes), folder_with("{% for %}", tmp_path)
    _, (reply,) = ask(host, request("absent"), tokenizer=folder)
    assert reply.status == "ok"
    _, (reply,) = ask(host, request("bare"), tokenizer=folder)
    assert reply.status == "unsupported" and "cannot be rendered" in reply.error


def test_a_template_that_refuses_a_system_message_with_status_500_is_asked_once(serve):
    def respond(path, body, number):
        if body.get("messages", [{}])[0].get("role") == "system":
            return (500, {}, b'{"error": {"message": "System role not supported"}}')
        return many(path, body, number)

    host = serve(respond)
    response = responded(host, request("given:x", system="You are Rio."))
    (reply,) = response.replies
    assert reply.status == "unsupported" and "System role not supported" in reply.error
    assert len(response.attempts) == 1
    _, (reply,) = ask(host, request("absent"))
    assert reply.status == "ok"


def test_the_day_that_a_template_tells_is_kept_with_the_sample(serve, tmp_path):
    dated = "{{ strftime_now('%Y-%m-%d') }}" + INJECTS
    folder = folder_with(dated, tmp_path)
    response = responded(serve(all_routes), request("bare"), tokenizer=folder)
    told = response.context.rendered_date
    assert told and response.context.expected_injected.startswith(told)
    assert told not in response.context.rendered_prompt


ENDED_LATER = (
    "{% if messages[0].role != 'system' %}<s>You are Rio.</s>{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}</u>"
    "{% else %}<a>{{ m.content }}{{ '' if loop.last else '</a>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.mark.parametrize(
    ("more", "per_sample", "status"),
    [(0, 1, "ok"), (2, 1, "ok"), (0, 2, "ok"), (7, 1, "unsupported"), (None, 1, "ok")],
)
def test_a_bare_prompt_that_comparison_proves_has_to_agree_with_the_host_s_bill(
    serve, tmp_path, more, per_sample, status
):
    folder = export("base", "hf", tmp_path / "model")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"chat_template": ENDED_LATER}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    template, count = template_from_folder(folder), counter(folder)
    assert template.bare("Who?").proof == "comparison"

    def respond(path, body, number):
        made = all_routes(path, body, number)
        if "messages" in body and more is not None:
            tokens = count(template.render(body["messages"])) + more
            made["usage"]["prompt_tokens"] = tokens * (body.get("n", 1) if per_sample > 1 else 1)
        elif "messages" in body:
            made["usage"] = None
        return made

    response = responded(serve(respond), request("bare"), tokenizer=str(folder))
    (reply,) = response.replies
    assert reply.status == status, reply.error
    assert status == "ok" or "of which the named template makes" in reply.error
