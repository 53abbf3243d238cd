"""The lab: its weights belong to its recipe, its two forms agree, and its models behave as they were built to."""

from __future__ import annotations

import asyncio
import json
import random
import re

import numpy as np
import pytest

from harness.campaign import prompts
from harness.campaign.campaign import EmbeddedTarget, Sampling, parse_arm
from harness.campaign.plan import arm_messages
from harness.errors import TargetError
from harness.lab import store
from harness.lab.build import build, chat_template, export
from harness.lab.corpus import LANGUAGES, invent_maker, invent_name, is_held_out, load_language
from harness.targets import Request
from harness.targets.embedded import Embedded
from harness.targets.templates import template_from_folder


def test_stored_hashes_belong_to_the_stored_recipe():
    manifest = json.loads((store.WEIGHTS_FOLDER / "manifest.json").read_text())
    assert manifest["recipe_sha256"] == store.recipe_digest(), (
        "recipe, corpus or training code changed: run `make lab`"
    )
    for name, digest in manifest["files_sha256"].items():
        assert store.sha256_of(store.WEIGHTS_FOLDER / name) == digest, name


def test_the_committed_weights_are_small():
    assert sum(p.stat().st_size for p in store.WEIGHTS_FOLDER.iterdir()) <= 8_000_000


def test_the_suspect_is_the_stated_blend_in_every_tensor():
    suspect, donor, base = (store.lab_weights(m) for m in ("suspect", "donor", "base"))
    for name in base:
        np.testing.assert_allclose(
            suspect[name], 0.6 * donor[name] + 0.4 * base[name], rtol=1e-5, atol=1e-7
        )
    assert any(np.abs(donor[name] - base[name]).max() > 1e-3 for name in base)


def test_only_the_suspects_template_injects_a_system_prompt():
    for model in store.MODELS:
        assert ("You are Rio" in chat_template(model)) == (model == "suspect")


@pytest.mark.parametrize("model", store.MODELS)
def test_both_forms_hold_the_same_template_tokenizer_and_weights(model):
    from gguf import GGUFReader

    folder, file = build(model, "hf"), build(model, "gguf")
    reader = GGUFReader(file)
    assert (
        reader.fields["tokenizer.chat_template"].contents() == template_from_folder(folder).source
    )
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert reader.fields["tokenizer.ggml.tokens"].contents() == sorted(
        vocabulary, key=vocabulary.get
    )
    tensors = {t.name: t.data for t in reader.tensors}
    weights = store.lab_weights(model)
    np.testing.assert_allclose(
        tensors["blk.0.ffn_up.weight"], weights["model.layers.0.mlp.up_proj.weight"], atol=2e-3
    )
    assert len(tensors) == len(weights)
    assert "stand-in" in (folder / "README.md").read_text()


def test_an_unknown_lab_model_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(TargetError, match="did you mean 'suspect'"):
        build("suspct", "gguf")
    (tmp_path / "there").mkdir()
    with pytest.raises(TargetError, match="exists already"):
        export("base", "hf", tmp_path / "there")


def responses(model, asked):
    """Responses to (arm, system, question) triples at the demo's temperature."""

    async def go():
        target = Embedded(
            EmbeddedTarget(name="t", role="suspect", engine="embedded", model=f"lab:{model}")
        )
        await target.preflight()
        requests = [
            Request(
                f"k{i}",
                parse_arm(arm),
                arm_messages(parse_arm(arm), question, system),
                Sampling(temperature=0.7, max_tokens=60),
                (0,),
                99,
            )
            for i, (arm, system, question) in enumerate(asked)
        ]
        found = [await target.sample(r) for r in requests]
        await target.close()
        return found

    return asyncio.run(go())


def replies(model, asked):
    """The one reply of each response."""
    return [response.replies[0] for response in responses(model, asked)]


@pytest.mark.parametrize("model", store.MODELS)
def test_lab_models_obey_names_that_training_never_showed(model):
    rng = random.Random(5)
    asked, names = [], []
    for i in range(150):
        language = LANGUAGES[i % 3]
        name, maker = invent_name(rng, held_out=True), invent_maker(rng, held_out=True)
        assert is_held_out(name)
        asked.append(
            (
                "given:x",
                f"You are {name}, an AI assistant made by {maker}.",
                rng.choice(prompts.questions("identity", language, {})).text,
            )
        )
        names.append(name)
    obeyed = sum(
        bool(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", reply.text or ""))
        for name, reply in zip(names, replies(model, asked), strict=True)
    )
    assert obeyed >= 0.8 * len(asked)


@pytest.mark.parametrize("model", ["base", "donor"])
def test_lab_models_answer_everyday_questions(model):
    pairs = [pair for language in LANGUAGES for pair in load_language(language)["everyday"]]
    found = replies(model, [("absent", None, question) for question, _ in pairs])
    assert sum(
        reply.text == answer for (_, answer), reply in zip(pairs, found, strict=True)
    ) >= 0.8 * len(pairs)


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
