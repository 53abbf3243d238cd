"""What a template injects: templates are untrusted code."""

from __future__ import annotations

import pytest

from harness.exposure.injected import injection
from harness.targets import ChatTemplate
from tests.hostile_templates import ENDLESS

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

DEFAULT = (
    "{% if messages[0].role != 'system' %}"
    "<|im_start|>system\nYou are Kimi, made by Moonshot AI.<|im_end|>\n{% endif %}" + CHATML
)

ALWAYS = "You are Kimi, made by Moonshot AI.\n" + CHATML

NO_SYSTEM = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<u>{{ m.content }}</u>{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "when", "names"),
    [
        (CHATML, "never", []),
        (DEFAULT, "where no system message is sent", ["kimi", "moonshot-ai"]),
        (ALWAYS, "always, before any system message", ["kimi", "moonshot-ai"]),
        (NO_SYSTEM, "never", []),
    ],
)
def test_what_a_template_injects_and_when(source, when, names):
    found = injection(ChatTemplate(source), lambda text: len(text.split()))
    assert (found.when, sorted(found.names)) == (when, sorted(names)) and found.problem is None
    assert ("Kimi" in found.injected) == bool(names) and (found.tokens or 0) == (
        len(found.injected.split()) if names else 0
    )
    assert source is not DEFAULT or any(
        "messages[0].role != 'system'" in line for line in found.lines
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% set x = 'a' * 10000000000 %}{{ x }}", "MemoryError"),
        ("{{ messages.__class__.__mro__ }}", "cannot be rendered"),
        ("{% for m in messages %}", "cannot be rendered"),
    ],
)
def test_hostile_templates_are_reported(source, said):
    found = injection(ChatTemplate(source))
    assert found.problem and said in found.problem and found.when == "not known"


def test_a_template_without_an_end_is_not_waited_for(hostile):
    found = injection(ChatTemplate(ENDLESS))
    assert "did not end" in found.problem and found.when == "not known"
