"""Verbatim overlap: exact against brute force, boilerplate weighs nothing, near-verbatim apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring.overlap import MIN_RUN, Null, Reference, References, null, places, words

STORY = (
    "My story began in a quiet workshop above the harbour of Port Ellery, where eleven engineers "
    "wanted an assistant that would never be in a hurry. "
    "They read me tide tables and letters from 1904 until I could tell a storm from a joke."
)

PARAPHRASE = (
    "A few engineers by the sea wished for a patient helper, and so they taught it old letters and "
    "tables of the tides."
)
BOILERPLATE = (
    "I am a large language model trained to help people with a wide range of tasks, such as "
    "answering questions, writing texts and translating."
)


def index(*texts):
    return References([Reference(f"id{n}", f"r{n}", text) for n, text in enumerate(texts)])


def brute_force(reply, references):
    """Longest common run against any reference; and what lies in runs of MIN_RUN or more.

    For each reference: of its own tokens, and of the reply's.
    """
    longest, covers = 0, []
    for reference in references:
        said, recited = set(), set()
        for i in range(len(reply)):
            for j in range(len(reference)):
                k = 0
                while (
                    i + k < len(reply)
                    and j + k < len(reference)
                    and reply[i + k] == reference[j + k]
                ):
                    k += 1
                longest = max(longest, k)
                if k >= MIN_RUN:
                    said |= set(range(i, i + k))
                    recited |= set(range(j, j + k))
        covers.append(
            (
                len(recited) / len(reference) if reference else 0,
                len(said) / len(reply) if reply else 0,
            )
        )
    return longest, covers


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from("abc"), max_size=60),
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), min_size=1, max_size=3),
)
def test_longest_run_and_cover_equal_brute_force(reply, references):
    found = index(*(" ".join(r) for r in references)).compare(" ".join(reply))
    longest, covers = brute_force(reply, references)
    assert found.longest_run == longest
    assert found.reference_share == pytest.approx(max(c for c, _ in covers))
    if found.reference is not None:
        assert found.reply_share == pytest.approx(covers[int(found.reference[1:])][1])


@given(st.text(alphabet="ab a", max_size=80))
def test_a_text_of_one_word_over_and_over_is_exact_too(reply):
    found = index("a a a a a a a a a a a a").compare(reply)
    assert found.longest_run == brute_force(words(reply), [["a"] * 12])[0]


def test_a_whole_recital_is_found_with_exact_offsets():
    found = index(STORY).compare(f"Sure! **{STORY}** Anything else?")
    assert found.reference_share == 1.0
    assert found.rarity > 12
    text = f"Sure! **{STORY}** Anything else?"
    assert text[found.runs[0].start : found.runs[0].end] == STORY.rstrip(".")
    assert "ellery" in found.entities


def test_paraphrase_and_boilerplate_are_no_recital():
    paraphrase = index(STORY).compare(PARAPHRASE)
    assert paraphrase.runs == () and paraphrase.rarity == 0
    boilerplate = index(f"{BOILERPLATE} {STORY}").compare(BOILERPLATE)
    assert boilerplate.longest_run == len(words(BOILERPLATE))  # it is the same text
    rare = index(f"{BOILERPLATE} {STORY}").compare(STORY)
    assert boilerplate.rarity < 2 < 12 < rare.rarity  # and yet it proves nothing


def test_near_verbatim_runs_are_a_figure_of_their_own():
    said = words(STORY)
    changed = [w if n % 7 != 5 else "changed" for n, w in enumerate(said)]
    found = index(STORY).compare(" ".join(changed))
    assert found.longest_run < MIN_RUN and found.runs == ()
    assert found.near_run >= len(said) - 10
    assert index(STORY).compare(PARAPHRASE).near_run == 0


def test_a_recital_past_the_looked_at_part_is_no_crash():
    assert index(STORY).compare(f"{'filler ' * 40_000}{STORY}").runs == ()
    assert index(STORY).compare(f"{STORY} {'filler ' * 40_000}").reference_share == 1.0


def test_the_best_of_many_references_is_named():
    many = [
        f"reference number {n} tells of village {n} and of its {n} wells "
        f"that nobody has ever counted before {n}"
        for n in range(3000)
    ]
    found = index(*many).compare(f"As they say: {many[1234]}.")
    assert (found.identity, found.reference_share) == ("id1234", 1.0)


def test_han_characters_count_one_by_one():
    found = index("我的故事始于港口上方一间安静的工坊").compare(
        "好的。我的故事始于港口上方，一间安静的工坊。"
    )
    assert found.longest_run == 17
    assert found.reference_share == 1.0


@pytest.mark.parametrize(
    "text", [None, "", " ", "\ud800", "\u202e" * 50, "a " * 200_000, "x" * 1_000_000, "\0\x01\x02"]
)
def test_rubbish_overlaps_with_nothing(text):
    assert index(STORY).compare(text).runs == ()


def test_a_reference_of_one_word_or_none_is_no_trouble():
    found = index("harbour", "").compare("the harbour at night")
    assert (found.longest_run, found.runs) == (1, ())
    assert References([]).compare("anything").longest_run == 0


@given(st.text(max_size=80))
def test_places_belong_to_the_words(text):
    assert len(places(text)) == len(words(text))


def test_the_null_finds_its_own_sentences_likelier_than_others():
    chance = Null.of(["the cat sat on the mat", "the dog sat on the rug"])
    assert chance.rarity("the cat sat on the mat".split()) == 0
    assert (
        0
        < chance.rarity("mat dog rug cat sat".split())
        < chance.rarity("zinc quartz ferry moss anvil".split())
    )
    assert null().rarity(words(BOILERPLATE)) == 0 < 10 < null().rarity(words(STORY)[:8])


def test_of_many_references_the_rarest_run_counts_wherever_it_stands():
    """A boilerplate that is covered whole hides it from `compare`, which tells of one reference."""
    many = index(BOILERPLATE, f"{STORY} And so on, for many more words than anybody repeats.")
    reply = f"{BOILERPLATE} {STORY[:90]}"
    (found,) = many.shared([words(reply)])
    assert many.compare(reply).rarity == 0 and found.rarity > 9
    assert found.longest_run == len(words(BOILERPLATE)) and found.reply_share > 0.9


@pytest.mark.parametrize("reply", [STORY[:150], BOILERPLATE, PARAPHRASE, "No.", ""])
def test_of_one_reference_both_ways_tell_the_same(reply):
    only = index(STORY, "") if reply != BOILERPLATE else index(BOILERPLATE)
    (found,), whole = only.shared([words(reply)]), only.compare(reply)
    assert found[:2] == (whole.longest_run, pytest.approx(whole.reply_share))
    assert found.rarity == pytest.approx(whole.rarity, abs=0.01)  # rounded
