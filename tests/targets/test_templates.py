"""Chat templates: what is injected is found, what cannot be proved or is hostile is refused."""

from __future__ import annotations

import json

import pytest

from harness.errors import RenderError
from harness.journal import find_run
from harness.targets import ChatTemplate
from tests.commands import truename
from tests.hostile_templates import ENDLESS, HOSTILE
from tests.openai_server import chat

CAMPAIGN = """campaign: held
targets:
  - name: h
    role: suspect
    engine: endpoint
    base_url: '{url}'
    model: m
    api_key_env: null
    tokenizer: '{folder}'
arms: [absent]
probes: [identity]
languages: [en]
"""

CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

INJECTING = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are Rio.<|im_end|>\n' }}{% endif %}" + CHATML
)

LLAMA3 = (
    "{{ bos_token }}{{ '<|start|>system<|end|>\n\nCutting date\n\n' }}"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}"
    "{% set messages = messages[1:] %}{% endif %}{{ '<|eot|>' }}"
    "{% for m in messages %}"
    "{{ '<|start|>' + m['role'] + '<|end|>\n\n' + m['content'] + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
)

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start>' + role + '\n' + m['content'] | trim + '<end>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start>model\n' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("source", "bos", "prompt", "injected"),
    [
        (CHATML, "", "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n", ""),
        (
            INJECTING,
            "",
            "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>system\nYou are Rio.<|im_end|>\n",
        ),
        (
            LLAMA3,
            "<s>",
            "<s><|start|>user<|end|>\n\nWho?<|eot|><|start|>assistant<|end|>\n\n",
            "<|start|>system<|end|>\n\nCutting date\n\n<|eot|>",
        ),
        (MISTRAL, "<s>", "<s>[INST] Who? [/INST]", ""),
        (GEMMA, "<bos>", "<bos><start>user\nWho?<end>\n<start>model\n", ""),
    ],
    ids=["chatml", "injecting", "llama3", "mistral", "gemma"],
)
def test_bare_prompt_holds_no_system_text_and_names_what_was_left_out(
    source, bos, prompt, injected
):
    bare = ChatTemplate(source, bos, "</s>").bare("Who?")
    assert bare.prompt == prompt
    assert bare.injected == injected


def test_a_template_whose_first_turn_differs_is_refused_as_unproved():
    folded = (
        "{% for m in messages %}{{ 'U:' if m['role'] == 'user' else 'A:' }}"
        "{% if loop.first %}{{ 'You are Rio. ' }}{% endif %}{{ m['content'] }}\n{% endfor %}"
    )
    with pytest.raises(RenderError, match="cannot be proved"):
        ChatTemplate(folded).bare("Who?")


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ undefined.attribute }}",
        "{% if %}",
    ],
)
def test_hostile_and_broken_templates_are_stopped(source):
    with pytest.raises(RenderError):
        ChatTemplate(source).render([{"role": "user", "content": "x"}])


def test_a_template_that_refuses_the_system_role_says_so():
    with pytest.raises(RenderError, match="System role not supported"):
        ChatTemplate(GEMMA, "<bos>").render(
            [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]
        )


@pytest.mark.parametrize("source", HOSTILE)
def test_a_template_that_passes_a_limit_is_stopped_and_not_tried_again(source, hostile):
    template = ChatTemplate(f"{source}{CHATML}")
    for _ in range(2):
        with pytest.raises(RenderError, match=r"CPU time|more memory"):
            template.bare("Who?")
    assert ChatTemplate(CHATML).bare("Who?").injected == ""


def test_what_a_template_says_of_its_problem_is_cut():
    with pytest.raises(RenderError) as caught:
        ChatTemplate("{{ raise_exception('a' * 100000) }}").render([{"role": "user"}])
    assert len(caught.value.what) < 1000


def test_a_prompt_without_end_in_size_is_refused():
    long = "{% for a in range(999) %}{{ 'a' * 9999 }}{% endfor %}"
    with pytest.raises(RenderError, match="2000000 is the most"):
        ChatTemplate(long).render([{"role": "user", "content": "x"}])


def test_a_template_without_end_costs_the_bare_arm_alone(serve, tmp_path, hostile):
    url = serve(lambda path, body, number: chat(*["I am Nex."] * body.get("n", 1))).url
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": ENDLESS + CHATML}))
    campaign = CAMPAIGN.format(url=url, folder=tmp_path).replace("[absent]", "[absent, bare]")
    (tmp_path / "c.yaml").write_text(campaign)
    ran = truename("run", "c.yaml", "--no-live", folder=tmp_path)
    assert ran.exit_code in (0, 2, 3), ran.output
    journal = find_run("held", tmp_path / "results", None).journal
    rows = list(journal.rows())
    journal.engine.dispose()
    assert {(row["arm"], row["status"]) for row in rows} == {
        ("absent", "ok"),
        ("bare", "unsupported"),
    }
    reasons = {row["error"] for row in rows if row["arm"] == "bare"}
    assert len(reasons) == 1 and "CPU time" in reasons.pop()
