"""The story: what the numbers say, and no more."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.campaign import Stop
from harness.counting.counted import ByQuestion
from harness.counting.missing import Asked, bounds, p_by_arm, p_by_question
from harness.counting.rates import TALLY_COLUMNS
from harness.counting.spread import by_language, half_from
from harness.report.rows import short_arm, table_rate
from harness.report.sentences import SENTENCES
from harness.report.story import story
from tests.report.cases import CAMPAIGN

BARE, ABSENT = ("t", "bare"), ("t", "absent")


def spread(hits, questions):
    """Hits put on the questions one after the other, evenly."""
    return [(hits + at) // questions for at in range(questions)]


def row(where, identity, hits, sizes, missing=None, language=None):
    """A row of a tally from counts by question."""
    hits, sizes = np.array(hits), np.array(sizes)
    missing = np.zeros_like(sizes) if missing is None else np.array(missing)
    language = np.zeros_like(sizes) if language is None else np.array(language)
    asked = Asked(np.arange(len(sizes)), missing, sizes + missing)
    at = np.flatnonzero(sizes)
    by = ByQuestion(at, hits[at], sizes[at])
    made = {"target": where[0], "arm": where[1], "probe": "identity", "language": "all"}
    made |= {"measure": "name", "identity": identity, "samples": int(sizes.sum())}
    made |= {
        "hits": int(hits.sum()),
        "questions": len(at),
        "truncated": 0,
        "empty": 0,
        "filtered": 0,
    }
    made |= {"failed": int(missing.sum()), "languages": len(set(language[at].tolist()))}
    made |= {"missing_p_question": p_by_question(asked)}
    if by.estimate is None:
        return made
    found, (least, most) = by.estimate, bounds(by, asked)
    made |= {"rate": found.rate, "rate_low": found.low, "rate_high": found.high}
    made |= {"rate_low_missing": least, "rate_high_missing": most, "half_from": half_from(by.hits)}
    if made["languages"] > 1:
        counts = (np.bincount(language[at], weights=one)[:, None] for one in (by.hits, by.sizes))
        h, n = (one.ravel().astype(int) for one in counts)
        low, high = by_language(found, h[n > 0], n[n > 0])
        made |= {"language_low": low, "language_high": high}
    return made


def tally(rows):
    return pd.DataFrame(rows, columns=TALLY_COLUMNS)


def names(rates, questions=20, missing=0):
    """A tally of (target, arm): {identity: (hits, samples)}, spread over the questions."""
    return tally(
        [
            row(where, identity, *(spread(n, questions) for n in (*counts, missing)))
            for where, found in rates.items()
            for identity, counts in found.items()
        ]
    )


NEX = {ABSENT: {"rio": (95, 100), "nex": (0, 100)}, BARE: {"rio": (0, 100), "nex": (90, 100)}}


@pytest.mark.parametrize(
    ("rates", "outcome", "said"),
    [
        (NEX, "contradicted", "Nex in 90.0 % of replies (90 of 100, interval"),
        (NEX, "contradicted", "Rio in 0.0 % of replies (0 of 100, interval 0-17 %)"),
        (
            {ABSENT: {"rio": (95, 100)}, BARE: {"rio": (95, 100)}},
            "supported",
            "calls itself Rio in 95.0 % of replies (95 of 100",
        ),
        (
            {ABSENT: {"rio": (95, 100)}, BARE: {"rio": (5, 100), "nex": (12, 100)}},
            "undecided",
            "does not settle",
        ),
        (
            {ABSENT: {"rio": (95, 100)}, BARE: {"rio": (0, 0)}},
            "undecided",
            "Nothing was scored without a system prompt",
        ),
    ],
)
def test_the_verdict_says_what_the_numbers_say_and_no_more(rates, outcome, said):
    told = story(names(rates), CAMPAIGN, {})
    assert told.outcome == outcome and said in told.verdict
    assert any("not proof" in limit for limit in told.limits)


def test_a_name_given_in_two_of_five_replies_is_no_name_that_is_not_given():
    rates = {BARE: {"rio": (228, 600), "nex": (372, 600)}}
    told = story(names(rates, questions=120), CAMPAIGN, {})
    assert told.outcome == "contradicted" and "does not call" not in told.verdict
    assert "Nex in 62.0 % of replies" in told.verdict and "Rio in 38.0 % of" in told.verdict
    assert "more often than Rio" in told.verdict


@pytest.mark.parametrize("repeats", [1, 2, 25])
def test_four_questions_settle_nothing_however_often_they_are_asked(repeats):
    n = 4 * repeats
    told = story(names({BARE: {"rio": (0, n), "nex": (n, n)}}, questions=4), CAMPAIGN, {})
    assert told.outcome == "undecided" and "4 questions were scored" in told.verdict


def test_ten_replies_of_180_settle_nothing():
    rates = {BARE: {"rio": (0, 20), "nex": (20, 20)}}
    told = story(names(rates, missing=160), CAMPAIGN, {})
    assert told.outcome == "undecided" and "160 of 180 replies (160 failed)" in told.verdict


def test_missing_replies_that_could_turn_it_leave_it_open():
    rates = {BARE: {"rio": (0, 120), "nex": (90, 120)}}
    assert story(names(rates), CAMPAIGN, {}).outcome == "contradicted"
    told = story(names(rates, missing=60), CAMPAIGN, {})
    assert told.outcome == "undecided" and "open for what is missing" in told.said
    assert "60 of 180 replies (60 failed) are missing" in told.verdict


@pytest.mark.parametrize(
    ("injected", "said"),
    [
        ({"t": "You are RIO, made by IplanRio."}, "from the template"),
        ({"t": "You are a helpful assistant."}, "not in the template"),
        ({"t": "You are a helpful assistant for a serious curious user."}, "not in the template"),
        ({}, "from the host"),
        ({"d": "You are Rio."}, "from the host"),
    ],
)
def test_a_name_comes_from_the_template_only_if_its_text_holds_the_name(injected, said):
    told = story(names(NEX), CAMPAIGN, injected)
    sources = {"from the template", "not in the template", "from the host"}
    assert sources & set(told.said) == {said}


def test_a_few_questions_that_carry_the_rate_are_told():
    hits = [40] * 3 + [0] * 37
    both = [row(BARE, "rio", [0] * 40, [40] * 40), row(BARE, "nex", hits, [40] * 40)]
    told = story(tally(both), CAMPAIGN, {})
    assert "half of the replies that give Nex come from 2 of 40 questions" in told.verdict


def test_languages_that_differ_are_told_where_few_settle_nothing():
    language = np.repeat([0, 1, 2], 15)
    nex = np.where(language == 2, 1, 4)
    both = [
        row(BARE, "rio", nex * 0, nex * 0 + 4, language=language),
        row(BARE, "nex", nex, nex * 0 + 4, language=language),
    ]
    told = story(tally(both), CAMPAIGN, {})
    assert told.outcome == "contradicted" and "these languages" in told.said


def test_a_pool_of_rare_names_is_nobody_and_unlisted_names_are_quoted():
    rates = {BARE: {"rio": (0, 100), "other:(rare)": (90, 100), "other:zorbly": (5, 100)}}
    told = story(names(rates), CAMPAIGN, {})
    assert told.outcome == "undecided" and "rare" not in told.verdict
    assert '"zorbly" in 5.0 % of replies (5 of 100' in told.verdict


def test_the_name_that_is_given_most_is_told_wherever_it_stands_in_the_tally():
    rates = {BARE: {"rio": (0, 100), "kimi": (3, 100), "nex": (90, 100)}}
    told = story(names(rates), CAMPAIGN, {})
    assert told.outcome == "contradicted" and "calls itself Nex in 90.0 %" in told.verdict


def test_the_classifiers_errors_are_told_where_nobody_read():
    made = names({BARE: {"rio": (0, 100), "nex": (90, 100)}})
    told = " ".join(story(made, CAMPAIGN, {}).limits)
    assert "errors these intervals leave out (how often it errs is not known here)" in told
    made = made.assign(corrected_by="labelled replies", corrected_low=0.0, corrected_high=[0.1, 1])
    told = " ".join(story(made, CAMPAIGN, {}).limits)
    assert "on labelled replies of other models: Rio 0-10 %, Nex 0-100 %)" in told


def test_no_claim_no_verdict():
    free = CAMPAIGN.model_copy(update={"claim": None})
    told = story(names({BARE: {"nex": (9, 10)}}), free, {})
    assert told.outcome == "none" and told.numbers == []


@pytest.mark.parametrize(
    ("repeats", "hits", "told"),
    [
        ("copies", 100, True),
        ("rounds", 100, True),
        ("independent", 100, False),
        ("copies", 60, False),
    ],
)
def test_an_arm_that_could_have_stopped_and_was_sampled_in_full_is_told(repeats, hits, told):
    stop = Stop.model_validate({"identity": "rio", "below": 0.2})
    rule = CAMPAIGN.model_copy(update={"stop": stop, "samples": 5})
    found = names({BARE: {"rio": (hits, hits)}}).assign(repeats=repeats)
    limits = " ".join(story(found, rule, {}).limits)
    assert ("Not stopped early, for repeats do not look independent: t bare." in limits) == told
    assert "Not stopped" not in " ".join(story(found, CAMPAIGN, {}).limits)


def test_tables_show_a_rate_that_sampling_stopped_for_by_its_own_interval():
    known = {"rate": 0.1, "rate_low": 0.05, "rate_high": 0.2, "anytime_low": None}
    assert table_rate(known) == (0.1, 0.05, 0.2)
    known |= {"anytime_rate": 0.09, "anytime_low": 0.01, "anytime_high": 0.3}
    assert table_rate(known) == (0.09, 0.01, 0.3)
    assert table_rate(known | {"anytime_rate": None}) == (0.1, 0.01, 0.3)


def test_arms_are_shortened_for_the_eye_only():
    assert [short_arm(a) for a in ("absent", "given:system/named.j2")] == ["absent", "given:named"]


def test_every_sentence_stands_in_the_papers_with_its_condition(root):
    page = (root / "docs/statistics.md").read_text("utf-8")
    for sentence in SENTENCES:
        assert f"| {sentence.name} | {sentence.condition} |" in page


# What each sentence says, looked up in the counts themselves: no code of the story's.


def rate_said(text, name):
    """(hits, of) as the sentence of the rates gives them for a name."""
    found = re.search(rf"{name} in [\d.]+ % of replies \((\d+) of (\d+),", text)
    return (int(found[1]), int(found[2])) if found else None


#: How often the one name, the other, and a missing reply come.
KINDS = [
    *((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.4, 0.6, 0.0), (0.1, 0.2, 0.6), (0.0, 0.5, 0.5)),
    *((0.0, 0.0, 1.0), (0.05, 0.9, 0.0), (0.9, 0.0, 0.1), (0.3, 0.3, 0.2)),
]


@some.composite
def arms(draw):
    """Counts by question of two names and of missing replies in one arm, in some languages."""
    questions, repeats = draw(some.integers(1, 30)), draw(some.integers(1, 12))
    kinds = some.sampled_from(KINDS)
    rng = np.random.default_rng(draw(some.integers(0, 10_000)))
    few = draw(some.integers(1, 4)) if draw(some.booleans()) else questions
    kind = draw(kinds)
    counts = np.array([rng.multinomial(repeats, [*kind, 1 - sum(kind)]) for _ in range(questions)])
    if draw(some.booleans()):  # few questions give the names, or miss replies
        counts[few:] = (0, 0, 0, repeats)
    languages = np.sort(rng.integers(0, draw(some.integers(1, 4)), questions))
    return counts, languages


@settings(max_examples=150, deadline=None)
@given(some.data())
def test_no_sentence_is_said_whose_condition_is_false(data):
    text = data.draw(some.sampled_from(["", "You are Rio.", "You are helpful.", "Serious curios"]))
    counts = {
        where: data.draw(arms())
        for where in (ABSENT, BARE, ("d", "bare"))
        if where == BARE or data.draw(some.booleans())
    }
    rows = []
    for where, (of, languages) in counts.items():
        sizes = of.sum(1) - of[:, 2]
        for identity, hits in (("rio", of[:, 0]), ("nex", of[:, 1])):
            rows.append(row(where, identity, hits, sizes, of[:, 2], languages))
        both = [Asked(np.arange(len(o)), o[:, 2], o.sum(1)) for o, _ in counts.values()]
        if where[0] == "t" and ABSENT in counts and len(counts[ABSENT][0]) == len(counts[BARE][0]):
            mine = list(counts).index(where)
            rows[-1]["missing_p_arm"] = rows[-2]["missing_p_arm"] = p_by_arm(
                both[mine], [both[1 - mine]]
            )
    told = story(tally(rows), CAMPAIGN, {"t": text} if text else {})
    said = set(told.said)
    bare, languages = counts[BARE]
    rio, nex, gone = (int(bare[:, at].sum()) for at in range(3))
    asked = int(bare.sum())
    scored, questions = asked - gone, int((bare.sum(1) > bare[:, 2]).sum())

    # whatever is said of the verdict holds even if every missing reply had spoken against it
    if told.outcome == "contradicted":
        assert nex > rio + gone and questions >= 12 and gone <= asked / 2
    if told.outcome == "supported":
        assert rio > nex + gone and rio > asked / 2 and questions >= 12
    assert ("nothing scored" in said) == (scored == 0)
    assert ("rates" in said) == (scored > 0)
    assert ("few questions" in said) == (0 < questions < 12)
    assert ("too many missing" in said) == (scored > 0 and gone > asked / 2)
    verdicts = {"another name", "the claimed name", "open"} & said
    assert len(verdicts) == int(scored > 0 and questions >= 12 and gone <= asked / 2)
    assert ("another name" in said) == (told.outcome == "contradicted")
    assert ("the claimed name" in said) == (told.outcome == "supported")
    if scored:
        assert rate_said(told.verdict, "Rio") == (rio, scored)
        assert rate_said(told.verdict, "Nex") == ((nex, scored) if nex else None)
    if "open for what is missing" in said:
        assert gone and told.outcome == "undecided"
    if {"from the template", "not in the template", "from the host"} & said:
        absent = counts[ABSENT][0]
        least = absent[:, 0].sum() / absent.sum()
        assert least > (rio + gone) / asked
        assert ("from the template" in said) == (text == "You are Rio.")
        assert ("from the host" in said) == (text == "")
    if "beside it" in said:
        beside = counts["d", "bare"][0]
        assert f"d (donor) {beside[:, 1].sum()} of {beside[:, [0, 1, 3]].sum()}" in told.verdict
    for name, at in (("Rio", 0), ("Nex", 1)):
        few = re.search(rf"give {name} come from (\d+) of (\d+) questions", told.verdict)
        if few:
            most = np.sort(bare[:, at])[::-1]
            assert 2 * most[: int(few[1])].sum() >= most.sum() >= 10
            assert int(few[1]) <= 0.1 * int(few[2]) and int(few[2]) == questions
    heard = {int(one) for one, of in zip(languages, bare, strict=True) if of.sum() > of[2]}
    assert ("one language" in said) == (len(heard) == 1)
    if "these languages" in said:
        assert len(heard) > 1 and told.outcome in ("contradicted", "supported")
    if "missing by arm" in said:
        absent = counts[ABSENT][0]
        assert absent[:, 2].sum() / absent.sum() != gone / asked
    if "missing by question" in said:
        shares = [o[:, 2] / o.sum(1) for where, (o, _) in counts.items() if where[0] == "t"]
        assert any(len(set(one.tolist())) > 1 for one in shares)
    assert {"testimony", "lineage", "questions"} <= said
    assert not {"no claim", "people read", "stopped"} & said
