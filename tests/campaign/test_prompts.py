"""Questions and system prompts: complete in every language, sandboxed, documented."""

from __future__ import annotations

import re

import pytest

from harness.campaign import prompts
from harness.errors import PromptError
from tests.hostile_templates import HOSTILE

LANGUAGES = ("en", "pt", "zh", "es", "fr", "de", "ja", "ru")


@pytest.mark.parametrize(
    ("probe", "least"), [("identity", 15), ("maker", 8), ("backstory", 8), ("oneword", 13)]
)
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
    with pytest.raises(PromptError) as caught:
        prompts.questions("mine", "en", {})
    assert message in str(caught.value)
    assert "prompts/mine/en.j2" in str(caught.value)
    assert "next:" in str(caught.value)


def test_a_users_own_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "prompts/identity").mkdir(parents=True)
    (tmp_path / "prompts/identity/en.j2").write_text(
        "{% block mine %}Your name, {{ title }}?{% endblock %}"
    )
    monkeypatch.chdir(tmp_path)
    assert prompts.questions("identity", "en", {"title": "sir"}) == [("mine", "Your name, sir?")]
    assert len(prompts.questions("identity", "de", {})) == 15


@pytest.mark.parametrize("text", HOSTILE)
def test_a_prompt_file_is_bound_by_the_limits_of_strangers_templates(
    tmp_path, monkeypatch, hostile, text
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts/mine").mkdir(parents=True)
    (tmp_path / "prompts/mine/en.j2").write_text(f"{{% block a %}}{text}{{% endblock %}}")
    with pytest.raises(PromptError, match=r"CPU time|more memory") as caught:
        prompts.questions("mine", "en", {})
    assert "prompts/mine/en.j2" in str(caught.value)
    (tmp_path / "prompts/mine/told.j2").write_text(text)
    with pytest.raises(PromptError, match=r"CPU time|more memory"):
        prompts.system_prompt("mine/told.j2", {})


def test_a_prompt_file_that_is_not_text_is_told(tmp_path):
    (tmp_path / "s.j2").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptError, match=r"s\.j2"):
        prompts.system_prompt("s.j2", {}, tmp_path)


def test_a_link_out_of_the_prompts_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "prompts/mine").mkdir(parents=True)
    (tmp_path / "secret").write_text("{% block a %}secret{% endblock %}")
    (tmp_path / "prompts/mine/en.j2").symlink_to(tmp_path / "secret")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PromptError, match="leads out of prompts/"):
        prompts.questions("mine", "en", {})
