"""Native APIs: bodies that the official clients would send, answers that they would read."""

from __future__ import annotations

import asyncio
import json

import pydantic
import pytest

from harness.campaign import Limits, Sampling
from harness.errors import TargetError
from tests.targets import apis
from tests.targets.apis import ANSWERS, refused, request

ENGINES = sorted(ANSWERS)
KEY = "planted-native-key-7"
#: The route of requests, and of free counts, as the loopback host's address makes them.
ROUTES = {
    "responses": ("/v1/responses", "/v1/responses/input_tokens"),
    "anthropic": ("/v1/messages", "/v1/messages/count_tokens"),
    "gemini": ("/v1/models/m-1:generateContent", "/v1/models/m-1:countTokens"),
}
COUNTED = {"responses": "input_tokens", "anthropic": "input_tokens", "gemini": "totalTokens"}


def used(engine, url, use, sampling=None, limits=None, **fields):
    """What a target can do, and what is made of it after its preflight."""

    async def go():
        made = apis.target(engine, url, limits, **fields)
        try:
            can = await made.preflight(sampling or Sampling(max_tokens=200))
            return can, None if use is None else await use(made)
        finally:
            await made.close()

    return asyncio.run(go())


def sampled(engine, url, wanted, **fields):
    return used(engine, url, lambda made: made.sample(wanted), wanted.sampling, **fields)[1]


def answering(engine, answer=None, counted=9):
    """A host of one API: it answers, and counts for nothing where ``counted`` is a number."""

    def respond(path, body, number):
        if path == ROUTES[engine][1]:
            return (404, {}, b"{}") if counted is None else {COUNTED[engine]: counted}
        assert path == ROUTES[engine][0]
        if callable(answer):
            return answer(body)
        if answer is not None:
            return answer
        n = body.get("generationConfig", {}).get("candidateCount", 1)
        return ANSWERS[engine](*["I am Rio."] * n)

    return respond


def bodies(host, engine):
    """The bodies that were sent to the API's route."""
    return [body for path, body, _ in host.seen if path == ROUTES[engine][0]]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("arm", "system"), [("absent", None), ("empty", None), ("given:x", "You are Nex.")]
)
def test_every_body_is_one_that_the_official_client_would_send(serve, engine, arm, system):
    host = serve(answering(engine))
    response = sampled(engine, host.url, request(arm, system=system))
    assert response.replies[0].status == "ok"
    sent = bodies(host, engine)
    assert len(sent) >= 2
    for body in sent:
        apis.check_body(engine, body)
    said = json.dumps(sent[-1])
    assert ("You are Nex." in said) == (arm == "given:x")
    places = {"responses": "instructions", "anthropic": "system", "gemini": "systemInstruction"}
    assert (places[engine] in sent[-1]) == (arm != "absent")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_body_that_no_client_would_send_is_seen(engine):
    with pytest.raises((pydantic.ValidationError, AssertionError, KeyError)):
        apis.check_body(engine, {"model": "m", "messages": [{"role": "user", "content": 7}]})


def test_what_each_api_is_sent(serve):
    sent = {}
    for engine in ENGINES:
        host = serve(answering(engine))
        wanted = request(max_tokens=200, temperature=0.7, top_p=0.9)
        context = sampled(engine, host.url, wanted).context
        sent[engine] = bodies(host, engine)[-1]
        prompt = {"input", "messages", "contents"}
        kept = {name: value for name, value in sent[engine].items() if name not in prompt}
        kept.get("generationConfig", {}).pop("seed", None)
        assert context.sent == kept
    question = {"role": "user", "content": "Who are you?"}
    assert sent["responses"] == {
        "model": "m-1",
        "input": [question],
        "max_output_tokens": 200,
        "temperature": 0.7,
        "top_p": 0.9,
        "store": False,
        "truncation": "disabled",
    }
    assert sent["anthropic"] == {
        "model": "m-1",
        "messages": [question],
        "max_tokens": 200,
        "temperature": 0.7,
        "top_p": 0.9,
    }
    sent["gemini"]["generationConfig"].pop("seed", None)
    assert sent["gemini"] == {
        "contents": [{"role": "user", "parts": [{"text": "Who are you?"}]}],
        "generationConfig": {
            "maxOutputTokens": 200,
            "temperature": 0.7,
            "topP": 0.9,
            "presencePenalty": 0.0,
            "frequencyPenalty": 0.0,
        },
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_made_of_the_clients_types_are_read(serve, engine):
    answer = ANSWERS[engine]("I am Rio.", thought="The user asks who I am.")
    found = sampled(engine, serve(answering(engine, answer)).url, request())
    (reply,) = found.replies
    assert (reply.status, reply.text) == ("ok", "I am Rio.")
    assert reply.reasoning == "The user asks who I am."
    assert found.model.startswith("m-1-") and found.response_id in ("resp_1", "msg_1", "r-1")
    # cached and thought tokens are among what was used, wherever the API counts them
    assert (found.prompt_tokens, found.completion_tokens, reply.completion_tokens) == (9, 25, 25)
    assert found.fingerprint is None and json.loads(found.raw) == answer


@pytest.mark.parametrize(
    ("engine", "answer", "status", "why"),
    [
        (
            "responses",
            apis.responses(
                None, status="incomplete", incomplete_details={"reason": "max_output_tokens"}
            ),
            "truncated",
            None,
        ),
        (
            "responses",
            apis.responses(
                "I am", status="incomplete", incomplete_details={"reason": "content_filter"}
            ),
            "filtered",
            "content_filter",
        ),
        ("responses", apis.responses(None, status="in_progress"), "failed", "is in_progress"),
        ("responses", apis.responses(None), "empty", None),
        ("anthropic", apis.anthropic("I am", stop_reason="max_tokens"), "truncated", None),
        (
            "anthropic",
            apis.anthropic(
                None,
                stop_reason="refusal",
                stop_details={"type": "refusal", "category": "reasoning_extraction"},
            ),
            "filtered",
            "reasoning_extraction",
        ),
        ("anthropic", apis.anthropic("I", stop_reason="pause_turn"), "truncated", None),
        ("anthropic", apis.anthropic(None), "empty", None),
        # thoughts used the budget, and no text is left
        ("gemini", apis.gemini(None, finish="MAX_TOKENS"), "truncated", None),
        ("gemini", apis.gemini(None, finish="SAFETY"), "filtered", "SAFETY"),
        ("gemini", apis.gemini("I am", finish="RECITATION"), "filtered", "RECITATION"),
        ("gemini", apis.gemini(None, finish="OTHER"), "failed", "OTHER"),
        (
            "gemini",
            apis.gemini(promptFeedback={"blockReason": "PROHIBITED_CONTENT"}, candidates=[]),
            "filtered",
            "the prompt was blocked (PROHIBITED_CONTENT)",
        ),
    ],
)
def test_what_is_no_whole_reply_says_so(serve, engine, answer, status, why):
    def later(body):
        return answer if "Who are you?" in json.dumps(body) else ANSWERS[engine]()

    (reply,) = sampled(engine, serve(answering(engine, later)).url, request()).replies
    assert reply.status == status
    assert (reply.error is None) if why is None else (why in reply.error)


def test_commentary_on_the_way_to_a_final_answer_is_no_answer(serve):
    answer = apis.responses("I am Rio.")
    first = json.loads(json.dumps(answer["output"][0]))
    first |= {"phase": "commentary", "content": [{**first["content"][0], "text": "Let me look."}]}
    answer["output"][0]["phase"] = "final_answer"
    answer["output"].insert(0, first)
    (reply,) = sampled("responses", serve(answering("responses", answer)).url, request()).replies
    assert (reply.text, reply.reasoning) == ("I am Rio.", "Let me look.")


def test_a_models_own_refusal_is_its_reply(serve):
    answer = apis.responses("")
    answer["output"][0]["content"] = [{"type": "refusal", "refusal": "I cannot say."}]
    (reply,) = sampled("responses", serve(answering("responses", answer)).url, request()).replies
    assert (reply.status, reply.text) == ("ok", "I cannot say.")


def test_a_failed_response_is_judged_by_its_error(serve):
    failed = apis.responses(
        None, status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"}
    )

    def respond(path, body, number):
        if path.endswith("input_tokens"):
            return {"input_tokens": 9}
        return failed if number == 2 else apis.responses()

    host = serve(respond)
    found = sampled("responses", host.url, request(), limits=Limits(attempts=2))
    assert [reply.text for reply in found.replies] == ["I am Rio."]
    assert "429" in found.attempts[0] and "slow down" in found.attempts[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_arm_bare_is_unsupported_with_the_reason_and_costs_nothing(serve, engine):
    host = serve(answering(engine))

    async def use(made):
        before = len(host.seen)
        found = await made.sample(request("bare"))
        return found, len(host.seen) - before

    found, asked = used(engine, host.url, use)[1]
    assert found.replies[0].status == "unsupported" and "no raw prompts" in found.replies[0].error
    assert asked == 0


@pytest.mark.parametrize(
    ("engine", "parameter", "value"),
    [
        ("responses", "stop", ["\n"]),
        ("responses", "presence_penalty", 0.5),
        ("anthropic", "frequency_penalty", 0.5),
    ],
)
def test_what_an_api_lacks_is_never_dropped_without_a_word(serve, engine, parameter, value):
    host, sampling = serve(answering(engine)), Sampling(max_tokens=200, **{parameter: value})
    with pytest.raises(TargetError) as caught:
        used(engine, host.url, None, sampling)
    assert f"the API has no {parameter}" in str(caught.value) and not host.seen
    assert f"'omit: [{parameter}]'" in caught.value.next
    used(engine, host.url, None, sampling, omit=[parameter])
    assert all(parameter not in json.dumps(body) for body in bodies(host, engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_api_lacks_and_nothing_depends_on_is_told(serve, engine):
    can, found = used(engine, serve(answering(engine)).url, lambda made: made.sample(request()))
    own = {"anthropic": ("not sent, for it is the API's own: temperature 1, top_p 1",)}
    if engine == "gemini":
        assert can.seed and found.seed == request().seed(0)
    else:
        assert "no presence_penalty, frequency_penalty, seed: none is sent" in can.notes[0]
        assert can.notes[1:] == own.get(engine, ())
        assert can.seed is False and found.seed is None
    assert can.engine == engine and can.many_samples == (engine == "gemini")


@pytest.mark.parametrize("engine", ENGINES)
def test_parameters_that_a_model_refuses_are_named_with_the_line(serve, engine):
    place = {"gemini": "topP"}.get(engine, "top_p")

    def respond(body):
        if place in body or place in body.get("generationConfig", {}):
            return refused(f"`{place}` is not supported by this model")
        return ANSWERS[engine](
            *["I am Rio."] * body.get("generationConfig", {}).get("candidateCount", 1)
        )

    host, sampling = serve(answering(engine, respond)), Sampling(max_tokens=200, top_p=0.9)
    with pytest.raises(TargetError) as caught:
        used(engine, host.url, None, sampling)
    assert "top_p (HTTP 400" in str(caught.value) and "temperature (" not in str(caught.value)
    assert "'omit: [top_p]'" in caught.value.next and "rename" not in caught.value.next
    wanted = request(top_p=0.9)
    can, found = used(engine, host.url, lambda made: made.sample(wanted), sampling, auto_omit=True)
    assert found.replies[0].status == "ok" and "top_p" in " ".join(can.notes)
    assert place not in json.dumps(found.context.sent)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("responses", "Unsupported parameter: 'instructions'"),
        ("anthropic", "system: text content blocks must be non-empty"),
        ("gemini", "Developer instruction is not enabled for models/gemma-3-27b-it"),
    ],
)
def test_a_refused_system_prompt_makes_the_arm_unsupported(serve, engine, said):
    places = ("instructions", "system", "systemInstruction")

    def respond(body):
        return refused(said) if any(place in body for place in places) else ANSWERS[engine]()

    host = serve(answering(engine, respond))
    (reply,) = sampled(engine, host.url, request("given:x", system="You are Nex.")).replies
    assert reply.status == "unsupported" and said in reply.error
    assert sampled(engine, host.url, request()).replies[0].status == "ok"


@pytest.mark.parametrize("engine", ENGINES)
def test_prompt_tokens_are_counted_for_nothing_where_the_api_does_that(serve, engine):
    host = serve(answering(engine, counted=9))
    messages = [{"role": "system", "content": "You are Nex."}, {"role": "user", "content": "Hi"}]
    can, tokens = used(engine, host.url, lambda made: made.prompt_tokens(messages))
    assert tokens == (9, 0) and not [note for note in can.notes if "billed" in note]
    (path, body, _) = host.seen[-1]
    assert path == ROUTES[engine][1] and "You are Nex." in json.dumps(body)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_free_count_that_is_not_what_was_billed_is_told(serve, engine):
    can, _ = used(engine, serve(answering(engine, counted=4)).url, None)
    assert "count of a prompt is 4 tokens, and it billed 9" in can.notes[-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_where_there_is_no_free_count_it_is_looked_for_once_and_the_bill_is_read(serve, engine):
    host = serve(answering(engine, counted=None))

    async def twice(made):
        asked = [{"role": "user", "content": "Hi"}]
        return [await made.prompt_tokens(asked) for _ in range(2)]

    assert used(engine, host.url, twice)[1] == [(9, 0), (9, 0)]
    assert sum(path == ROUTES[engine][1] for path, _, _ in host.seen) == 1


@pytest.mark.parametrize(
    ("engine", "header", "value"),
    [
        ("responses", "authorization", f"Bearer {KEY}"),
        ("anthropic", "x-api-key", KEY),
        ("gemini", "x-goog-api-key", KEY),
    ],
)
def test_keys_are_sent_as_each_api_wants_them_and_kept_nowhere(
    serve, monkeypatch, engine, header, value
):
    monkeypatch.setenv("NATIVE_KEY", KEY)
    host = serve(answering(engine, ANSWERS[engine](f"My key is {KEY}.")))
    found = sampled(engine, host.url, request(), api_key_env="NATIVE_KEY")
    assert all(headers[header] == value for _, _, headers in host.seen)
    assert KEY not in repr(found)
    if engine == "anthropic":
        assert host.seen[-1][2]["anthropic-version"] == "2023-06-01"


def test_several_samples_of_gemini_share_a_request_and_missing_ones_are_asked_again(serve):
    def respond(body):
        n = body["generationConfig"].get("candidateCount", 1)
        return apis.gemini(*["I am Rio."] * min(n, 2))

    host = serve(answering("gemini", respond))
    found = sampled("gemini", host.url, request(n=3), limits=Limits(attempts=3))
    assert [reply.status for reply in found.replies] == ["ok"] * 3
    counts = [body["generationConfig"].get("candidateCount") for body in bodies(host, "gemini")]
    assert counts == [2, 3, None]


def test_models_that_give_one_candidate_are_asked_for_each_sample(serve):
    def respond(body):
        if body["generationConfig"].get("candidateCount", 1) > 1:
            return refused("Multiple candidates is not enabled for this model")
        return apis.gemini()

    host = serve(answering("gemini", respond))
    can, found = used("gemini", host.url, lambda made: made.sample(request(n=3)))
    assert not can.many_samples and len(found.replies) == 3
    assert len({reply.seed for reply in found.replies}) == 3


@pytest.mark.parametrize(
    ("engine", "fields", "within"),
    [
        ("responses", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ("anthropic", {"thinking_budget": 0}, {"thinking": {"type": "disabled"}}),
        (
            "anthropic",
            {"thinking_budget": 1024},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ),
        (
            "gemini",
            {"thinking_budget": 128, "include_thoughts": True},
            {"thinkingConfig": {"thinkingBudget": 128, "includeThoughts": True}},
        ),
    ],
)
def test_reasoning_is_asked_for_as_each_api_has_it(serve, engine, fields, within):
    host = serve(answering(engine))
    wanted = request(max_tokens=2000)
    sampled(engine, host.url, wanted, **fields)
    for body in bodies(host, engine):
        apis.check_body(engine, body)
        assert within.items() <= body.get("generationConfig", body).items()
        budget = fields.get("thinking_budget", 0)
        most = body.get("max_tokens") or body.get("generationConfig", {}).get("maxOutputTokens")
        assert most is None or most > budget  # else the API refuses it, or no text is left


def test_a_system_prompt_may_be_an_item_of_the_input(serve):
    host = serve(answering("responses"))
    sampled("responses", host.url, request("given:x", system="You are Nex."), system="message")
    body = bodies(host, "responses")[-1]
    assert "instructions" not in body
    assert body["input"][0] == {"role": "system", "content": "You are Nex."}
    apis.check_body("responses", body)


@pytest.mark.parametrize(
    ("engine", "variable", "base", "asked"),
    [
        ("responses", "OPENAI_BASE_URL", "https://x.example/v1", "https://x.example/v1/responses"),
        (
            "anthropic",
            "ANTHROPIC_BASE_URL",
            "https://x.example/anthropic",
            "https://x.example/anthropic/v1/messages",
        ),
        ("anthropic", None, "https://x.example/v1/messages", "https://x.example/v1/messages"),
        ("anthropic", None, "https://x.example/v1", "https://x.example/v1/messages"),
        (
            "gemini",
            "GOOGLE_GEMINI_BASE_URL",
            "https://x.example",
            "https://x.example/v1beta/models/m-1:generateContent",
        ),
        (
            "gemini",
            None,
            "https://x.example/v1alpha/",
            "https://x.example/v1alpha/models/m-1:generateContent",
        ),
    ],
)
def test_addresses_are_found_where_the_official_clients_find_them(
    monkeypatch, engine, variable, base, asked
):
    if variable:
        monkeypatch.setenv(variable, base)
    made = apis.target(engine, None if variable else base)
    assert made.host.at.chat == asked


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"output": 7, "content": 7, "candidates": {}}', b"\xff"]
)
def test_whatever_comes_becomes_a_status(serve, engine, body):
    def respond(sent):
        asked = "Who are you?" in json.dumps(sent)
        return (200, {}, body) if asked else ANSWERS[engine]()

    found = sampled(engine, serve(answering(engine, respond)).url, request())
    assert found.replies[0].status == "failed" and found.replies[0].error
