"""The embedded engine: arms proved by their prompts, broken files named."""

from __future__ import annotations

import asyncio

import pytest

from harness.campaign import EmbeddedTarget, Sampling, parse_arm
from harness.errors import TargetError
from harness.lab import build
from harness.targets import Request
from harness.targets.embedded import Embedded
from harness.targets.gguf_template import template_in
from tests.asking import responses, served
from tests.hostile_templates import ENDLESS


def test_embedded_arms_are_proved_by_their_prompts_and_token_counts():
    question = "Who are you?"
    arms = ["absent", "empty", "bare", "given:x"]
    found = responses("suspect", [(arm, "You are Velkora.", question) for arm in arms])
    for response in found:
        assert response.context.rendered_tokens == response.prompt_tokens
    absent, empty, bare, given = (response.context for response in found)
    assert "You are Rio" in absent.rendered_prompt
    assert "<|im_start|>system\n<|im_end|>" in empty.rendered_prompt
    assert (
        bare.rendered_prompt == "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert absent.rendered_prompt == bare.injected_text + bare.rendered_prompt
    assert "You are Velkora." in given.rendered_prompt
    assert absent.rendered_tokens > empty.rendered_tokens > bare.rendered_tokens


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 400, b"not a model at all"])
def test_a_broken_gguf_is_one_clear_error(tmp_path, content):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(TargetError) as caught:
        asyncio.run(
            Embedded(
                EmbeddedTarget(name="t", role="suspect", engine="embedded", model=str(path))
            ).preflight()
        )
    assert str(path) in str(caught.value)


def block(arm, indices, max_tokens=24, slots=1):
    """The answer to a block of samples of the suspect."""
    settings = EmbeddedTarget(
        name="t", role="suspect", engine="embedded", model="lab:suspect", slots=slots
    )
    question = ({"role": "user", "content": "Who are you?"},)
    sampling = Sampling(temperature=1.0, max_tokens=max_tokens, seed=7)
    request = Request("key", parse_arm(arm), question, sampling, indices, 100)

    async def asked():
        target = Embedded(settings)
        await target.preflight(sampling)
        try:
            return await target.sample(request)
        finally:
            await target.close()

    return asyncio.run(asked())


def test_with_slots_a_block_is_decoded_in_lockstep_with_a_seed_for_each_sample():
    answer = block("bare", range(8), slots=8)
    assert [reply.index for reply in answer.replies] == list(range(8))
    seeds = [reply.seed for reply in answer.replies]
    assert seeds == list(range(seeds[0], seeds[0] + 8))
    assert len({reply.text for reply in answer.replies}) > 1
    assert answer.completion_tokens == sum(reply.completion_tokens for reply in answer.replies)
    assert all(0 < reply.completion_tokens <= 24 for reply in answer.replies)


def sampled(target, arm, indices):
    """Texts of some samples, with their seeds."""
    question = ({"role": "user", "content": "Who are you?"},)
    sampling = Sampling(temperature=1.0, max_tokens=24, seed=7)
    request = Request(f"key {arm}", parse_arm(arm), question, sampling, indices, 100)
    return [(reply.seed, reply.text) for reply in asyncio.run(target.sample(request)).replies]


@pytest.mark.parametrize("slots", [1, 4])
def test_a_block_is_the_same_whatever_ran_before(slots):
    """Also where llama.cpp's slots were left in another order, and some of them full."""
    settings = EmbeddedTarget(
        name="t", role="suspect", engine="embedded", model="lab:suspect", slots=slots, workers=1
    )
    target = Embedded(settings)
    asyncio.run(target.preflight())
    before = {arm: sampled(target, arm, range(8)) for arm in ("bare", "absent")}
    for some in (range(3), range(2), range(1), range(4)):
        sampled(target, "empty", some)
        assert {arm: sampled(target, arm, range(8)) for arm in before} == before
    asyncio.run(target.close())


def test_each_request_starts_in_the_same_slot_and_takes_the_next_in_order():
    """What makes the sums repeatable: llama.cpp alone would take those that were idle longest."""
    settings = EmbeddedTarget(
        name="t", role="suspect", engine="embedded", model="lab:suspect", slots=4, workers=1
    )
    target = Embedded(settings)
    asyncio.run(target.preflight())
    used = []
    plain = target._call

    def noted(server, path, body=None):
        if path != "/completion":
            return plain(server, path, body)
        fields = (*body["response_fields"], "id_slot")
        got = plain(server, path, body | {"response_fields": fields})
        used.append([one["id_slot"] for one in (got if isinstance(got, list) else [got])])
        return got

    target._call = noted
    for some in (range(4), range(2), range(4), range(1), range(3)):
        sampled(target, "bare", some)
    assert used == [[0, 1, 2, 3], [0, 1], [0, 1, 2, 3], [0], [0, 1, 2]]
    asyncio.run(target.close())


def test_a_reply_cut_at_the_token_limit_is_truncated():
    answer = block("bare", range(2), max_tokens=2)
    assert {reply.status for reply in answer.replies} == {"truncated"}
    assert {reply.finish_reason for reply in answer.replies} == {"length"}


#: Renders a plain conversation, has no end for one word, and takes no system message.
TRAP = (
    "{% if 'trap' in messages[-1].content %}" + ENDLESS + "{% endif %}"
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ '<|im_start|>user\n' + messages[-1].content + '<|im_end|>\n<|im_start|>assistant\n' }}"
)


def model_with(template, folder):
    """The lab's suspect with another chat template in its file, of the same length."""
    path = build("suspect", "gguf")
    before = template_in(path).encode()
    room = len(before) - len(template.encode()) - len("{##}")
    after = f"{template}{{#{' ' * room}#}}".encode()
    (folder / "m.gguf").write_bytes(path.read_bytes().replace(before, after))
    return folder / "m.gguf"


def test_a_template_that_hangs_on_one_question_fails_its_samples_alone(tmp_path, hostile):
    """Rendered by the process under limits, with each question: llama.cpp never gets to see it."""
    target = Embedded(
        EmbeddedTarget(
            name="t", role="suspect", engine="embedded", model=str(model_with(TRAP, tmp_path))
        )
    )

    def asked(arm, question):
        system = ({"role": "system", "content": "You are Velkora."},) if arm != "absent" else ()
        messages = (*system, {"role": "user", "content": question})
        sampling = Sampling(temperature=1.0, max_tokens=4, seed=7)
        request = Request(f"{arm} {question}", parse_arm(arm), messages, sampling, (0,), 100)
        return asyncio.run(target.sample(request)).replies[0]

    asyncio.run(target.preflight())
    assert "trap" not in target._call(target._servers[0], "/props")["chat_template"]
    assert asked("absent", "Who are you?").status in ("ok", "truncated")
    refused = asked("given:x", "Who are you?")
    assert (refused.status, "no system" in refused.error) == ("unsupported", True)
    trapped = asked("absent", "Is this a trap?")
    assert (trapped.status, "CPU time" in trapped.error) == ("failed", True)
    asyncio.run(target.close())


@pytest.mark.parametrize("model", ["suspect", "base"])
def test_prompts_are_those_that_llama_makes_of_the_same_template(model):
    """Rendered by us, and by llama.cpp's own server of the same file, which is trusted here."""
    server = served(model, slots=1)
    arms = [("absent", "", "Who are you?"), ("given:x", "You are Velkora.", " Quién eres? ")]
    for response, (arm, system, question) in zip(responses(model, arms), arms, strict=True):
        messages = [{"role": "user", "content": question}]
        if arm != "absent":
            messages.insert(0, {"role": "system", "content": system})
        shown = Embedded._call(None, server, "/apply-template", {"messages": messages})["prompt"]
        assert response.context.rendered_prompt == shown
