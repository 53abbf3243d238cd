"""From a history to events: one change is one alarm."""

from __future__ import annotations

import numpy as np
import pytest

from harness.audits.instants import stamp
from harness.audits.keeping import USED_UP
from harness.audits.seen import SLOWER, TICK_S, ArmSeen, Asked, Entry, Seen
from harness.audits.watching import Accepted, judge
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


def kinds(told):
    return [(e.witness, e.kind, e.due[8:10]) for e in told]


def test_each_witness_that_changes_is_one_alarm_in_words_that_say_what_to_do():
    history = entries(
        *[seen("nex")] * 5, *[seen("rio", tokens=42, facts={"model": ["m2"]}, long=3)] * 5
    )
    told = judge(audit(), history)
    assert kinds(told) == [
        ("rates", "change", "06"),
        ("model", "change", "06"),
        ("prompt_tokens", "change", "06"),
        ("lengths", "change", "09"),
    ]
    rates, model, tokens, _ = told
    assert rates.headline == (
        "watch: shop has changed since 2026-03-06T06:00:00Z: the names that it gives"
    )
    said = "\n".join(rates.changes)
    assert "replies that give the name nex: 215 of 225 (95.6 %) before, 0 of 45" in said
    assert "give another name" in said and rates.p_value < 0.01
    assert "if it is wanted: truename audit accept watch --target shop" in rates.next
    assert model.changes == ["model: m before, m2 now"]
    assert "prompts have +22 tokens" in tokens.changes[0] and "truename inspect" in tokens.next
    assert judge(audit(), history) == judge(audit(), history)


def test_a_fact_that_changes_leaves_the_rates_their_baseline():
    """The name's rate falls in the audit in which a fingerprint changes too: one alarm each."""
    rng = np.random.default_rng(7)
    old = [drawn(rng, 0.95, facts={"fingerprint": ["a"]}) for _ in range(10)]
    new = [drawn(rng, 0.7, facts={"fingerprint": ["b"]}) for _ in range(8)]
    wanted = audit(alarm={"watch": ["rates", "fingerprint"]})
    told = judge(wanted, entries(*old, *new))
    assert sorted(e.witness for e in told) == ["fingerprint", "rates"]
    (rates,) = (e for e in told if e.witness == "rates")
    assert rates.since[8:10] == "11" and rates.due[8:10] <= "13"


def test_silence_recovery_and_a_return_are_told_once_each_and_close_what_they_end():
    days = [seen("nex"), seen("nex"), None, None, seen("nex"), seen("rio"), seen("rio")]
    told = judge(audit(), entries(*days, seen("nex")))
    assert kinds(told) == [
        ("silence", "silence", "03"),
        ("silence", "recovered", "05"),
        ("rates", "change", "06"),
        ("rates", "returned", "08"),
    ]
    assert told[1].closes == [told[0].event] and told[3].closes == [told[2].event]


def failing(failed, problem=None, arm="absent", **said):
    """What an audit saw that lost some of its 45 samples."""
    found = seen("nex", **said)["shop"]
    one = found.arms["absent"]
    one.asked, one.failed, one.errors = 45, failed, ["HTTP 500: oops"] if failed else []
    if failed == 45:
        found.arms = {"absent": ArmSeen(asked=45, failed=45, errors=["HTTP 500: oops"])}
    found.problem = problem
    return found


def test_one_of_two_targets_that_refuses_is_the_silence_of_that_one():
    refused = Seen(presented="rio", problem="HTTP 401: the key is refused")
    days = [{"shop": failing(0), "other": failing(0)}] * 2
    days += [{"shop": failing(0), "other": refused}] * 4 + days
    told = judge(audit(), entries(*days))
    assert [(e.target, e.kind, e.due[8:10]) for e in told] == [
        ("other", "silence", "03"),
        ("other", "recovered", "07"),
    ]
    assert "HTTP 401" in told[0].changes[0]


def test_a_target_that_answers_in_part_is_one_degraded_state_whatever_each_audit_lost():
    days = [failing(0)] * 2 + [failing(n) for n in (36, 37, 45, 30, 45, 45, 12)] + [failing(1)]
    told = judge(audit(), entries(*({"shop": day} for day in days)))
    assert [(e.kind, e.due[8:10]) for e in told] == [("degraded", "03"), ("recovered", "10")]
    assert told[0].changes == ["36 of 45 (80.0 %) of the samples failed; HTTP 500: oops"]
    assert told[0].severity == "warning" and told[1].severity == "warning"
    late = judge(audit(alarm={"after": 3}), entries(*({"shop": day} for day in days)))
    assert [(e.kind, e.due[8:10], e.since[8:10]) for e in late] == [
        ("degraded", "05", "03"),
        ("recovered", "10", "10"),
    ]
    dead = days[:3] + [failing(45)] * 4
    told = judge(audit(), entries(*({"shop": day} for day in dead)))
    assert [(e.kind, e.due[8:10]) for e in told] == [("degraded", "03"), ("silence", "06")]
    assert told[1].closes == [told[0].event]


def test_an_arm_that_fails_alone_is_told_by_its_name():
    def both(failed):
        one = failing(0)
        lost = ArmSeen(asked=45, failed=failed, replies=45 - failed, errors=["HTTP 400: no system"])
        return {"shop": Seen({**one.arms, "empty": lost}, one.facts, failed, "nex")}

    told = judge(audit(), entries(both(0), both(20), both(20), both(0)))
    assert [(e.kind, e.due[8:10]) for e in told] == [("degraded", "02"), ("recovered", "04")]
    assert told[0].changes[0].startswith("under empty, 20 of 45")


def numbered(history):
    return [entry._replace(number=n + 1) for n, entry in enumerate(history)]


def test_what_is_watched_from_some_audit_on_is_not_judged_before():
    marks = [{"fingerprint": [mark]} for mark in "aabbbbcc"]
    history = numbered(entries(*(seen("nex", facts=fact) for fact in marks)))
    wanted = audit(alarm={"watch": ["rates", "fingerprint"]})
    since = {"watch rates": 0, "watch fingerprint": 4}
    assert kinds(judge(wanted, history, since=since)) == [("fingerprint", "change", "07")]
    assert len(judge(wanted, history)) == 2


def test_a_change_that_is_accepted_is_what_it_should_be_from_then_on():
    days = [seen("nex")] * 4 + [seen("rio")] * 6 + [seen("nex")] * 2
    history = numbered(entries(*days))
    told = judge(audit(), history)
    assert [(e.kind, e.due[8:10]) for e in told if e.witness == "rates"] == [
        ("change", "05"),
        ("returned", "11"),
    ]
    told = judge(audit(), history, accepted=[Accepted(6, "shop", None)])
    assert [(e.kind, e.due[8:10]) for e in told if e.witness == "rates"] == [
        ("change", "05"),
        ("change", "11"),
    ]


def test_an_arm_that_is_added_is_watched_from_then_on():
    def two(name):
        one = seen("nex")["shop"]
        return {
            "shop": Seen({**one.arms, "empty": seen(name)["shop"].arms["absent"]}, {}, 0, "nex")
        }

    told = judge(audit(), entries(*[seen("nex")] * 6, *[two("nex")] * 4, *[two("rio")] * 2))
    assert kinds(told) == [("rates", "change", "11")]
    assert told[0].since[8:10] == "11" and told[0].changes[0].startswith("under empty, ")


def test_slower_replies_are_told_if_watched_and_only_from_twice_as_long_on():
    rng = np.random.default_rng(8)

    def timed(seconds):
        found = seen("nex")
        for one in found["shop"].arms["absent"].questions.values():
            took = seconds * rng.lognormal(0, 0.3, 3)
            one.timed = 3
            one.slower = {str(k): int((took > TICK_S * 2**k).sum()) for k in SLOWER}
        return found

    days = entries(*(timed(1.7 if n % 3 else 1) for n in range(12)), *(timed(5) for _ in range(5)))
    (told,) = judge(audit(alarm={"watch": ["latency"]}), days)
    assert (told.witness, told.since[8:10], told.severity) == ("latency", "13", "warning")
    assert "replies that take longer than" in told.changes[0]
    assert judge(audit(), days) == []


def test_a_week_off_is_told_and_so_is_a_months_budget():
    week = [*entries(seen("nex"), seen("nex")), *entries(*[seen("nex")] * 10)[9:]]
    (gap,) = judge(audit(), week)
    assert (gap.kind, gap.since[8:10], gap.due[8:10]) == ("gap", "02", "10")
    assert gap.changes == ["7 audits were due and not made; what changed meanwhile was not seen"]
    capped = audit(budget={"month": {"requests": 100}})
    paid = [e._replace(spent=(26, 0, 0.0)) for e in entries(*[seen("nex")] * 4)]
    off = paid[0]._replace(due="2026-03-05T06:00:00Z", seen={}, reason=USED_UP, spent=(0, 0, 0.0))
    told = judge(capped, [*paid, off])
    assert [(e.kind, e.due[8:10], e.severity) for e in told] == [
        ("budget", "02", "info"),
        ("budget", "04", "critical"),
    ]
    assert "has used 52 % of the budget of 2026-03: 52 of 100 requests" in told[0].headline


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
    assert (changed.kind, back.kind, told.kind) == ("change", "returned", "states")
    assert "it is again as it was first at 2026-03-01" in back.changes[-1]
    assert "goes back and forth between states since 2026-03-02T06:00:00Z" in told.headline
    assert "2 of 4 (50.0 %) of the audits; under absent nex" in told.changes[0]
    third = entries(*(e.seen for e in history), *[seen("rio", long=0)] * 4)
    told = [e.kind for e in judge(audit(), third) if e.witness == "rates"]
    assert told == ["change", "returned", "states", "change"]
    assert judge(audit(alarm={"wander": [0.3, 0.9]}), history) == []


def test_fingerprints_that_alternate_are_one_event_too():
    facts = [{"fingerprint": [mark]} for mark in "ab" * 20]
    history = entries(*(seen("nex", facts=fact) for fact in facts))
    told = judge(audit(alarm={"watch": ["fingerprint"]}), history)
    assert [e.kind for e in told] == ["change", "returned", "states"]
    assert "a in 2 of 4 (50.0 %); b in 2 of 4 (50.0 %)" in told[-1].changes[0]
    assert told[-1].since[8:10] == "02"
    both = [{"fingerprint": [mark, "b"]} for mark in "ab" * 20]
    assert judge(audit(alarm={"watch": ["fingerprint"]}), entries(*map(_said, both))) == []


def _said(facts):
    return seen("nex", facts=facts)


def test_who_stays_long_in_one_of_two_states_is_watched_for_a_switch_again():
    days = [seen("nex"), seen("rio")] * 3 + [seen("rio")] * 30 + [seen("nex")]
    told = judge(audit(), entries(*days))
    assert [e.kind for e in told] == ["change", "returned", "states", "settled", "change"]
    assert told[3].since[:10] == "2026-03-06"


def test_audits_that_were_not_counted_by_question_are_compared_as_a_whole():
    def old(name):
        return {"shop": Seen({"absent": ArmSeen(45, {name: 43}, 0, 45)}, {}, 0, "nex")}

    told = judge(audit(), entries(old("nex"), old("nex"), seen("nex"), seen("rio")))
    assert [(e.kind, e.due[8:10]) for e in told] == [("change", "04")]
    assert judge(audit(), entries(old("nex"), old("nex"), old("rio")))[0].due[8:10] == "03"
