"""What targets say in each other's words: the sentences say what the numbers say, chance beside."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.campaign import Campaign
from harness.counting.between import RECITAL_COLUMNS
from harness.report.recited import SENTENCES, recited_sentences
from harness.report.shared import shared_words

TARGETS = {"s": "suspect", "nex": "donor", "base": "base", "control": "control"}
ROLES = {name: {"name": name, "role": role} for name, role in TARGETS.items()}
CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "targets": [{**t, "engine": "embedded", "model": "lab:base"} for t in ROLES.values()],
        "arms": ["absent", "bare"],
        "probes": ["identity", "backstory"],
    }
)


def recitals(counts, samples=40):
    """A table of (probe, target, arm, against): replies that recite."""
    rows = [
        {
            **{"probe": probe, "target": target, "arm": arm, "against": against},
            **{"role": TARGETS[target], "against_role": TARGETS[against], "language": "all"},
            **{"samples": samples, "reciting": n, "rate": n / samples, "questions": 20},
            "rate_low": max(0, n / samples - 0.2),
            "rate_high": min(1, n / samples + 0.2),
            **{"longest_run_tokens": n, "share_of_reply": n / samples, "same_replies": n // 2},
            **{"one_passage": 0, "beyond_low": max(0, n / samples - 0.2)},
            **{"others": 80, "rank": 1 / 81 if n else None},
        }
        for (probe, target, arm, against), n in counts.items()
    ]
    return pd.DataFrame(rows, columns=RECITAL_COLUMNS)


def of_suspect(nex, base, control, arm="bare"):
    counts = {"s": 30, "nex": nex, "base": base, "control": control}
    return {("backstory", "s", arm, against): n for against, n in counts.items() if n is not None}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            of_suspect(32, 0, 2),
            "s recites answers of nex (donor) in 32 of 40 replies (80.0 %, interval 60-100 %; "
            "longest run 32 words), of the base in 0 of 40, of the control in 2 of 40; "
            "its own in 30 of 40. None of 80 replies of others in the same arm has a run of the "
            "same words that is as rare as the middle one of these recitals (rank 1 of 81). "
            "So nex (donor) is recited more often than the base and "
            "the control.",
        ),
        (of_suspect(32, 25, 2), "it is not settled whether nex (donor) is recited"),
        (of_suspect(12, 0, 10), "it is not settled whether nex (donor) is recited"),
        (of_suspect(32, None, None), "No base and no control was measured"),
        (of_suspect(None, 3, 1), "of the base in 3 of 40 replies, of the control in 1 of 40"),
    ],
)
def test_the_sentences_say_what_the_numbers_say(counts, said):
    told = " ".join(recited_sentences(recitals(counts), CAMPAIGN))
    assert said in told
    assert ("So nex (donor) is recited more" in told) == ("So nex" in said)


def test_a_few_questions_settle_nothing_of_who_is_recited():
    few = recitals(of_suspect(40, 0, 0)).assign(questions=11)
    told = recited_sentences(few, CAMPAIGN)
    assert told[2:] == ["That settles nothing: it takes 12 questions."]


def test_the_arm_that_names_nobody_is_told():
    both = of_suspect(1, 0, 0, "absent") | of_suspect(32, 0, 0)
    assert "(backstory, bare)" in recited_sentences(recitals(both), CAMPAIGN)[0]
    assert (
        "(backstory, absent)"
        in recited_sentences(recitals(of_suspect(1, 0, 0, "absent")), CAMPAIGN)[0]
    )


def test_other_probes_and_other_targets_make_no_sentence():
    told = {("identity", "s", "bare", "nex"): 30, ("backstory", "nex", "bare", "s"): 30}
    assert recited_sentences(recitals(told), CAMPAIGN) == []


def test_the_page_has_a_picture_of_the_suspects_and_every_target_in_its_table():
    counts = of_suspect(32, 0, 2) | {("backstory", "nex", "bare", "base"): 5}
    counts[("identity", "s", "bare", "nex")] = 20
    shown = shared_words(recitals(counts), CAMPAIGN)
    assert shown.columns == ["s", "nex", "base", "control"] and shown.svg.count("<svg") == 2
    assert [row["target"] for row in shown.recited] == ["s", "nex"]
    assert [cell["text"] for cell in shown.recited[1]["cells"]] == ["NA", "NA", "12.5 (0-32)", "NA"]
    (identity,) = [row for row in shown.whole if row["probe"] == "identity"]
    assert identity["cells"][1] == {"text": "50 %, 10 of 40 the same", "zero": False}


def test_one_target_alone_has_nothing_to_be_compared_with():
    alone = recitals({("backstory", "s", "bare", "s"): 30})
    assert shared_words(alone, CAMPAIGN) is None and recited_sentences(alone, CAMPAIGN) == []
    assert shared_words(recitals({}), CAMPAIGN) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"beyond_low": 0.0, "one_passage": 31}, "31 of these replies recite one and the same"),
        ({"rank": 9 / 81}, "Others have as much of the same words"),
        ({"rank": 9 / 81}, "8 of 80 replies of others in the same arm have a run"),
        ({"rank": None, "others": 0}, "too few were asked"),
        ({"rank": 1 / 8, "others": 7}, "too few were asked"),
    ],
)
def test_a_formula_and_what_others_say_too_convict_nobody(changed, said):
    found = recitals(of_suspect(32, 0, 2))
    assert "So nex (donor) is recited more" in " ".join(recited_sentences(found, CAMPAIGN))
    told = " ".join(recited_sentences(found.assign(**changed), CAMPAIGN))
    assert said in told and "is recited more often" not in told


def of_text(suspect, base, control):
    counts = {"s": suspect, "base": base, "control": control, "nex": 30}
    rows = recitals({("backstory", target, "bare", "nex"): n for target, n in counts.items()})
    return rows.assign(against="texts:rio", against_role="text", against_identity="rio")


def test_a_published_text_is_recited_where_base_and_control_do_not():
    told = recited_sentences(of_text(32, 0, 2), CAMPAIGN)
    assert told[0].startswith(
        "Asked for its story (backstory, bare), s recites the published texts of Rio in 32 of 40"
    )
    assert told[0].endswith("nex (donor) in 30 of 40, the base in 0 of 40, the control in 2 of 40.")
    assert told[-1] == (
        "So the published texts of Rio are recited more often than by the base and the control."
    )
    shared = " ".join(recited_sentences(of_text(32, 0, 30), CAMPAIGN))
    assert "not settled" in shared and recited_sentences(of_text(0, 0, 0), CAMPAIGN) == []


@settings(max_examples=200, deadline=None)
@given(some.data())
def test_no_sentence_of_recitals_is_said_whose_condition_is_false(data):
    """Random rows; what is said is looked up in the counts, by no code of the story's."""
    numbers, shares = some.integers(0, 40), some.floats(0, 1)
    there = {"base": data.draw(some.booleans()), "control": data.draw(some.booleans())}
    counts = of_suspect(
        data.draw(numbers), *(data.draw(numbers) if yes else None for yes in there.values())
    )
    found = recitals(counts)
    questions = data.draw(some.sampled_from([5, 11, 12, 20]))
    others = data.draw(some.sampled_from([0, 3, 19, 80]))
    as_rare = data.draw(some.integers(0, others))
    hits = counts["backstory", "s", "bare", "nex"]
    rank = (1 + as_rare) / (1 + others) if hits and others else None
    beyond = data.draw(shares)
    found = found.assign(questions=questions, others=others, rank=rank, beyond_low=beyond)
    told = " ".join(recited_sentences(found, CAMPAIGN))
    chance = [n for (*_, a), n in counts.items() if a in there]
    ends = [min(1, n / 40 + 0.2) for n in chance]
    judged = {
        "No base and no control": not chance,
        "That settles nothing": bool(chance) and questions < 12,
    }
    if chance and questions >= 12:
        more = max(0, hits / 40 - 0.2) > max(ends)
        judged["is recited more often than the"] = (
            more and beyond > max(ends) and rank is not None and rank <= 0.05
        )
        judged["one and the same passage"] = more and beyond <= max(ends)
        judged["whether nex (donor) is recited more often"] = not more
    for said, holds in judged.items():
        if said == "is recited more often than the" and not holds:
            assert "So nex (donor) is recited more often" not in told
        else:
            assert (said in told) == holds, said
    if rank is not None:
        assert f"rank {1 + as_rare} of {1 + others}" in told


def test_every_sentence_on_recitals_stands_in_the_papers_with_its_condition(root):
    page = (root / "docs/statistics.md").read_text("utf-8")
    for sentence in SENTENCES:
        assert f"| {sentence.name} | {sentence.condition} |" in page
