"""What targets say in each other's words: the sentences say what the numbers say, chance beside."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.campaign import Campaign
from harness.counting.between import RECITAL_COLUMNS
from harness.report.shared import recited_sentences, shared_words

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
            "its own in 30 of 40. So nex (donor) is recited more often than the base and "
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
    assert told[1:] == ["That settles nothing: it takes 12 questions."]


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
