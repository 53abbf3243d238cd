"""A glance spares the search for names where none can be, and passes over nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring import normalize
from harness.scoring.features import numbered
from harness.scoring.glance import Glance
from harness.scoring.reply import Reply
from tests.scoring.labelled import labelled


def passed_over(texts):
    """The texts that a glance passes over and in which a slow search finds names, of how many."""
    replies = list(map(Reply, texts))
    slow = set(Glance(numbered(map(Reply.masked, replies))).names())
    passed = [
        reply for number, reply in enumerate(replies) if number not in slow and reply.normal.cased
    ]
    return [
        (reply.normal.original, reply.unlisted) for reply in passed if reply.add_unlisted()
    ], len(passed)


def test_a_glance_passes_over_nothing_in_which_a_name_is_found():
    found, passed = passed_over([row["reply"] for row in labelled()])
    assert found == [] and passed > 500


WORDS = (
    "I'm name hope Hope Faith the The of de and & by is Zorbly zorbly Labs labs Company Software "
    "AI Assistant Dr. Mary-Jane Step -3 3 2.5 Qwen Nova Captain GPT O'Brien McDonald d'Arc Rio "
    "Ägypten x B \" ' , . : ! - ("
).split()
FRAGMENTS = [
    *WORDS,
    "I am",
    "My name is",
    "Call me",
    "call me",
    "they call me",
    "Ich heiße",
    "soy",
    "me llamo",
    "São Paulo",
    "\n",
]


@settings(max_examples=200)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from([" ", " ", " ", ""])), max_size=12
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_glance_passes_over_no_name_in_any_row_of_words(rows):
    found, _ = passed_over(["".join(map("".join, row)) for row in rows])
    assert found == []


@settings(max_examples=200)
@given(st.lists(st.text(st.sampled_from("Qaw 1.'é"), max_size=30), min_size=1, max_size=8))
def test_a_glance_passes_over_no_letters_set_apart(texts):
    apart = Glance(numbered(texts)).apart()
    assert [
        text
        for number, text in enumerate(texts)
        if number not in apart and normalize(text) != normalize(text, join=False)
    ] == []
