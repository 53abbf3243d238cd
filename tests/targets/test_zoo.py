"""Chat templates in many manners: what each makes of the arms, and what it injects."""

from __future__ import annotations

import datetime

import pytest

from harness.errors import RenderError
from harness.exposure.injected import examine
from harness.targets import ChatTemplate
from tests.targets.zoo import CASES, UNPROVED

ASKED = {"role": "user", "content": "Who?"}
DAY = datetime.date(2027, 2, 3)


def template(case):
    return ChatTemplate(case.source, case.bos, case.eos, DAY)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_manner_makes_the_prompts_that_are_expected(case):
    known, empty = template(case), [{"role": "system", "content": ""}, ASKED]
    assert known.render([ASKED]) == case.absent
    if case.empty is None:
        assert known.refused_system(empty)
    else:
        assert known.render(empty) == case.empty and known.refused_system(empty) is None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_bare_prompt_is_proved_and_what_it_leaves_out_is_named(case):
    bare = template(case).bare("Who?")
    assert (bare.prompt, bare.injected, bare.proof) == (case.bare, case.injected, case.proof)
    assert "Rio" not in bare.prompt


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_injected_is_told_with_its_condition(case):
    found = examine(template(case))
    refuses = "; the template refuses system messages"
    assert found.when.removesuffix(refuses) == case.when
    assert (found.injected, found.empty_turn) == (case.injected, case.empty_turn)


@pytest.mark.parametrize("source", UNPROVED.values(), ids=UNPROVED)
def test_what_stands_in_the_question_s_own_turn_is_never_called_bare(source):
    with pytest.raises(RenderError, match="cannot be proved"):
        ChatTemplate(source, "<s>", "</s>").bare("Who?")


def test_a_long_question_and_one_that_holds_marks_are_proved_too():
    for name in ("thoughts in the last answer, and a default", "channels", "turns with marks"):
        for question in ("What <|end|> is <|im_end|>\nthis?", "a " * 500, "Rio", " x "):
            bare = template(CASES[name]).bare(question)
            assert question.strip() in bare.prompt
            assert bare.injected == CASES[name].injected


def test_the_day_is_that_of_the_rendering_unless_one_is_given():
    dated = ChatTemplate("{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}")
    now = dated.of_today()
    assert now.dated in (datetime.datetime.now(datetime.UTC).date(), dated.dated)
    assert now.render([ASKED]) == f"{now.dated} Who?"
    assert ChatTemplate("{{ messages[0].content }}").dated is None
