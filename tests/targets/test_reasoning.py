"""Every family's reasoning is cut off its answer, and nothing else is."""

from __future__ import annotations

import pytest

from harness.targets import split_reasoning
from harness.targets.reasoning import MARKS, WRAPS

THOUGHT, ANSWER = "They want a name. Kimi?", "My name is Orla."


@pytest.mark.parametrize("marks", MARKS, ids=lambda marks: marks.opening)
def test_reasoning_between_marks_is_cut_off(marks):
    whole = f"\n{marks.opening}\n{THOUGHT}\n{marks.closing}\n\n{ANSWER}\n"
    assert split_reasoning(whole) == (THOUGHT, ANSWER)
    assert split_reasoning(f"{marks.opening}{THOUGHT}") == (THOUGHT, "")


@pytest.mark.parametrize(("opening", "closing"), WRAPS)
def test_what_wraps_the_answer_is_dropped(opening, closing):
    whole = f"<think>\n{THOUGHT}\n</think>\n{opening}\n{ANSWER}\n{closing}"
    assert split_reasoning(whole) == (THOUGHT, ANSWER)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        (
            f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final"
            f"<|message|>{ANSWER}<|return|>",
            THOUGHT,
            ANSWER,
        ),
        (
            f"<|start|>assistant<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant"
            "<|channel|>commentary to=functions.look <|constrain|>json<|message|>{}<|call|>",
            f"{THOUGHT}\n\n{{}}",
            "",
        ),
        (f"<|channel|>final<|message|>{ANSWER}", None, ANSWER),
        (f"analysis{THOUGHT}assistantfinal{ANSWER}", THOUGHT, ANSWER),
        (f"analysis{THOUGHT}", THOUGHT, ""),
        (f"{THOUGHT}</think>{ANSWER}", THOUGHT, ANSWER),
        (f"<think>a</think><think>b</think>{ANSWER}", "a\n\nb", ANSWER),
    ],
)
def test_channels_and_odd_places(text, reasoning, answer):
    assert split_reasoning(text) == (reasoning, answer)


@pytest.mark.parametrize(
    "text",
    [
        "analysis of the market: prices fall.",
        "Analysis\n\nPrices fall.",
        "R1 writes its thoughts between `<think>` and `</think>`.",
        "A template ends the thoughts with `</think>` and goes on.",
        "The mark [THINK] is one of Magistral.",
        "The answer stands in <answer> tags.",
    ],
)
def test_an_answer_that_speaks_of_marks_is_left_whole(text):
    assert split_reasoning(text) == (None, text)


@pytest.mark.parametrize(
    "text",
    [
        "a</think>" * 20_000,
        "<think></think>" * 15_000,
        "<|channel|>" + "a" * 200_000,
        "<|channel|>a" * 18_000,
        "`</think>" * 20_000 + "a</thinking>" * 10_000,
    ],
)
def test_a_hosts_rubbish_is_split_in_linear_time(text):
    reasoning, answer = split_reasoning(text)
    assert len(reasoning or "") + len(answer) <= len(text)
