"""The written replies that the classifiers learn from."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.counting.lengths import length
from harness.scoring.learning import crossed, wholes, written
from harness.scoring.marks import EITHER, MAKER, MARKS, NAME, UNLISTED

LANGUAGES = set("en zh pt es fr de ja ko ru ar hi it tr id vi".split())
#: Real replies that others wrote, where they are at hand: nothing may be copied from them.
HELD_OUT = Path(__file__).parents[3] / "shared" / "data"
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


@pytest.fixture(scope="module")
def replies():
    return list(written.written())


def test_written_replies_have_the_shape_of_real_ones(replies):
    assert len(replies) >= 4000
    languages = Counter(reply.language for reply in replies)
    assert set(languages) == LANGUAGES and languages["en"] <= 0.4 * len(replies)
    assert sum(reply.stance == "none" for reply in replies) >= 1200
    lengths = [length(reply.text) for reply in replies]
    assert sum(words > 60 for words in lengths) >= len(replies) / 3
    assert sum(words > 150 for words in lengths) >= len(replies) / 6


def test_no_reply_is_written_twice(replies):
    texts = Counter(reply.text for reply in replies if length(reply.text) > 8)
    assert [text for text, times in texts.items() if times > 1] == []


@pytest.mark.skipif(not HELD_OUT.is_dir(), reason="no held-out replies are at hand")
def test_no_reply_shares_eight_words_with_one_that_is_held_out(replies):
    held_out = set()
    for path in HELD_OUT.glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            held_out |= _runs(json.loads(line)["reply"])
    assert held_out
    assert [f"{r.file}:{r.line}" for r in replies if _runs(r.text) & held_out] == []


def _runs(text):
    said = _WORD.findall(text.lower())
    return {tuple(said[at : at + 8]) for at in range(len(said) - 7)}


def _reply(tmp_path, text):
    path = tmp_path / "some.txt"
    path.write_text(text, encoding="utf-8")
    return next(written.written([path]))


def test_marks_become_spans(tmp_path):
    text = "@@@ en | claims | who | Who?\nHi, ⟦n?:Orla⟧ of ⟦m:Quill Ltd.⟧\n\nBye.\n"
    reply = _reply(tmp_path, text)
    assert reply.text == "Hi, Orla of Quill Ltd.\n\nBye."
    assert [(s.mark, reply.text[s.start : s.end], s.hedged) for s in reply.spans] == [
        ("n", "Orla", True),
        ("m", "Quill Ltd.", False),
    ]
    assert [text.strip() for text in written.nameless(reply)] == ["Hi,", "of", "Bye."]


@pytest.mark.parametrize(
    "text",
    [
        "@@@ en | claims | who\nI am ⟦n:Orla⟧.",
        "@@@ en | boasts | who | Who?\nI am ⟦n:Orla⟧.",
        "@@@ en | claims | who | Who?\nI am Orla.",
        "@@@ en | claims | who | Who?\nI am ⟦n:Orla.",
        "@@@ en | claims | who | Who?\nI am ⟦q:Orla⟧.",
        "@@@ en | refuses | who | Who?\nI cannot say.",
    ],
)
def test_a_faulty_reply_is_told_with_its_place(tmp_path, text):
    with pytest.raises(ValueError, match=r"some\.txt:1"):
        _reply(tmp_path, text)


def test_mentions_of_a_reply_have_the_roles_of_its_marks(tmp_path):
    text = (
        "@@@ en | claims | who | Who?\nNot ⟦dn:Qwen⟧ or ⟦on:Kimi⟧: I'm ⟦n:Orla⟧, made by "
        "⟦m:Quill Works⟧.\n\n- **⟦x:Gemini⟧**: a sign.\n\nUser: are you ⟦on:Claude⟧?"
    )
    whole = wholes.whole(_reply(tmp_path, text))
    found = [(whole.normal.text[m.start : m.end], role, kind) for m, role, kind in whole.learned]
    assert found == [
        ("qwen", "denied", NAME),
        ("kimi", "other", NAME),
        ("orla", "self_name", NAME),
        ("quill works", "self_maker", MAKER),
        ("gemini", "other", None),
    ]
    rng = random.Random(1)
    drawn = [wholes.drawn(whole, rng) for _ in range(200)]
    roles = [role for _, role, _ in whole.learned]
    assert all(found == roles for _, found in drawn)
    marks = [[c for c in masked if c in MARKS] for masked, _ in drawn]
    kinds = [Counter(column) for column in zip(*marks, strict=True)]
    assert set(kinds[2]) == {UNLISTED, NAME, EITHER} and 60 < kinds[2][UNLISTED] < 100
    assert MAKER in kinds[3] and set(kinds[4]) == {UNLISTED, NAME}


def test_sentences_of_a_reply_are_told_apart(tmp_path):
    text = "@@@ en | refuses | who | Who?\nGood day to you! ⟦r:I may not say who made me.⟧ Ask on."
    whole = wholes.whole(_reply(tmp_path, text))
    assert [part.section for part in wholes.parts(whole)] == ["none", "refuses"]
    text = "@@@ en | claims | who | Who?\n⟦n?:Orla⟧ may be my name. Made by ⟦m:Quill⟧ in Kent. Ask."
    whole = wholes.whole(_reply(tmp_path, text))
    assert [part.section for part in wholes.parts(whole)] == ["hedged", "identity"]


def test_what_declines_is_learned_from_every_reply(tmp_path):
    """One that may claim something, but too little to count, does not decline."""
    silent = [
        crossed.Crossed([], np.zeros((0, 5)), None, np.zeros(0), np.full(12, n), stance, 0)
        for n, stance in enumerate(("claims", "denies", "refuses", "none"))
    ]
    columns, refuses = crossed.of_declining(silent)
    assert columns[:, 0].tolist() == [0, 1, 2, 3] and refuses.tolist() == [
        False,
        False,
        True,
        False,
    ]
