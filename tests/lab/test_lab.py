"""The lab: its weights belong to its recipe, its two forms agree, its models behave as built."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest

from harness.campaign import prompts
from harness.errors import TargetError
from harness.lab import store
from harness.lab.build import build, chat_template, export
from harness.lab.corpus import LANGUAGES, invent_maker, invent_name, is_held_out, load_language
from harness.targets import template_from_folder
from tests.asking import replies


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


@pytest.mark.parametrize("model", store.MODELS)
def test_lab_models_obey_names_that_training_never_showed(model):
    rng = random.Random(5)
    asked, names = [], []
    for i in range(60):
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
