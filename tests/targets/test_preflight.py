"""The first words with a host: what it refuses, where it is, what it cannot do, how slow it is."""

from __future__ import annotations

import asyncio
import json

import pytest

from harness.campaign import Budget, EndpointTarget, Limits, Sampling, parse_arm
from harness.campaign.plan import arm_messages
from harness.errors import TargetError
from harness.targets import Request, Spending, pace_of
from harness.targets.addresses import addresses
from harness.targets.endpoint import Endpoint
from tests.commands import PATIENCE_S
from tests.openai_server import chat

KEY = "planted-azure-key-7"


def endpoint(url, limits=None, **fields):
    entry = {"name": "t", "role": "suspect", "engine": "endpoint", "base_url": url, "model": "m"}
    wanted = EndpointTarget(**entry | {"api_key_env": None, "timeout_s": PATIENCE_S} | fields)
    limits = limits or Limits(attempts=1)
    return Endpoint(wanted, pace_of(wanted, limits, Spending(Budget())))


def with_target(url, use, sampling=None, **fields):
    """What a target can do, and what is made of it after its preflight."""

    async def go():
        target = endpoint(url, **fields)
        try:
            can = await target.preflight(sampling)
            return can, None if use is None else await use(target)
        finally:
            await target.close()

    return asyncio.run(go())


def can(url, sampling=None, **fields):
    return with_target(url, None, sampling, **fields)[0]


def request(n=1, **sampling):
    arm = parse_arm("absent")
    messages = arm_messages(arm, "Who are you?", None)
    return Request("k", arm, messages, Sampling(max_tokens=20, **sampling), range(n), 80)


def wrong(said, status=400):
    return (status, {}, json.dumps({"error": {"message": said}}).encode())


def refusing(*names, status=400, **more):
    """A host that refuses parameters by these names, and answers well without them."""

    def respond(path, body, number):
        for name in names:
            if name in body:
                return wrong(f"Unsupported parameter: {name}", status)
        if "messages" not in body:
            return wrong("no such route", 404)
        return chat(*["I am Rio."] * body.get("n", 1)) | more

    return respond


@pytest.mark.parametrize("status", [400, 422, 500, 502])
def test_every_refused_parameter_is_named_with_the_one_line_to_write(serve, status):
    host = serve(refusing("seed", "temperature", "presence_penalty", status=status))
    with pytest.raises(TargetError) as caught:
        can(host.url)
    said = str(caught.value)
    for name in ("seed", "temperature", "presence_penalty"):
        assert f"{name} (HTTP {status}" in said
    assert "top_p" not in said and "frequency_penalty (" not in said
    assert "'omit: [temperature, presence_penalty, seed]'" in caught.value.next
    assert "auto_omit: true" in caught.value.next


def test_with_that_line_written_the_host_is_used(serve):
    host = serve(refusing("seed", "temperature"))
    found, response = with_target(
        host.url, lambda target: target.sample(request()), omit=["temperature", "seed"]
    )
    assert found.many_samples and response.replies[0].status == "ok"
    assert response.seed is None  # none was sent


@pytest.mark.parametrize(
    ("entry", "refused", "line"),
    [
        ({"omit": ["top_p"]}, ("top_p", "seed"), "'omit: [top_p, seed]'"),
        (
            {"rename": {"max_tokens": "max_completion_tokens"}},
            ("seed",),
            "'omit: [seed]'",
        ),
        ({"rename": {"max_tokens": "limit"}}, ("limit",), "'rename: {}'"),
        (
            {"rename": {"top_p": "p"}},
            ("max_tokens",),
            "'rename: {top_p: p, max_tokens: max_completion_tokens}'",
        ),
        ({"rename": {"top_p": "p"}}, ("p",), "'omit: [top_p]'"),
    ],
)
def test_advice_never_says_what_stands_there_already(serve, entry, refused, line):
    with pytest.raises(TargetError) as caught:
        can(serve(refusing(*refused)).url, **entry)
    assert line in caught.value.next
    for name, value in entry.items():
        inner = ", ".join(value if name == "omit" else (f"{k}: {v}" for k, v in value.items()))
        assert f"'{name}: [{inner}]'" not in caught.value.next
        assert f"'{name}: {{{inner}}}'" not in caught.value.next


def test_words_about_another_parameter_are_not_taken_for_it(serve):
    """The refusal of a temperature speaks of top_p."""

    def respond(path, body, number):
        if "temperature" in body:
            return wrong("temperature is fixed; see also top_p, seed and max_completion_tokens")
        return refusing()(path, body, number)

    with pytest.raises(TargetError) as caught:
        can(serve(respond).url)
    assert "'omit: [temperature]'" in caught.value.next and "rename" not in caught.value.next


def test_a_value_that_is_refused_is_found_by_the_value_that_will_be_sent(serve):
    def respond(path, body, number):
        if body.get("temperature", 1) != 1:
            return wrong("only the default (1) is supported")
        return refusing()(path, body, number)

    host = serve(respond)
    assert can(host.url, Sampling(temperature=1.0)).many_samples
    with pytest.raises(TargetError, match=r"omit: \[temperature\]"):
        can(host.url, Sampling(temperature=0.7))


def test_parameters_that_are_refused_only_together_are_told_so(serve):
    def respond(path, body, number):
        if "temperature" in body and "top_p" in body:
            return wrong("temperature and top_p cannot both be specified")
        return refusing()(path, body, number)

    with pytest.raises(TargetError) as caught:
        can(serve(respond).url)
    assert "temperature and top_p (only together)" in caught.value.what
    assert "'omit: [top_p]'" in caught.value.next


@pytest.mark.parametrize("status", [400, 422, 500, 501, 502, 504])
def test_a_host_that_refuses_n_is_asked_for_one_sample_at_a_time(serve, status):
    host = serve(refusing("n", status=status))
    found, response = with_target(host.url, lambda target: target.sample(request(n=3)))
    assert not found.many_samples
    assert [reply.status for reply in response.replies] == ["ok"] * 3
    assert any(note.startswith("the host refuses n") for note in found.notes)


def test_parameters_refused_within_status_200_are_named_too(serve):
    def respond(path, body, number):
        found = refusing("seed", "n")(path, body, number)
        return {"error": found[2].decode()} if isinstance(found, tuple) else found

    with pytest.raises(TargetError) as caught:
        can(serve(respond).url)
    assert "'omit: [seed]'" in caught.value.next
    found = can(serve(respond).url, omit=["seed"])
    assert not found.many_samples and any("the host refuses n" in note for note in found.notes)


@pytest.mark.parametrize("status", [400, 500])
def test_a_refusal_that_passes_is_no_refusal(serve, status):
    """The first answer of a server that is just starting."""

    def respond(path, body, number):
        if "messages" in body and number == 1:
            return wrong("still loading", status)
        return refusing()(path, body, number)

    found = can(serve(respond).url)
    assert found.seed and (found.many_samples or status == 400)


def test_a_host_that_refuses_logprobs_loses_nothing_else(serve):
    found = can(serve(refusing("logprobs")).url)
    assert (found.logprobs, found.seed, found.many_samples) == (False, True, True)


def test_a_field_of_extra_body_that_is_refused_is_named(serve):
    with pytest.raises(TargetError) as caught:
        can(serve(refusing("top_k", "seed")).url, extra_body={"top_k": 1, "min_p": 0})
    assert "top_k (HTTP 400" in caught.value.what and "min_p" not in caught.value.what
    assert "take top_k out of extra_body" in caught.value.next
    assert "'omit: [seed]'" in caught.value.next


def test_a_host_that_refuses_everything_is_not_said_to_refuse_parameters(serve):
    with pytest.raises(TargetError) as caught:
        can(serve(lambda path, body, number: wrong("model m is not served here")).url)
    assert "the endpoint does not answer: HTTP 400" in caught.value.what
    assert "omit" not in str(caught.value)


def test_auto_omit_leaves_out_what_is_refused_and_tells_it(serve):
    host = serve(refusing("seed", "temperature", "max_tokens"))
    found, response = with_target(
        host.url, lambda target: target.sample(request(n=2)), auto_omit=True
    )
    assert [reply.status for reply in response.replies] == ["ok", "ok"]
    (note,) = found.notes
    assert "left out, for the host refuses them: temperature, seed" in note
    assert "max_tokens is sent as max_completion_tokens" in note
    assert found.many_samples
    body = next(body for _, body, _ in reversed(host.seen) if body.get("n") == 2)
    assert not {"seed", "temperature", "max_tokens"} & body.keys()
    assert body["max_completion_tokens"] == 20
    assert not {"seed", "temperature", "max_tokens"} & response.context.sent.keys()
    assert response.seed is None


def test_auto_omit_never_leaves_the_limit_of_an_answer_out(serve):
    host = serve(refusing("max_tokens", "max_completion_tokens"))
    with pytest.raises(TargetError, match=r"omit: \[max_tokens\]") as caught:
        can(host.url, auto_omit=True)
    assert "auto_omit" not in caught.value.next


def test_auto_omit_is_told_by_the_report(serve, tmp_path):
    from tests.commands import truename

    host = serve(refusing("seed"))
    (tmp_path / "c.yaml").write_text(
        "campaign: c\narms: [absent]\nprobes: [identity]\nlanguages: [en]\nsamples: 1\n"
        "targets:\n  - {name: t, role: suspect, engine: endpoint, model: m, api_key_env: null, "
        f"auto_omit: true, base_url: '{host.url}'}}\n"
    )
    assert truename("run", "c.yaml", folder=tmp_path).exit_code == 0
    tallied = truename("tally", "c", folder=tmp_path)
    assert tallied.exit_code == 0, tallied.output
    told = "left out, for the host refuses them: seed"
    report = truename("report", "c", "--terminal", folder=tmp_path)
    assert told in " ".join(report.output.split()), report.output
    assert truename("report", "c", folder=tmp_path).exit_code == 0
    pages = [page.read_text() for page in (tmp_path / "results").rglob("*.html")]
    assert pages and all(told in page for page in pages)
    assert told in (tmp_path / "results/c/samples.csv").read_text()


def test_what_an_earlier_sitting_left_out_is_told_by_the_later_one_too(tmp_path):
    from harness.journal import Journal, open_engine, sqlite_url
    from harness.targets import Capabilities

    record = Journal(open_engine(sqlite_url(tmp_path / "journal.sqlite")), "c").record
    record.begin("0" * 64, "campaign: c", str(tmp_path), "1" * 64, {})
    for model, note in (("m", "left out"), ("m2", "another"), ("m2", "another")):
        record.remember_target("t", Capabilities("endpoint", model, notes=(note,)))
    assert record.notes() == ["another", "left out"]
    assert record.capabilities()["t"]["model"] == "m2"


def test_a_campaign_without_auto_omit_decides_as_it_did_before(tmp_path):
    from harness.campaign import deciding, load_campaign

    text = (
        "campaign: c\narms: [absent]\ntargets:\n  - {name: t, role: suspect, engine: endpoint, "
        "model: m, base_url: 'http://h/v1'%s}\n"
    )
    for more, told in (("", False), (", auto_omit: false", False), (", auto_omit: true", True)):
        (tmp_path / "c.yaml").write_text(text % more)
        (target,) = deciding(load_campaign(str(tmp_path / "c.yaml")).campaign)["targets"]
        assert ("auto_omit" in target) == told


@pytest.mark.parametrize(
    ("url", "chat_at", "beside"),
    [
        ("http://h/v1", "http://h/v1/chat/completions", "http://h/props"),
        ("http://h/v1/", "http://h/v1/chat/completions", "http://h/props"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions", "http://h/props"),
        ("http://h/v1/completions", "http://h/v1/chat/completions", "http://h/props"),
        ("http://h", "http://h/chat/completions", "http://h/props"),
        ("http://h/v1?a=b&c=d", "http://h/v1/chat/completions?a=b&c=d", "http://h/props?a=b&c=d"),
        ("http://h/v1/?a=b", "http://h/v1/chat/completions?a=b", "http://h/props?a=b"),
        ("http://h/v1?", "http://h/v1/chat/completions", "http://h/props"),
        ("http://h/v1#x", "http://h/v1/chat/completions", "http://h/props"),
        (
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
            "https://r.openai.azure.com/openai/deployments/d/props?api-version=1",
        ),
    ],
)
def test_a_query_stays_at_the_end_and_the_chat_route_may_be_given_whole(url, chat_at, beside):
    found = addresses(url)
    assert (found.chat, found.beside("/props")) == (chat_at, beside)
    assert addresses(str(found)) == found


DEPLOYMENT = "/openai/deployments/d"


def azure(path, body, number):
    """A deployment at Azure: its path, its version, its header for the key."""
    if not path.startswith(DEPLOYMENT) or not path.endswith("?api-version=2024-10-21"):
        return wrong("Resource not found", 404)
    return refusing()(path, body, number)


@pytest.mark.parametrize("route", ["", "/", "/chat/completions"])
def test_a_deployment_at_azure_is_asked_with_its_version_and_its_key(serve, monkeypatch, route):
    monkeypatch.setenv("AZURE_KEY", KEY)
    host = serve(azure)
    url = host.url.removesuffix("/v1") + DEPLOYMENT + route + "?api-version=2024-10-21"
    _, response = with_target(
        url, lambda target: target.sample(request()), api_key_env="AZURE_KEY", model="d"
    )
    assert response.replies[0].status == "ok"
    path, _, headers = host.seen[-1]
    assert path == f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == KEY and "authorization" not in headers


def only_at(base):
    def respond(path, body, number):
        if not path.startswith(f"{base}/chat/completions"):
            return (404, {"Content-Type": "text/html"}, b"<html>not here</html>")
        return refusing()(path, body, number)

    return respond


@pytest.mark.parametrize(
    ("right", "given"),
    [
        ("/v1", ""),
        ("/v1", "/v1/v1"),
        ("", "/v1"),
        ("/v1", "/api"),
        ("/api/v1", "/v1"),
        ("/openai/v1", "/v1"),
        ("/v1beta/openai", "/v1"),
        ("/some/where/v1", "/some/where"),
    ],
)
def test_a_404_suggests_the_address_that_would_have_been_right(serve, right, given):
    root = serve(only_at(right)).url.removesuffix("/v1")
    with pytest.raises(TargetError) as caught:
        can(root + given)
    assert "HTTP 404" in caught.value.what
    assert f"write 'base_url: {root + right}'" in caught.value.next
    assert can(root + right).many_samples  # and it is


def test_a_deployment_without_its_version_is_told_one(serve):
    root = serve(azure).url.removesuffix("/v1")
    for given in (DEPLOYMENT, "?api-version=2024-10-21", "/v1?api-version=2024-10-21"):
        with pytest.raises(TargetError) as caught:
            can(root + given, model="d")
        right = f"{root}{DEPLOYMENT}?api-version=2024-10-21"
        assert f"'base_url: {right}'" in caught.value.next


@pytest.mark.parametrize(
    "elsewhere",
    [
        (405, {}, b""),
        (200, {"Content-Type": "text/html"}, b"<!doctype html><p>Welcome"),
        (308, {"Location": "/v1/chat/completions"}, b""),
    ],
)
def test_pages_for_people_and_redirects_suggest_an_address_too(serve, elsewhere):
    def respond(path, body, number):
        return refusing()(path, body, number) if path.startswith("/v1/") else elsewhere

    url = serve(respond).url
    with pytest.raises(TargetError) as caught:
        can(url.removesuffix("/v1"))
    assert f"'base_url: {url}'" in caught.value.next


def test_a_404_without_a_better_address_suggests_none(serve):
    with pytest.raises(TargetError) as caught:
        can(serve(lambda path, body, number: (404, {}, b"{}")).url)
    assert "base_url:" not in caught.value.next and "mend model, base_url" in caught.value.next


def test_a_model_that_the_host_does_not_have_suggests_those_that_it_has(host):
    from tests.misbehaving import Misbehaving, http

    class Listing(Misbehaving):
        def _steps(self, head, body):
            if head.startswith("GET /v1/models "):
                yield http(200, {"data": [{"id": "qwen3-32b"}, {"id": "other"}, {"id": 5}, 7]})
            else:
                yield http(404, {"error": {"message": "The model 'qwen3-32' does not exist"}})

    listing = Listing(lambda number, body: None)
    try:
        with pytest.raises(TargetError) as caught:
            can(listing.url, model="qwen3-32")
    finally:
        listing.close()
    assert caught.value.next == "write a model that the host has as `model`, such as qwen3-32b"


def asked_at(host, route):
    return sum(path == route for path, _, _ in host.seen)


@pytest.mark.parametrize(
    "missing",
    [
        (404, {}, b"{}"),
        (405, {}, b""),
        (403, {}, b'{"message": "Forbidden"}'),
        (200, {"Content-Type": "text/html"}, b"<html>hello</html>"),
    ],
)
def test_a_route_that_is_not_there_is_asked_once(serve, missing):
    def respond(path, body, number):
        chat_route = path.endswith("/chat/completions")
        return refusing()(path, body, number) if chat_route else missing

    host = serve(respond)

    async def use(target):
        await asyncio.gather(*(target.tokenize(f"text {i}") for i in range(20)))
        await asyncio.gather(*(target.rendered(request().messages) for _ in range(20)))

    with_target(host.url, use)
    assert asked_at(host, "/apply-template") == 1
    assert asked_at(host, "/v1/chat/completions/render") == 1
    assert asked_at(host, "/tokenize") == 2  # of a text, of messages


def test_a_route_that_refuses_one_text_is_asked_again(serve):
    def respond(path, body, number):
        if path != "/tokenize":
            return refusing()(path, body, number)
        return {"tokens": [1, 2]} if body["prompt"] == "good" else wrong("too long")

    async def use(target):
        return [await target.tokenize(text) for text in ("bad", "good", "bad", "bad", "good")]

    host = serve(respond)
    assert with_target(host.url, use)[1] == [None, [1, 2], None, None, [1, 2]]


def test_a_route_that_never_says_what_it_is_asked_for_is_given_up(serve):
    def respond(path, body, number):
        return {"ok": True} if "/chat/" not in path else refusing()(path, body, number)

    async def use(target):
        for i in range(20):
            await target.tokenize(f"text {i}")

    host = serve(respond)
    with_target(host.url, use)
    assert asked_at(host, "/tokenize") == 3


@pytest.mark.parametrize(
    ("seconds", "level"), [(0.05, 8), (0.5, 8), (1.0, 4), (2.0, 2), (4.0, 1), (90.0, 1)]
)
def test_the_level_begins_by_how_long_the_first_answer_took(serve, seconds, level):
    now = [0.0]

    def respond(path, body, number):
        if "messages" in body:
            now[0] += seconds
        return refusing()(path, body, number)

    async def go(**fields):
        target = endpoint(serve(respond).url, **fields)
        target.pace.gate.clock = lambda: now[0]
        try:
            await target.preflight()
            return target.pace.gate.level
        finally:
            await target.close()

    assert asyncio.run(go()) == level
    assert asyncio.run(go(concurrency=32)) == 32  # as the campaign says


def test_how_long_small_answers_took_does_not_hold_the_level_back(serve):
    async def use(target):
        gate = target.pace.gate
        for _ in range(8):
            gate.succeeded(30.0)  # real samples take longer than a greeting
        return gate.level

    assert with_target(serve(refusing()).url, use)[1] > 8


def system_refused(only=None):
    def respond(path, body, number):
        messages = body.get("messages", [{}])
        if messages[0].get("role") == "system" and only in (None, messages[-1]["content"]):
            return wrong("System role not supported")
        return refusing()(path, body, number)

    return respond


def with_system(target, questions):
    async def go():
        arm, found = parse_arm("given:x"), []
        for question in questions:
            messages = arm_messages(arm, question, "You are Rio.")
            asked = Request(question, arm, messages, Sampling(max_tokens=20), (0,), 80)
            found += (await target.sample(asked)).replies
        return found

    return go()


def test_an_arm_whose_system_message_is_refused_is_not_asked_for_ever(serve):
    host = serve(system_refused())
    asked = [f"question {i}" for i in range(10)]
    _, replies = with_target(host.url, lambda target: with_system(target, asked))
    assert {reply.status for reply in replies} == {"unsupported"}
    assert len({reply.error for reply in replies}) == 1
    sent = [b for _, b, _ in host.seen if b.get("messages", [{}])[0].get("role") == "system"]
    assert len(sent) == 3


def test_a_system_message_that_was_taken_once_is_asked_for_again(serve):
    asked = ["good", *["bad"] * 5, "good"]
    host = serve(system_refused("bad"))
    _, replies = with_target(host.url, lambda target: with_system(target, asked))
    assert [r.status for r in replies] == ["ok", *["unsupported"] * 5, "ok"]
