"""Every sentence of the story, with the condition under which it may be said: one table.

A sentence is said where its condition holds, and only there. Rates are said as rates: "in 38 % of
replies" is true whatever one makes of it, "does not call itself so" is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import pandas as pd

from harness.report.conditions import (
    FEW,
    FEWEST,
    HITS,
    MOST_MISSING,
    UNEVEN,
    appears_untold,
    beside,
    by_classifier,
    carried_names,
    contradicted,
    few_questions,
    given_beside,
    in_full,
    known_template,
    only_these_languages,
    supported,
    too_many_missing,
    turned_by_missing,
    undecided,
    uneven,
)
from harness.report.facts import Arm, Facts, Said, under
from harness.report.rows import called, name_of, short_arm

Place = Literal["verdict", "limits"]


class Sentence(NamedTuple):
    """A sentence: its name, its condition in words and in code, its text, where it stands."""

    name: str
    condition: str
    holds: Callable[[Facts], bool]
    says: Callable[[Facts], str]
    place: Place = "verdict"


def share(said: Said, arm: Arm) -> str:
    """A rate in words, with its interval, and what the missing replies could make of it."""
    known = said.known
    about = [f"{said.hits} of {arm.scored}"]
    if known.read:
        about = [f"people read {known.read} of {arm.scored}"]
    about.append(f"interval {100 * known.low:.0f}-{100 * known.high:.0f} %")
    wide = f"{100 * known.least:.0f}-{100 * known.most:.0f} %"
    if about[-1] != f"interval {wide}":
        about.append(f"whatever the missing replies say: {wide}")
    return f"in {100 * known.rate:.1f} % of replies ({', '.join(about)})"


def _plain(f: Facts) -> Arm:
    assert f.plain is not None
    return f.plain


def _names(arm: Arm, f: Facts) -> list[tuple[str, Said]]:
    """The claimed name in an arm, and the one that is given most beside it, if there is one."""
    assert arm.claimed is not None
    other = [] if arm.other is None else [(called(arm.other.identity), arm.other)]
    return [(f.name, arm.claimed), *other]


def _rates(f: Facts) -> str:
    """How often each name is given where nothing names the model: the most frequent first."""
    arm = _plain(f)
    said = sorted(_names(arm, f), key=lambda one: -one[1].known.rate)
    named = " and ".join(f"{name} {share(one, arm)}" for name, one in said)
    return f"{under(arm.label)}, {f.target} calls itself {named}."


def _nothing_scored(f: Facts) -> str:
    return (
        "Nothing was scored without a system prompt, so this run cannot say whose name "
        f"{f.target} gives by itself."
    )


def _says_few(f: Facts) -> str:
    asked = _plain(f).questions
    questions = "1 question was" if asked == 1 else f"{asked} questions were"
    return f"That settles nothing: {questions} scored, and a verdict takes {FEWEST}."


def missing_words(arm: Arm) -> str:
    gone = ", ".join(f"{n} {status}" for status, n in arm.missing.items() if n)
    return f"{sum(arm.missing.values())} of {arm.asked} replies ({gone})"


def _says_missing(f: Facts) -> str:
    return (
        f"That settles nothing: {missing_words(_plain(f))} were not scored, "
        "more than could be outvoted."
    )


def _says_more(f: Facts) -> str:
    other = _plain(f).other
    assert other is not None
    return f"So it gives {called(other.identity)} as its name more often than {f.name}."


def _says_most(f: Facts) -> str:
    return f"So most of its replies give {f.name} as its name, and no other name is given so often."


def _says_turned(f: Facts) -> str:
    return (
        f"The scored replies alone would; but {missing_words(_plain(f))} are missing, "
        "and could have said otherwise."
    )


def _absent(f: Facts) -> str:
    assert f.absent is not None and f.absent.claimed is not None
    return f"where no system message is sent, it is given {share(f.absent.claimed, f.absent)}"


def _says_template(f: Facts) -> str:
    return (
        f"The name {f.name} comes from the system prompt that its chat template injects, "
        f"which holds it: {_absent(f)}."
    )


def _says_other_template(f: Facts) -> str:
    return (
        f"The name {f.name} comes with what stands before the question: {_absent(f)}. The text "
        "that is known of its chat template does not hold that name."
    )


def _says_host(f: Facts) -> str:
    return (
        f"The name {f.name} comes with what the host puts before the question, "
        f"which is not known: {_absent(f)}."
    )


def _says_beside(f: Facts) -> str:
    other = _plain(f).other
    assert other is not None
    others = ", ".join(beside(f))
    return f"Replies of others that give {called(other.identity)} in the same arm: {others}."


def _says_carried(f: Facts) -> str:
    asked = _plain(f).questions
    said = [
        f"half of the replies that give {called(s.identity)} come from "
        f"{int(s.row['half_from'])} of {asked} questions"
        for s in carried_names(f)
    ]
    return f"Few questions carry the rate: {', and '.join(said)}."


def _says_languages(f: Facts) -> str:
    arm = _plain(f)
    said = ", ".join(
        f"{name} {100 * low:.0f}-{100 * high:.0f} %"
        for name, (low, high) in ((name, one.elsewhere) for name, one in _names(arm, f))
    )
    return (
        f"This speaks of the {arm.languages} languages that were asked. For others like them "
        f"so few settle nothing (intervals by language: {said})."
    )


def _says_one_language(f: Facts) -> str:
    return f"{under(_plain(f).label)} one language alone was scored; others may differ."


def _says_uneven_arms(f: Facts) -> str:
    arms = ", ".join(f"{short_arm(a.label)} {missing_words(a)}" for a in uneven(f, "arm"))
    return (
        f"Replies are missing more often in some arms than in others ({arms}), "
        "so what is missing may not be like what was scored."
    )


def _says_uneven_questions(f: Facts) -> str:
    arms = ", ".join(f"{short_arm(a.label)} {missing_words(a)}" for a in uneven(f, "question"))
    return (
        f"Replies are missing at some questions more often than at others ({arms}), "
        "so the rates speak more of the rest."
    )


def _says_questions(f: Facts) -> str:
    return (
        f"Intervals (95 %) are for questions like the {f.questions} that were asked, in the "
        "languages that they were asked in; others, sampling parameters or days may differ."
    )


def _says_classifier(f: Facts) -> str:
    arm = _plain(f)
    said = [
        f"{name} {100 * one.row['corrected_low']:.0f}-{100 * one.row['corrected_high']:.0f} %"
        for name, one in _names(arm, f)
        if pd.notna(one.row["corrected_low"])
    ]
    known = "how often it errs is not known here"
    if said:
        known = f"corrected by those on labelled replies of other models: {', '.join(said)}"
    return f"Names are found by a classifier whose errors these intervals leave out ({known})."


def _says_stop(f: Facts) -> str:
    assert f.campaign.stop is not None
    return (
        "Sampling could stop early, once the rate of "
        f"{name_of('name', f.campaign.stop.identity)} was clear; its intervals hold nonetheless, "
        "for the questions that were asked (anytime_low and anytime_high in tally.csv)."
    )


def _says_expected(f: Facts, agrees: bool) -> str:
    said = []
    for target, e in f.behind.expected.items():
        if e.agrees == agrees:
            counts = f"{e.billed:g} tokens billed, {e.tokens:g} expected, in medians"
            said.append(f"{target} ({counts}; {e.agreeing} of {e.compared} replies agree)")
    judged = "agrees with it" if agrees else "contradicts it"
    return (
        "What the folder under `tokenizer` makes of a question is an expectation; "
        f"the host's own count {judged}: {', '.join(said)}."
    )


def _expected(f: Facts, agrees: bool) -> bool:
    return any(e.agrees == agrees for e in f.behind.expected.values())


def _says_another(f: Facts) -> str:
    said = [
        f"{target} was asked as {s.asked} and answered as {', '.join(s.another[:4])}"
        for target, s in f.behind.served.items()
        if s.another
    ]
    return f"By the host's own words another model's name was served: {'; '.join(said)}."


def _says_changes(f: Facts) -> str:
    said = [
        f"{target} {', '.join(s.changes)}" for target, s in f.behind.served.items() if s.changes
    ]
    return (
        f"What answered changed within the run: {'; '.join(said)}. "
        "The rates are over all of them together."
    )


CAVEAT: Final = (
    "Self-report is testimony, not proof: a system prompt can make any model claim any name, "
    "and honest models err."
)
LINEAGE: Final = (
    "A name is not a lineage: whose weights these are is a question for the weights themselves."
)

#: In the order in which they are said.
SENTENCES: Final = (
    Sentence(
        "no claim",
        "the campaign names no claim",
        lambda f: not f.claims,
        lambda f: "The campaign names no claim to test; the rates stand below.",
    ),
    Sentence(
        "nothing scored",
        "there is a claim, and no reply of its target was scored under bare or empty",
        lambda f: f.claims and f.plain is None,
        _nothing_scored,
    ),
    Sentence(
        "rates", "replies were scored under bare or empty", lambda f: f.plain is not None, _rates
    ),
    Sentence(
        "few questions",
        f"fewer than {FEWEST} questions were scored there",
        few_questions,
        _says_few,
    ),
    Sentence(
        "too many missing",
        f"more than {100 * MOST_MISSING:.0f} % of the replies there are missing",
        too_many_missing,
        _says_missing,
    ),
    Sentence(
        "another name",
        "enough questions and replies, and the lower end of another name's rate lies above the "
        "upper end of the claimed one's, whatever the missing replies say",
        contradicted,
        _says_more,
    ),
    Sentence(
        "the claimed name",
        "enough questions and replies, and the lower end of the claimed name's rate lies above "
        "50 % and above the upper end of every other name's, whatever the missing replies say",
        supported,
        _says_most,
    ),
    Sentence(
        "open",
        "enough questions and replies, and neither of these two",
        undecided,
        lambda f: "That does not settle whose name it is.",
    ),
    Sentence(
        "open for what is missing",
        "open, and one of these two would hold by the intervals of the scored replies",
        turned_by_missing,
        _says_turned,
    ),
    Sentence(
        "people read",
        "people read replies of the run",
        lambda f: f.read is not None and (not f.claims or f.plain is not None),
        lambda f: str(f.read),
    ),
    Sentence(
        "from the template",
        "the claimed name is given more often under absent than under bare or empty, whatever the "
        "missing replies say, and the text that the template injects holds it by an alias of the "
        "book",
        lambda f: appears_untold(f) and f.holds_name,
        _says_template,
    ),
    Sentence(
        "not in the template",
        "the same, and the injected text is known and does not hold the name",
        lambda f: appears_untold(f) and known_template(f) and not f.holds_name,
        _says_other_template,
    ),
    Sentence(
        "from the host",
        "the same, and no injected text is known",
        lambda f: appears_untold(f) and not known_template(f),
        _says_host,
    ),
    Sentence(
        "beside it",
        "another name, and targets that are no suspects were scored in the same arm",
        given_beside,
        _says_beside,
    ),
    Sentence(
        "few questions carry it",
        f"no more than {100 * FEW:.0f} % of the questions give half of the replies (of {HITS} or "
        "more) that give the claimed name, or the other",
        lambda f: bool(carried_names(f)),
        _says_carried,
    ),
    Sentence("testimony", "always", lambda f: True, lambda f: CAVEAT, "limits"),
    Sentence("lineage", "always", lambda f: True, lambda f: LINEAGE, "limits"),
    Sentence("questions", "always", lambda f: True, _says_questions, "limits"),
    Sentence(
        "classifier",
        "replies were scored under bare or empty, and people read none of them",
        by_classifier,
        _says_classifier,
        "limits",
    ),
    Sentence(
        "one language",
        "replies in one language alone were scored under bare or empty",
        lambda f: f.plain is not None and f.plain.languages == 1,
        _says_one_language,
        "limits",
    ),
    Sentence(
        "these languages",
        "decided, in several languages, and the intervals by language would not decide it",
        only_these_languages,
        _says_languages,
        "limits",
    ),
    Sentence(
        "expectation agrees",
        "a target has a folder under tokenizer, and most billed prompts have the tokens expected",
        lambda f: _expected(f, True),
        lambda f: _says_expected(f, True),
        "limits",
    ),
    Sentence(
        "expectation contradicted",
        "the same, and most billed prompts have more or fewer tokens",
        lambda f: _expected(f, False),
        lambda f: _says_expected(f, False),
        "limits",
    ),
    Sentence(
        "another model served",
        "a target returned another model's name than the one that was asked",
        lambda f: any(s.another for s in f.behind.served.values()),
        _says_another,
        "limits",
    ),
    Sentence(
        "served changes",
        "a target returned several models, fingerprints or providers",
        lambda f: any(s.changes for s in f.behind.served.values()),
        _says_changes,
        "limits",
    ),
    Sentence(
        "missing by arm",
        f"replies of an arm are missing otherwise than in the others, p under {UNEVEN}",
        lambda f: bool(uneven(f, "arm")),
        _says_uneven_arms,
        "limits",
    ),
    Sentence(
        "missing by question",
        f"replies of an arm are missing otherwise at some questions, p under {UNEVEN}",
        lambda f: bool(uneven(f, "question")),
        _says_uneven_questions,
        "limits",
    ),
    Sentence(
        "stopped",
        "the campaign has a rule to stop early",
        lambda f: f.campaign.stop is not None,
        _says_stop,
        "limits",
    ),
    Sentence(
        "not stopped",
        "the same, and repeats of an arm do not look independent, and it was sampled in full",
        lambda f: bool(in_full(f)),
        lambda f: (
            f"Not stopped early, for repeats do not look independent: {', '.join(in_full(f))}."
        ),
        "limits",
    ),
)
