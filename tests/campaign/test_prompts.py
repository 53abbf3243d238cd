"""Questions and system prompts: complete in every language, sandboxed, documented."""

from __future__ import annotations

import re

import pytest

from harness.campaign import prompts
from harness.errors import PromptError

LANGUAGES = ("en", "pt", "zh", "es", "fr", "de", "ja", "ru")


@pytest.mark.parametrize(("probe", "least"), [("identity", 15), ("maker", 8), ("backstory", 8)])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_enough_questions_all_different(probe, least, language):
    found = prompts.questions(probe, language, {})
    assert len(found) >= least
    assert len({q.text for q in found}) == len(found)


def test_there_are_at_least_120_identity_questions():
    assert sum(len(prompts.questions("identity", language, {})) for language in LANGUAGES) >= 120


def test_no_question_names_an_identity():
    from harness.campaign import load_book

    names = {
        alias
        for family in load_book().families.values()
        for alias in family.aliases
        if len(alias) > 3 and not family.homograph
    }
    for language in LANGUAGES:
        for probe in ("identity", "maker", "backstory"):
            for question in prompts.questions(probe, language, {}):
                assert not [
                    n for n in names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", question.text)
                ]


def test_readme_lists_the_variables_that_each_template_needs(root):
    readme = (root / "prompts/README.md").read_text("utf-8")
    for path in sorted((root / "prompts").rglob("*.j2")):
        for variable in prompts.variables_of(path):
            assert re.search(
                rf"{re.escape(str(path.relative_to(root / 'prompts')))}.*`{variable}`", readme
            ), f"{path}: {variable}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% block a %}{{ ''.__class__ }}{% endblock %}", "reaches for Python internals"),
        ("{% block a %}{{ missing }}{% endblock %}", "'missing' is undefined"),
        ("{% block a %}{{ 1 / 0 }}{% endblock %}", "division by zero"),
        ("{% block a %}  {% endblock %}", "the question is empty"),
        ("{% block a %}{% endblok %}", "the template is broken"),
        ("no block", "holds no question"),
    ],
)
def test_bad_templates_get_one_clear_error(tmp_path, monkeypatch, text, message):
    (tmp_path / "prompts/mine").mkdir(parents=True)
    (tmp_path / "prompts/mine/en.j2").write_text(text)
    monkeypatch.chdir(tmp_path)
    prompts.environment.cache_clear()
    try:
        with pytest.raises(PromptError) as caught:
            prompts.questions("mine", "en", {})
    finally:
        prompts.environment.cache_clear()
    assert message in str(caught.value)
    assert "prompts/mine/en.j2" in str(caught.value)
    assert "next:" in str(caught.value)


def test_a_users_own_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "prompts/identity").mkdir(parents=True)
    (tmp_path / "prompts/identity/en.j2").write_text(
        "{% block mine %}Your name, {{ title }}?{% endblock %}"
    )
    monkeypatch.chdir(tmp_path)
    prompts.environment.cache_clear()
    try:
        assert prompts.questions("identity", "en", {"title": "sir"}) == [
            ("mine", "Your name, sir?")
        ]
        assert len(prompts.questions("identity", "de", {})) == 15
    finally:
        prompts.environment.cache_clear()
