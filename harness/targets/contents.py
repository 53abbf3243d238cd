"""The content of a message, whatever its shape: what of it is text, what is reasoning.

The API says text, or a list of parts; hosts send objects, lists of strings, parts without text and
parts that hold thoughts (`docs/targets.md` says which and where it is known from).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from harness.targets import received

#: What parts of thought are called; their text stands under one of `_WITHIN`.
_THOUGHT: Final = ("thinking", "reasoning", "thought", "redacted_thinking", "analysis")
#: Where an object holds its text, the first that is there.
_WITHIN: Final = ("text", "thinking", "reasoning", "content", "parts", "value", "summary")
#: Kinds of parts that hold no words of the model.
_WORDLESS: Final = ("image", "audio", "video", "file", "tool", "function", "reference", "input_")
#: Objects within objects that are followed.
_DEEPEST: Final = 6


class Content(NamedTuple):
    """A content's text and reasoning (None: none came), and what of it has no known shape."""

    text: str | None = None
    reasoning: str | None = None
    odd: str | None = None


def read(content: Any) -> Content:
    """The text and the reasoning in a message's content; None stays None."""
    if content is None or type(content) is str:
        return Content(content)
    if not isinstance(content, list | dict):
        return Content(received.text(content))
    texts: list[str] = []
    thoughts: list[str] = []
    odd = _sorted(content, texts, thoughts, thought=False, depth=0)
    return Content(
        "".join(texts) if texts else None,
        "".join(thoughts) or None,
        odd and f"the content has a shape that is not known: {odd}",
    )


def _sorted(
    content: Any, texts: list[str], thoughts: list[str], *, thought: bool, depth: int
) -> str | None:
    """Put what a content holds where it belongs; what it was where it has no known shape."""
    if content is None:
        return None
    if not isinstance(content, list | dict):
        (thoughts if thought else texts).append(received.text(content) or "")
        return None
    if depth > _DEEPEST:
        return "objects within objects"
    if isinstance(content, list):
        found = [
            _sorted(part, texts, thoughts, thought=thought, depth=depth + 1) for part in content
        ]
        return next((odd for odd in found if odd), None)
    return _of_object(content, texts, thoughts, thought=thought, depth=depth)


def _of_object(
    part: dict[str, Any], texts: list[str], thoughts: list[str], *, thought: bool, depth: int
) -> str | None:
    told = part.get("type")
    kind = told if isinstance(told, str) else ""
    within = next((name for name in (*_WITHIN, "refusal") if name in part), None)
    if within is None:
        if kind.startswith(_WORDLESS) or kind.startswith(_THOUGHT):
            return None
        return "an object of " + (", ".join(sorted(map(str, part))[:8]) or "nothing")
    thought = thought or kind.startswith(_THOUGHT) or part.get("thought") is True
    thought = thought or within in _THOUGHT
    return _sorted(part.get(within), texts, thoughts, thought=thought, depth=depth + 1)
