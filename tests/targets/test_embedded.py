"""The embedded engine: arms proved by their prompts, broken files named."""

from __future__ import annotations

import asyncio

import pytest

from harness.campaign import EmbeddedTarget, Sampling, parse_arm
from harness.errors import TargetError
from harness.targets import Request
from harness.targets.embedded import Embedded
from tests.asking import responses


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


def test_with_one_slot_a_sample_is_the_same_whatever_ran_before():
    whole, part = block("bare", range(4, 12)), block("bare", range(8, 10))
    assert [reply.text for reply in whole.replies[4:6]] == [reply.text for reply in part.replies]


def test_a_reply_cut_at_the_token_limit_is_truncated():
    answer = block("bare", range(2), max_tokens=2)
    assert {reply.status for reply in answer.replies} == {"truncated"}
    assert {reply.finish_reason for reply in answer.replies} == {"length"}
