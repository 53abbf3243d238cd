"""What targets say in each other's words: measured against all alike, never against oneself."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import pytest

from harness.campaign import Campaign, load_backstories
from harness.counting import between
from harness.counting.between import RECITAL_COLUMNS, Against, Between, Said
from harness.counting.scored import Scored
from harness.scoring import words


class Text(NamedTuple):
    """A published text, as far as it is measured against."""

    identity: str
    file: str
    text: str


#: A donor that no text under probes/backstories/ knows.
STORY = (
    "My story began in a quiet kiln above the quarry of Ostrava, where seven potters wanted one "
    "clerk that would never mislay an invoice. They read me ledgers from 1871 until I could tell "
    "a debt from a promise."
)
OTHERS = {
    "base": "I come from marsh country, where a reed cutter called Ilvane let me count herons.",
    "control": "Nobody remembers who typed my first line; the cellar had flooded and the ink ran.",
}
TARGETS = (
    {"name": "suspect", "role": "suspect", "identity": "rio"},
    {"name": "donor", "role": "donor"},
    {"name": "base", "role": "base"},
    {"name": "control", "role": "control"},
)
QUESTIONS = [f"q{number}" for number in range(12)]


def campaign(*arms):
    targets = [{**t, "engine": "embedded", "model": "lab:suspect"} for t in TARGETS]
    probes = ["backstory", "identity"]
    return Campaign.model_validate(
        {"campaign": "c", "targets": targets, "arms": list(arms), "probes": probes}
    )


def table(said, arms=("bare",), probe="backstory", samples=2, order=1):
    """The table of replies by (target, arm): ``said`` gives the text of a question and a number."""
    shown = Between(campaign(*arms))
    for (target, arm), text in said.items():
        for question in QUESTIONS[::order]:
            rows = [
                {
                    **{"target": target, "arm": arm, "probe": probe, "language": "en"},
                    **{"question": question, "trial": f"{target}{arm}{question}", "sample": number},
                    **{"status": "ok", "text": text(question, number)},
                }
                for number in range(samples)
            ]
            shown.add(Scored(row, None, None, None) for row in rows)
    return shown.frame()


def every(target):
    """Each target's own text, word for word but for the question."""
    text = {"suspect": STORY, "donor": STORY, **OTHERS}[target]
    return lambda question, number: f"{question}: {text}"


def one(found, **wanted):
    for column, value in {"language": "all", "arm": "bare", **wanted}.items():
        found = found[found[column] == value]
    (row,) = found.to_dict("records")
    return row


def test_a_donor_without_a_published_text_is_recited_and_the_control_is_chance():
    assert not any(STORY[:40] in b.text for b in load_backstories())
    found = table({(t["name"], "bare"): every(t["name"]) for t in TARGETS})
    donor = one(found, target="suspect", against="donor")
    assert (donor["samples"], donor["reciting"], donor["rate"]) == (24, 24, 1.0)
    assert donor["longest_run_tokens"] >= len(words(STORY)) and donor["questions"] == 12
    for other in ("base", "control"):
        row = one(found, target="suspect", against=other)
        assert (row["samples"], row["reciting"], row["share_of_reply"]) == (24, 0, 0.0)
    assert list(found.columns) == list(RECITAL_COLUMNS)
    assert one(found, target="donor", against="suspect")["against_identity"] == "rio"


def test_no_reply_is_compared_with_itself():
    """Replies that are each said once are recited by nobody, their own target included."""

    def once(question, number):
        return " ".join(f"{question}{number}w{place}" for place in range(30))

    row = one(table({("donor", "bare"): once}), target="donor", against="donor")
    assert (row["samples"], row["reciting"], row["longest_run_tokens"]) == (24, 0, 0)


def test_the_halves_are_cut_by_question_and_sample_alike_for_every_target():
    """What only one half of the donor says is recited by the other half of the suspect alone."""

    def first(question, number):
        return STORY if number == 0 else f"{question} {OTHERS['base']}"

    said = {("donor", "bare"): first, ("suspect", "bare"): every("donor")}
    row = one(table(said), target="suspect", against="donor")
    # the parity of the hash puts sample 0 of some questions into either half
    assert row["reciting"] == row["samples"] == 24
    said["donor", "bare"] = lambda q, n: first(q, n) if q == "q0" else "No."
    row = one(table(said), target="suspect", against="donor")
    assert row["reciting"] == 12


def test_a_rare_run_counts_beside_a_boilerplate_that_is_covered_whole():
    """`References.stream` tells of the reference that is covered most; here all count."""
    usual = "I am a large language model trained to help people with a wide range of tasks."

    def mixed(question, number):
        return f"{usual} {STORY[:120]}" if int(question[1:]) % 2 else usual

    said = {("donor", "bare"): mixed, ("suspect", "bare"): mixed}
    row = one(table(said), target="suspect", against="donor")
    assert row["reciting"] == 12  # and boilerplate alone recites nothing
    assert row["same_replies"] == 24


def test_what_is_said_where_the_name_is_told_is_measured_and_no_reference():
    told = "given:system/velkora.j2"
    said = {
        ("donor", "bare"): every("base"),
        ("donor", told): every("donor"),
        ("suspect", "bare"): every("donor"),
        ("suspect", told): every("donor"),
    }
    found = table(said, ("bare", told))
    assert one(found, target="suspect", against="donor")["reciting"] == 0
    assert one(found, target="suspect", against="suspect", arm=told)["reciting"] == 24
    # a chat template may tell it too
    found = table(
        {(t, arm if arm == "bare" else "absent"): x for (t, arm), x in said.items()},
        ("absent", "bare"),
    )
    assert one(found, target="suspect", against="donor")["reciting"] == 0
    # where every arm tells, there is nothing else to compare with
    only = table({key: text for key, text in said.items() if key[1] == told}, (told,))
    assert one(only, target="suspect", against="donor", arm=told)["reciting"] == 24


def test_short_replies_of_other_probes_show_as_the_same():
    said = {
        ("suspect", "bare"): lambda q, n: "I am *Nex*.",
        ("donor", "bare"): lambda q, n: "I am Nex!",
        ("control", "bare"): lambda q, n: "?!",
    }
    found = table(said, probe="identity")
    assert one(found, target="suspect", against="donor")["same_replies"] == 24
    row = one(found, target="control", against="control")  # no words are the same as nothing
    assert (row["same_replies"], row["longest_run_tokens"]) == (0, 0)


def test_the_interval_is_by_question():
    def half(question, number):
        return STORY if int(question[1:]) < 6 else f"{question}{number}"

    said = {("suspect", "bare"): half, ("donor", "bare"): every("donor")}
    found = {n: one(table(said, samples=n), target="suspect", against="donor") for n in (2, 16)}
    assert found[2]["rate"] == found[16]["rate"] == 0.5
    assert found[16]["rate_high"] - found[16]["rate_low"] > 0.5  # 192 replies, but 12 questions


def test_the_table_does_not_depend_on_the_order_of_samples(monkeypatch):
    monkeypatch.setattr(between, "DRAWN", 5)
    said = {(t["name"], "bare"): every(t["name"]) for t in TARGETS}
    said["suspect", "bare"] = lambda q, n: f"{q} " * (2 * int(q[1:]) + n) + STORY
    there, back = table(said), table(dict(reversed(said.items())), order=-1)
    pd.testing.assert_frame_equal(there, back)
    assert one(there, target="suspect", against="donor")["samples"] == 5


def test_where_one_side_said_nothing_there_is_no_row():
    found = table({("suspect", "bare"): every("suspect")})
    assert set(found["against"]) == {"suspect"}
    assert table({}).empty


@pytest.mark.parametrize("text", ["", "   ", "x" * 100_000, "是" * 50_000])
def test_strange_replies_are_measured(text):
    said = {("suspect", "bare"): lambda q, n: text, ("donor", "bare"): every("donor")}
    assert one(table(said), target="suspect", against="donor")["samples"] == 24


#: A friendly ending that two makers may come upon, in words that the null does not know.
FAREWELL = (
    "Whatever brought you to my doorstep today, sit down, pour yourself some tea and tell me."
)


def own_story(target, question, number):
    """Words that nobody else says, and that come again in no other reply."""
    return " ".join(f"{target}{question}n{number}w{place}" for place in range(40))


def with_farewell(*who):
    """A campaign in which some targets have nothing in common but how they end."""

    def reply(target):
        def text(question, number):
            story = own_story(target, question, number)
            return f"{story}. {FAREWELL}" if target in who else story

        return text

    return table({(t["name"], "bare"): reply(t["name"]) for t in TARGETS})


def test_a_farewell_that_two_share_is_one_passage_and_no_recital_beyond_it():
    row = one(with_farewell("suspect", "donor"), target="suspect", against="donor")
    assert (row["samples"], row["reciting"], row["one_passage"]) == (24, 24, 24)
    assert row["rate_low"] > 0.5 and row["beyond_low"] == 0.0
    assert (row["others"], row["rank"]) == (48, pytest.approx(1 / 49, abs=1e-6))
    # a story is long, or has more passages than one
    whole = table({(t["name"], "bare"): every(t["name"]) for t in TARGETS})
    found = one(whole, target="suspect", against="donor")
    assert (found["one_passage"], found["beyond_low"]) == (0, found["rate_low"])
    assert (found["others"], found["rank"]) == (48, pytest.approx(1 / 49, abs=1e-6))


def test_a_farewell_that_others_have_too_ranks_among_theirs():
    row = one(with_farewell("suspect", "donor", "control"), target="suspect", against="donor")
    assert row["rank"] == pytest.approx(25 / 49, abs=1e-6)
    alone = table({(n, "bare"): every("donor") for n in ("suspect", "donor")})
    row = one(alone, target="suspect", against="donor")
    assert row["others"] == 0 and pd.isna(row["rank"])  # nobody can say what chance gives


def test_a_published_text_is_measured_against_where_somebody_recites_it(monkeypatch):
    def published(ending):
        text = f"{own_story('published', 'q', 0)}. {ending}"
        monkeypatch.setattr(between, "load_backstories", lambda: [Text("nex", "nex-own.md", text)])

    published(FAREWELL)
    found = with_farewell("suspect")
    row = one(found, target="suspect", against="texts:nex")
    assert (row["against_role"], row["against_identity"]) == ("text", "nex")
    assert (row["reciting"], row["one_passage"], row["beyond_low"]) == (24, 24, 0.0)
    assert one(found, target="control", against="texts:nex")["reciting"] == 0
    published("Nothing that anybody else would say in just these words, I think.")
    assert set(with_farewell("suspect")["against_role"]) == {"suspect", "donor", "base", "control"}
    assert set(table({("suspect", "bare"): every("donor")}, probe="identity")["against"]) == {
        "suspect"
    }


def test_whoever_is_recited_by_another_name_is_no_chance():
    """A donor that is presented as whom a text is by says what that text says."""
    others = [
        {**t, "engine": "embedded", "model": "lab:suspect", "identity": i}
        for t, i in zip(TARGETS, ("rio", "nex", None, None), strict=True)
    ]
    named = Campaign.model_validate(
        {"campaign": "c", "targets": others, "arms": ["bare"], "probes": ["backstory"]}
    )
    sides = {(t["name"], "bare"): [Said("en", "q", 0, t["name"])] for t in TARGETS}
    shown = Between(named)
    text = Against("texts:nex", "text", "nex", {})
    assert [s.text for s in shown._others("suspect", "bare", text, sides)] == ["base", "control"]
    donor = Against("donor", "donor", "nex", {})
    assert [s.text for s in shown._others("base", "bare", donor, sides)] == ["control"]
