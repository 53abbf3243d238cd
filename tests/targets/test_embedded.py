"""The embedded engine: arms proved by their prompts, broken files named."""

from __future__ import annotations

import asyncio

import pytest

from harness.campaign import EmbeddedTarget
from harness.errors import TargetError
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
