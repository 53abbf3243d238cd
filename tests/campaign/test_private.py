"""Credentials in a campaign: refused with what to type instead, and in no copy of it."""

from __future__ import annotations

import pytest
import yaml

from harness.campaign import load_campaign, public_text
from harness.campaign.private import is_credential_name, without_credentials
from harness.errors import CampaignError

CHANCE = "Zq8vR2mLk0PtY7wXb3Nc"
ENTRY = "name: t, role: suspect, engine: endpoint, model: m, api_key_env: null"
VLLM = "name: t, role: suspect, engine: vllm, model: m"


def written(folder, entry, more="", before=""):
    path = folder / "c.yaml"
    path.write_text(f"{before}campaign: c\ntargets:\n  - {{{entry}}}\narms: [absent]\n{more}")
    return str(path)


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (f"{ENTRY}, base_url: 'http://alice:hunter2@host/v1'", "base_url"),
        (f"{ENTRY}, base_url: 'http://alice@host/v1'", "base_url"),
        (f"{ENTRY}, base_url: 'http://host/v1?api_key=hunter2'", "base_url"),
        (f"{ENTRY}, headers: {{x-secret: hunter2}}", "headers.x-secret"),
        (f"{ENTRY}, headers: {{Authorization: Bearer hunter2}}", "headers.Authorization"),
        (f"{ENTRY}, headers: {{x-team: {CHANCE}}}", "headers.x-team"),
        (f"{ENTRY}, extra_body: {{api_key: hunter2}}", "extra_body.api_key"),
        (f"{ENTRY}, extra_body: {{a: [{{b: {CHANCE}}}]}}", "extra_body.a.b"),
        (f"{ENTRY}, extra_body: {{a: sk-abcdefghijklmnop}}", "extra_body.a"),
        (f"{ENTRY}, provider: {{apiKey: hunter2}}", "provider.apiKey"),
        (f"{VLLM}, options: {{hf_token: hunter2}}", "options.hf_token"),
        (f"{VLLM}, arguments: [--api-key, hunter2]", "arguments"),
        (f"{VLLM}, arguments: ['--api-key=hunter2']", "arguments"),
    ],
)
def test_a_credential_is_refused_by_its_place_and_not_shown(tmp_path, entry, place):
    with pytest.raises(CampaignError) as caught:
        load_campaign(written(tmp_path, entry))
    said = str(caught.value)
    assert f"'{place}' holds what looks like a credential" in said
    assert "environment" in said or "NAME" in said
    assert "hunter2" not in said and CHANCE not in said


@pytest.mark.parametrize(
    "entry",
    [
        f"{ENTRY}, headers: {{Authorization: Bearer $TOKEN, x-api-key: $NAME, X-Title: truename}}",
        f"{ENTRY}, headers: {{Referer: 'https://example.org', anthropic-version: '2023-06-01'}}",
        f"{ENTRY}, extra_body: {{api_key: $NAME, eos_token: '</s>', user: tester-1, top_k: 0}}",
        f"{ENTRY}, base_url: 'https://host.example/v1?api-version=2024-10-21'",
        f"{VLLM}, options: {{revision: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b}}",
        f"{VLLM}, arguments: [--max-model-len, '4096', --tokenizer-mode, mistral]",
    ],
)
def test_what_is_none_is_not_refused(tmp_path, entry):
    assert load_campaign(written(tmp_path, entry)).campaign.targets[0].name == "t"


def test_a_refused_value_is_not_shown_in_another_message_either(tmp_path):
    wrong = (f"headers: [{CHANCE}]", "headers: {x-secret: [hunter2]}", f"role: {'x' * 60} {CHANCE}")
    for entry in wrong:
        with pytest.raises(CampaignError) as caught:
            load_campaign(written(tmp_path, f"{ENTRY.replace('role: suspect, ', '')}, {entry}"))
        assert "'targets.0." in str(caught.value)
        assert CHANCE[:8] not in str(caught.value) and "hunter2" not in str(caught.value)


def test_comments_and_the_description_lose_theirs_when_a_campaign_is_read(tmp_path):
    before = f"# my key: hunter2hunter2\n# {CHANCE}\ndescription: by {CHANCE}\n"
    loaded = load_campaign(written(tmp_path, ENTRY, f"variables: {{a: {CHANCE}}}\n", before))
    assert loaded.source.count(CHANCE) == 1  # what decides the samples stands as it was
    assert "hunter2" not in loaded.source and loaded.source.startswith("# my key: [key]\n")
    assert yaml.safe_load(loaded.source)["description"] == "by [key]"
    assert CHANCE not in public_text(loaded.source)


OLD = f"""campaign: c  # key: hunter2hunter2
description: |
  Of {CHANCE}
  and more.
targets:
  - name: t
    base_url: https://alice:hunter2@host.example/v1?token=hunter2
    headers: {{x-plain: hunter2, x-named: $SOME, auth: Bearer $SOME}}
    extra_body: {{api_key: hunter2, deep: [{{a: {CHANCE}}}], top_k: 0, note: "a: b"}}
    model: {CHANCE}
  - &again {{name: u, headers: {{x: hunter2}}}}
  - *again
"""


def test_a_copy_of_a_campaign_of_before_holds_no_credential_and_is_the_same_campaign():
    shown = public_text(OLD)
    assert "hunter2" not in shown and shown.count(CHANCE) == 1
    assert public_text(shown) == shown
    found, was = yaml.safe_load(shown), yaml.safe_load(OLD)
    first = found["targets"][0]
    assert first["base_url"] == "https://host.example/v1" and first["model"] == CHANCE
    assert first["headers"] == dict(
        zip(
            ("x-plain", "x-named", "auth"), ("[header value]", "$SOME", "Bearer $SOME"), strict=True
        )
    )
    assert first["extra_body"] == was["targets"][0]["extra_body"] | {
        **{"api_key": "[key]", "deep": [{"a": "[key]"}]}
    }
    assert found["description"] == "Of [key]\nand more.\n"


@pytest.mark.parametrize(
    "text",
    [
        "Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        "models--Qwen--Qwen2.5/snapshots",
        "max_tokens: 4096000, tokenizer: path/to/a/folder",
        "claude-3-opus-20240229",
        "https://example.com/v1/chat/completions",
        "api_key: $NAME, api_key_env: OPENAI_API_KEY",
        "The key: ask often.",
    ],
)
def test_what_is_no_credential_is_shown(text):
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    "name", ["max_tokens", "eos_token", "stop_token_ids", "monkey", "tokenizer"]
)
def test_names_that_only_sound_like_a_credential(name):
    assert not is_credential_name(name)
