"""Where a model's reasoning ends and its answer begins.

Hosts that know a model's marks hand its reasoning over apart; others leave the marks in the text,
or strip the special tokens and leave what stood between them. Marks count at the beginning of a
reply only, so that an answer that speaks of them is left whole.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Marks(NamedTuple):
    """What opens and closes a model's reasoning."""

    opening: str
    closing: str
    #: Where they are known from.
    source: str


#: The marks by which models set their reasoning apart. Earlier ones are tried first.
MARKS: Final = (
    Marks("<think>", "</think>", "DeepSeek-R1, Qwen3, MiniMax-M1 and others: chat templates"),
    Marks("<thinking>", "</thinking>", "asked for in prompts of many makers"),
    Marks("<thought>", "</thought>", "Gemini over its OpenAI-compatible route"),
    Marks("<reasoning>", "</reasoning>", "fine-tunes by GRPO recipes"),
    Marks("<longcat_think>", "</longcat_think>", "LongCat-Flash-Thinking: chat template"),
    Marks("<seed:think>", "</seed:think>", "Seed-OSS: chat template; vLLM seedoss parser"),
    Marks("[THINK]", "[/THINK]", "Magistral: mistral-common; vLLM mistral parser"),
    Marks("◁think▷", "◁/think▷", "Kimi-VL-Thinking: chat template"),
    Marks("<|channel>thought", "<channel|>", "Gemma 4: chat template"),
    Marks("<unused94>thought", "<unused95>", "MedGemma 1.5: model card"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>", "Command A Reasoning: chat template"),
    Marks("<|begin_of_thought|>", "<|end_of_thought|>", "Sky-T1, OpenThinker: system prompts"),
    Marks(
        "Here is my thought process:", "Here is my response:", "Granite 3.2: vLLM granite parser"
    ),
    Marks("Here's my thought process:", "Here's my response:", "Granite 3.2: vLLM granite parser"),
)
#: What wraps the answer behind the reasoning: Hunyuan-A13B, ERNIE-4.5-Thinking, Command A, Sky-T1.
WRAPS: Final = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
#: Channels of the harmony format (github.com/openai/harmony), with their special tokens.
_HARMONY: Final = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>")
_MESSAGE: Final = re.compile(
    r"<\|channel\|>\s*+(\w++)[^<]*+(?:<\|constrain\|>[^<]*+)?<\|message\|>"
    r"(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
#: The same where a host stripped them: "analysisThe user asks ...assistantfinalI am ..."
_STRIPPED: Final = re.compile(r"\s*(?:assistant)?analysis(?=[^\sa-z])")
_FINAL: Final = "assistantfinal"


def split_reasoning(text: str) -> tuple[str | None, str]:
    """The reasoning that stands before an answer, and the answer.

    None for a reply without reasoning. Reasoning that never ends means that the reply was cut
    inside it: the answer is then empty.
    """
    if _HARMONY.match(text):
        return _by_channels(text)
    if (stripped := _STRIPPED.match(text)) is not None:
        reasoning, _, answer = text[stripped.end() :].partition(_FINAL)
        return reasoning.strip(), answer.strip()
    thought: list[str] = []
    at, last = 0, _last(text)
    while (found := _split(text, at, last)) is not None:
        start, stop, at = found
        thought.append(text[start:stop].strip())
    return ("\n\n".join(thought), _unwrapped(text[at:].strip())) if thought else (None, text)


def _last(text: str) -> list[tuple[int, int]]:
    """Where each of `MARKS` opens and closes last; -1 where it never does."""
    return [(text.rfind(marks.opening), text.rfind(marks.closing)) for marks in MARKS]


def _split(text: str, at: int, last: list[tuple[int, int]]) -> tuple[int, int, int] | None:
    """Where reasoning at ``at`` begins and ends, and the rest begins; None where there is none."""
    while at < len(text) and text[at].isspace():
        at += 1
    for marks in MARKS:
        if text.startswith(marks.opening, at):
            start = at + len(marks.opening)
            stop = text.find(marks.closing, start)
            return (
                (start, len(text), len(text))
                if stop < 0
                else (start, stop, stop + len(marks.closing))
            )
    for marks, (opens, closes) in zip(MARKS, last, strict=True):  # opened in the prompt
        if closes < at or opens >= at or marks.opening.startswith("Here"):
            continue
        stop = text.find(marks.closing, at)
        if text[max(at, stop - 1)] not in "`\"'":
            return at, stop, stop + len(marks.closing)
    return None


def _unwrapped(answer: str) -> str:
    for opening, closing in WRAPS:
        if answer.startswith(opening):
            return answer.removeprefix(opening).strip().removesuffix(closing).strip()
    return answer


def _by_channels(text: str) -> tuple[str | None, str]:
    messages = [(channel, said.strip()) for channel, said in _MESSAGE.findall(text)]
    final = [said for channel, said in messages if channel == "final"]
    thought = [said for channel, said in messages if channel != "final" and said]
    return "\n\n".join(thought) or None, final[-1] if final else ""
