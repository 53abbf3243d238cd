"""One reply on its way through the pipeline: its own turn, normalised, with its mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from harness.scoring.claims import Said
from harness.scoring.lists import phrases
from harness.scoring.marks import BORDER, MARKS
from harness.scoring.mentions import Mention, finder
from harness.scoring.normalize import Normal, normalize
from harness.scoring.unlisted import unlisted

#: Where a reply goes on to play the user: chat marks, and the labels of a transcript at the start
#: of a line.
_NEXT_TURN: Final = re.compile(
    r"<\|(?:im_start|im_end|eot_id|end_of_turn|user|endoftext|start_header_id)\|>|"
    r"<end_of_turn>|</s>|\[/?INST\]|"
    r"(?:^|\n|\\n)[^\S\n]*+(?:#+ *)?(?:\*\*)?"
    rf"(?:{'|'.join(phrases('user'))})"
    r"(?:\*\*)? ?[:：]",
    re.IGNORECASE,
)
#: A word and a colon, with which a transcript can begin.
_LABEL: Final = re.compile(r"\W*\w{4,12}(?: \d+)?\W*[:：]")


class Reply:
    """One reply on its way through the pipeline."""

    __slots__ = ("mentions", "normal", "said")

    def __init__(self, text: str | None) -> None:
        self.normal: Normal = normalize(own_turn(text or ""))
        self.mentions: list[Mention] = finder().find(self.normal)
        if self.normal.text and (found := unlisted(self.normal, self.mentions)):
            self.mentions = sorted(self.mentions + found)
        self.said: list[Said] = []

    def masked(self) -> str:
        """The text with a mark for each mention."""
        return marked(self.normal, self.mentions)


def marked(normal: Normal, mentions: Iterable[Mention]) -> str:
    """A text with a mark for each of its mentions.

    It has its capitals, unless it has another length than its normalised form.
    """
    text = normal.cased or normal.text
    masked, at = [], 0
    for m in mentions:
        masked += [text[at : m.start], m.mark]
        at = m.end
    masked.append(text[at:])
    return "".join(masked).replace(",\n", ", ")


def own_turn(text: str) -> str:
    """The reply up to where it begins to play the user.

    The characters that stand for mentions are left out.
    """
    could = "\n" in text or "<" in text or "[" in text or "\\" in text
    if not could and (":" in text or "：" in text):
        could = _LABEL.match(text) is not None
    stop = _NEXT_TURN.search(text) if could else None
    if not text.isascii():
        # a reply that holds one would shift what is known of the others
        for mark in (*MARKS, BORDER):
            text = text.replace(mark, " ")
    return text[: stop.start()].rstrip() if stop else text
