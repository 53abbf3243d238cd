"""From a history to events: one change is one alarm."""

from __future__ import annotations

import numpy as np
import pytest

from harness.audits.history import stamp
from harness.audits.seen import ArmSeen, Asked, Entry, Seen
from harness.audits.watching import judge
from tests.audits.shop import DAY, START, audit

QUESTIONS = 15


def observed(counts, tokens=20, facts=None, long=2):
    """What an audit saw that got replies with these names to each question, such as {"nex": 3}."""
    asked = {
        f"identity/en/q{i}": Asked(3, names, 0, 3, {"5": long} if i % 2 else {})
        for i, names in enumerate(counts)
        if names is not None
    }
    arm = ArmSeen(prompt_tokens={q: tokens + len(q) for q in asked}, questions=asked)
    for one in asked.values():
        arm.samples += one.samples
        arm.replies += one.replies
        for name, n in one.names.items():
            arm.names[name] = arm.names.get(name, 0) + n
    return {"shop": Seen({"absent": arm}, facts or {"model": ["m"]}, 0, "nex")}


def seen(name, **said):
    return observed([{name: 3}] * 14 + [{name: 1}], **said)


def drawn(rng, rate, missing=0.0, rates=None, **said):
    """An audit of a target that gives its name at some rate, questions missing at random."""
    hits = rng.binomial(3, np.full(QUESTIONS, rate) if rates is None else rates)
    out = rng.random(QUESTIONS) < missing
    names = [None if gone else {"nex": int(n)} for n, gone in zip(hits, out, strict=True)]
    return observed(names, **said)


def entries(*days):
    return [
        Entry(stamp(START + n * DAY), f"run-{n}", None if found else "down", found or {})
        for n, found in enumerate(days)
    ]


def test_one_change_is_one_alarm_with_everything_that_changed():
    history = entries(
        *[seen("nex")] * 5, *[seen("rio", tokens=42, facts={"model": ["m2"]}, long=3)] * 5
    )
    (event,) = judge(audit(), history)
    assert (event.kind, event.target, event.due[8:10], event.since[8:10]) == (
        "change",
        "shop",
        "06",
        "06",
    )
    said = "\n".join(event.changes)
    assert "replies that give the name nex: 43 of 45" in said and "give another name" in said
    assert "model: m before, m2 now" in said and "prompts have +22 tokens" in said
    assert event.p_value < 0.01
    assert judge(audit(), history) == judge(audit(), history)


def test_silence_and_recovery_are_told_once_each_and_a_return_is_a_change():
    events = judge(
        audit(),
        entries(
            seen("nex"), seen("nex"), None, None, seen("nex"), seen("rio"), seen("rio"), seen("nex")
        ),
    )
    assert [(e.kind, e.due[8:10]) for e in events] == [
        ("silence", "03"),
        ("recovered", "05"),
        ("change", "06"),
        ("change", "08"),
    ]


def test_what_is_not_asked_for_does_not_alarm_but_is_told_beside_what_does():
    assert (
        judge(
            audit(alarm={"watch": ["silence"]}),
            entries(seen("nex"), seen("rio", facts={"model": ["x"]})),
        )
        == []
    )
    moved = [
        seen("nex"),
        {"shop": Seen(seen("nex")["shop"].arms, {"model": ["m"], "fingerprint": ["b"]}, 0, "nex")},
    ]
    moved[0]["shop"].facts["fingerprint"] = ["a"]
    assert judge(audit(), entries(*moved)) == []
    (event,) = judge(audit(alarm={"watch": ["fingerprint"]}), entries(*moved))
    assert event.changes == ["fingerprint: a before, b now"]


def test_against_the_published_claim_and_against_a_named_run():
    claimed = judge(audit(baseline="claim"), entries(seen("rio"), seen("rio")))
    assert [e.event for e in claimed] == [
        "watch/2026-03-01T06:00:00Z/shop/claim"
    ] and "presented as nex" in claimed[0].changes[0]
    assert judge(audit(baseline="claim"), entries(seen("nex"))) == []
    (against,) = judge(audit(baseline={"run": "r"}), entries(seen("rio")), baseline=seen("nex"))
    assert against.due[8:10] == "01"


def test_a_claim_and_a_change_share_alpha():
    """Evidence that is enough at alpha, and not at half of it, is no alarm where two are tested."""
    few = [{"nex": 1}] * 12 + [{"nex": 0}] * 3
    (told,) = judge(audit(baseline="claim", alarm={"alpha": 0.1}), entries(observed(few)))
    assert 0.01 < told.p_value < 0.05
    level = 1.5 * told.p_value
    assert judge(audit(baseline="claim", alarm={"alpha": level}), entries(observed(few))) == []


def test_a_claim_is_judged_by_whole_rounds_of_all_its_questions():
    """Questions that are hard, asked alone from some audit on, break no claim over them all."""
    mixed = observed([{"nex": 3}] * 10 + [{"nex": 0}] * 5)
    hard = observed([None] * 10 + [{"nex": 0}] * 5)
    assert judge(audit(baseline="claim"), entries(mixed, *[hard] * 20)) == []


@pytest.mark.parametrize("baseline", ["first", "claim", {"run": "r"}])
def test_questions_that_go_unscored_raise_no_alarm(baseline):
    rng = np.random.default_rng(4)
    for _ in range(4):
        rates = rng.beta(0.7, 0.3, QUESTIONS)  # questions differ, as they do in other languages
        quiet = [drawn(rng, 0, rates=rates) for _ in range(5)]
        thinned = [drawn(rng, 0, missing=1 / 3, rates=rates) for _ in range(20)]
        cut = [observed([None] * 10 + [{"nex": int(n)} for n in rng.binomial(3, rates[10:])])]
        known = drawn(rng, 0, rates=rates)
        wanted = audit(baseline=baseline, alarm={"claimed_rate": 0.2})
        assert judge(wanted, entries(*quiet, *thinned, *cut * 3), known) == []


def test_a_router_between_two_models_is_one_event_with_shares_and_not_an_alarm_each_time():
    rng = np.random.default_rng(5)
    history = entries(*(drawn(rng, (0.9, 0.3)[n % 2]) for n in range(30)))
    changed, back, told = judge(audit(), history)
    assert (changed.kind, back.kind, told.kind) == ("change", "change", "states")
    assert "it is again as it was first at 2026-03-01" in back.changes[-1]
    assert told.headline.endswith("goes back and forth between states since 2026-03-02T06:00:00Z")
    assert "2 of 4 (50.0 %) of the audits; under absent nex" in told.changes[0]
    third = entries(*(e.seen for e in history), *[seen("rio", long=0)] * 4)
    assert [e.kind for e in judge(audit(), third)] == ["change", "change", "states", "change"]
    assert judge(audit(alarm={"wander": [0.3, 0.9]}), history) == []


def test_fingerprints_that_alternate_are_one_event_too():
    facts = [{"fingerprint": [mark]} for mark in "ab" * 20]
    history = entries(*(seen("nex", facts=fact) for fact in facts))
    told = judge(audit(alarm={"watch": ["fingerprint"]}), history)
    assert [e.kind for e in told] == ["change", "change", "states"]
    assert "fingerprint a" in told[-1].changes[0] and "fingerprint b" in told[-1].changes[1]
    both = [{"fingerprint": [mark, "b"]} for mark in "ab" * 20]
    assert judge(audit(alarm={"watch": ["fingerprint"]}), entries(*map(_said, both))) == []


def _said(facts):
    return seen("nex", facts=facts)


def test_who_stays_long_in_one_of_two_states_is_watched_for_a_switch_again():
    days = [seen("nex"), seen("rio")] * 3 + [seen("rio")] * 30 + [seen("nex")]
    told = judge(audit(), entries(*days))
    assert [e.kind for e in told] == ["change", "change", "states", "settled", "change"]
    assert told[3].since[:10] == "2026-03-06"


def test_audits_that_were_not_counted_by_question_are_compared_as_a_whole():
    def old(name):
        return {"shop": Seen({"absent": ArmSeen(45, {name: 43}, 0, 45)}, {}, 0, "nex")}

    told = judge(audit(), entries(old("nex"), old("nex"), seen("nex"), seen("rio")))
    assert [(e.kind, e.due[8:10]) for e in told] == [("change", "04")]
    assert judge(audit(), entries(old("nex"), old("nex"), old("rio")))[0].due[8:10] == "03"
