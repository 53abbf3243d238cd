"""What hosts do otherwise than the OpenAI API says, each named once.

The list of all, with their sources and tests, stands in `docs/targets.md`.
"""

from __future__ import annotations

import re
from typing import Final

#: Where hosts put reasoning in a message: DeepSeek and llama.cpp say reasoning_content, vLLM and
#: OpenRouter reasoning, some thinking; MiniMax and OpenRouter list reasoning_details.
REASONING_FIELDS: Final = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
#: A refused request whose text matches is refused for its system role: the arm is unsupported,
#: never folded into the user turn.
SYSTEM_REFUSED: Final = re.compile(
    r"system (?:role|message|prompt)|role ['\"]?system|only user and assistant|must alternate"
    r"|(?:system|developer)[ _]?instruction|'instructions'|\bsystem: ",
    re.IGNORECASE,
)
