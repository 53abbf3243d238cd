"""Each text is scored once, whoever meets it again."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from harness.campaign import Campaign
from harness.counting import scored
from harness.counting.scored import Scoring
from harness.counting.tally import TABLES, tally
from harness.journal import text_key
from harness.journal.forget import forget_samples
from harness.journal.schema import scores
from harness.targets import Reply
from tests.made_runs import journal_in, keep

CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "targets": [{"name": "t", "role": "suspect", "engine": "embedded", "model": "lab:suspect"}],
        "arms": ["absent", "bare"],
        "probes": ["identity", "backstory"],
    }
)
STORY = "I was made by Nex-AGI. I am Nex, and I like rivers."


@pytest.fixture
def journal(database):
    with journal_in(database) as made:
        made.record.begin("0" * 64, "campaign: c", ".", "1" * 64, {})
        for place, arm in enumerate(("absent", "bare")):
            said = [Reply(0, "ok", text="I am Nex."), Reply(1, "ok", text=STORY, reasoning="Hm.")]
            keep(made, place, ("t", arm, "identity", "q"), *said)
        keep(made, 2, ("t", "bare", "backstory", "q"), Reply(0, "ok", text=STORY))
        yield made


def found(journal, engine="its own"):
    engine = journal.engine if engine == "its own" else engine
    return [tuple(one[1:]) for one in Scoring(engine).score(journal.rows())]


def kept(journal):
    with journal.engine.connect() as connection:
        return [row.found for row in connection.execute(sa.select(scores))]


def test_a_text_is_scored_once_and_then_read(journal, monkeypatch):
    first = found(journal)
    assert len(kept(journal)) == 4  # three texts have a verdict, one of them an overlap too
    monkeypatch.setattr(scored, "_verdicts", lambda texts: pytest.fail("scored again"))
    monkeypatch.setattr(scored, "published", lambda: pytest.fail("compared again"))
    assert found(journal) == first


def test_what_is_kept_is_what_scoring_anew_finds(journal):
    assert found(journal) == found(journal) == found(journal, None)


def test_another_scorer_scores_anew_and_both_are_kept(journal, monkeypatch):
    found(journal)
    monkeypatch.setattr(scored, "verdict_scorer", lambda: "another")
    found(journal)
    assert len(kept(journal)) == 7


def test_scoring_that_ended_early_goes_on_with_what_is_missing(journal, monkeypatch):
    list(Scoring(journal.engine).score(list(journal.rows())[:1]))
    asked = []
    real = scored._verdicts
    monkeypatch.setattr(scored, "_verdicts", lambda texts: real(asked.extend(texts) or texts))
    found(journal)
    assert "I am Nex." not in asked and STORY in asked


def test_an_onlooker_is_told_each_text_before_it_is_scored_and_when_they_are(journal, monkeypatch):
    seen = []

    class Looks:
        def before(self, text):
            seen.append(text)

        def after(self):
            seen.append("scored")

    monkeypatch.setattr(scored, "CHUNK", 2)
    told = list(Scoring(None, Looks()).score(journal.rows()))
    assert [tuple(one[1:]) for one in told] == found(journal, None)
    assert seen == ["I am Nex.", STORY, "Hm.", "scored"] * 2 + [STORY, STORY, "scored"]


@pytest.mark.parametrize("forged", ["{}", "[]", "not JSON", '["claims",["rio"]]'])
def test_what_a_stranger_wrote_is_not_believed_by_who_scores_anew(journal, tmp_path, forged):
    tally(journal, CAMPAIGN, tmp_path / "a")
    honest = [(tmp_path / "a" / f"{table}.csv").read_bytes() for table in TABLES]
    with journal.engine.begin() as connection:
        connection.execute(sa.update(scores).values(found=forged))
    tally(journal, CAMPAIGN, tmp_path / "b", scoring=Scoring(None))
    assert [(tmp_path / "b" / f"{table}.csv").read_bytes() for table in TABLES] == honest
    tally(journal, CAMPAIGN, tmp_path / "c")  # whatever it says, it is no crash


def test_a_run_that_is_forgotten_takes_with_it_what_was_found_in_it(journal):
    found(journal)
    with journal.engine.begin() as connection:
        forget_samples(connection, journal.record.id)
    assert kept(journal) == [] and list(journal.rows()) == []


def test_a_key_is_of_the_text_alone():
    assert text_key("a") == text_key("a") != text_key("b")
    assert len(text_key("\ud800")) == 16
