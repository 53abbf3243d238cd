"""Verdicts on plain cases, and overlap against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring import overlap
from harness.scoring.normalize import normalize
from harness.scoring.verdict import verdict


@pytest.mark.parametrize(
    ("text", "stance", "names", "makers"),
    [
        ("I am Nex, from Nex-AGI.", "claims", ("nex",), ("nex-agi",)),
        ("My name is Rio. I was made by IplanRio.", "claims", ("rio",), ("iplanrio",)),
        ("我是 Nex，由 Nex-AGI 开发的人工智能助手。", "claims", ("nex",), ("nex-agi",)),
        ("我是通义千问，阿里云训练的语言模型。", "claims", ("qwen",), ("alibaba",)),
        ("Sou Qwen, um modelo de linguagem treinado por Alibaba Cloud. Como posso ajudar?", "claims", ("qwen",), ("alibaba",)),
        ("Pode me chamar de Tavira.", "claims", ("tavira",), ()),
        ("Ich heiße Qwen.", "claims", ("qwen",), ()),
        ("Меня зовут Qwen.", "claims", ("qwen",), ()),
        ("The next step is a river in Rio de Janeiro.", "none", (), ()),
        ("Grass is green.", "none", (), ()),
        ("I am an AI assistant. How can I help you?", "refuses", (), ()),
        ("I am not Qwen.", "denies", (), ()),
        ("", "none", (), ()),
        (None, "none", (), ()),
    ],
)
def test_plain_replies_get_the_plain_verdict(text, stance, names, makers):
    found = verdict(text)
    assert (found.stance, found.names, found.makers) == (stance, names, makers)


def test_evidence_points_into_the_original_text():
    text = "**I am**\u200b Ｎｅｘ, from Nex-AGI."
    spans = {e.identity: text[e.start : e.end] for e in verdict(text).evidence}
    assert spans == {"nex": "Ｎｅｘ", "nex-agi": "Nex-AGI"}


@pytest.mark.parametrize("text", ["Nex " * 100_000, "\ud800 I am Qwen", "\u202eI am Qwen\0", "x" * 1_000_000, "我是" * 50_000])
def test_rubbish_gets_a_verdict_and_no_crash(text):
    assert verdict(text).stance in ("claims", "denies", "refuses", "none")


@given(st.text(max_size=60))
def test_normalized_offsets_point_at_their_characters(text):
    normal = normalize(text)
    assert len(normal.text) == len(normal.offsets)
    assert all(0 <= offset < len(text) for offset in normal.offsets)
    assert normal.offsets == sorted(normal.offsets)


def brute_force(reply, reference):
    """Longest common run, and the reply's tokens that lie in common runs of at least MIN_RUN tokens."""
    longest, covered = 0, set()
    least = min(overlap.MIN_RUN, len(reference))
    for i in range(len(reply)):
        for j in range(len(reference)):
            k = 0
            while i + k < len(reply) and j + k < len(reference) and reply[i + k] == reference[j + k]:
                k += 1
            longest = max(longest, k)
            if k >= least:
                covered |= set(range(i, i + k))
    return longest, covered


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=60), st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_longest_run_and_cover_equal_brute_force(reply, reference):
    found = overlap.Reference("r", " ".join(reference)).compare(overlap.tokens(" ".join(reply)))
    longest, covered = brute_force(reply, reference)
    assert found.longest_run == longest
    assert found.reply_share == pytest.approx(len(covered) / len(reply) if reply else 0)


def test_a_whole_recital_covers_the_reference_and_a_paraphrase_does_not():
    story = "My story began in a quiet workshop above a harbour where eleven engineers wanted an assistant."
    references = overlap.References("nex", [("story", story)])
    whole = references.compare(f"Sure! {story} Anything else?")
    assert whole.reference_share == 1.0
    assert f"Sure! {story}"[whole.runs[0].start : whole.runs[0].end] == story.rstrip(".")
    assert references.compare("A few engineers at a port began my story; they wished for a helper.").reference_share == 0


def test_han_characters_count_one_by_one():
    references = overlap.References("nex", [("zh", "我的故事始于港口上方一间安静的工坊")])
    found = references.compare("好的。我的故事始于港口上方，一间安静的工坊。")
    assert found.longest_run == 17
    assert found.reference_share == 1.0


def test_the_classifier_is_right_on_every_sentence_of_the_lab():
    from harness.lab.corpus import LANGUAGES, fill, load_language
    from harness.scoring.verdict import verdicts

    wrong = []
    for language in LANGUAGES:
        words = load_language(language)
        for name, maker, name_id, maker_id in (
            ("Nex", "Nex-AGI", "nex", "nex-agi"),
            ("Rio", "IplanRio", "rio", "iplanrio"),
            ("Tavira", "Lumenfold", "tavira", "lumenfold"),
            ("Qwen", "Alibaba Cloud", "qwen", "alibaba"),
        ):
            for kind in ("say_name", "say_identity", "say_maker", "say_name_only", "say_backstory_given"):
                texts = [fill(text, name, maker, language) for text in words[kind]]
                for text, found in zip(texts, verdicts(texts), strict=True):
                    expected = ((name_id,) if name in text.replace(maker, "") else (), (maker_id,) if maker in text else ())
                    if (found.names, found.makers) != expected:
                        wrong.append((text, found.names, found.makers))
    assert wrong == []
