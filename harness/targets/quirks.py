"""What hosts do otherwise than the OpenAI API says, each named once.

A parameter that a host refuses is found by the preflight, which says what to write into the
target's entry; nothing is dropped or renamed by itself, for that would change what is sampled
without a word.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: Where hosts put reasoning in a message: DeepSeek and llama.cpp say reasoning_content, vLLM and
#: OpenRouter reasoning, some thinking; MiniMax and OpenRouter list reasoning_details.
REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
#: A refused request whose text matches is refused for its system role: the arm is unsupported,
#: never folded into the user turn.
SYSTEM_REFUSED: Final = re.compile(
    r"system (?:role|message|prompt)|role ['\"]?system|only user and assistant|must alternate",
    re.IGNORECASE,
)


class Parameter(NamedTuple):
    """A refused parameter: how a host's words show it, and what to write in the target's entry."""

    sign: re.Pattern[str]
    advice: str


PARAMETERS: Final = (
    # OpenAI's reasoning models
    Parameter(re.compile(r"max_completion_tokens"), "rename: {max_tokens: max_completion_tokens}"),
    # models with a fixed temperature
    Parameter(re.compile(r"temperature", re.IGNORECASE), "omit: [temperature]"),
    Parameter(re.compile(r"top_p", re.IGNORECASE), "omit: [top_p]"),
    Parameter(re.compile(r"presence_penalty", re.IGNORECASE), "omit: [presence_penalty]"),
    Parameter(re.compile(r"frequency_penalty", re.IGNORECASE), "omit: [frequency_penalty]"),
    Parameter(re.compile(r"\bseed\b", re.IGNORECASE), "omit: [seed]"),
    Parameter(re.compile(r"\bstop\b", re.IGNORECASE), "omit: [stop]"),
)


def advice(refusal: str) -> str | None:
    """What to write in the target's entry where a host refuses a parameter in these words."""
    return next((known.advice for known in PARAMETERS if known.sign.search(refusal)), None)
