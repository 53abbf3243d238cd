"""From a history to events: one change is one alarm."""

from __future__ import annotations

from harness.audits.watching import ArmSeen, Entry, Seen, judge
from tests.audits.shop import audit


def seen(name, samples=45, tokens=20, model="m", long=10):
    return {
        "shop": Seen(
            {
                "absent": ArmSeen(
                    samples,
                    {name: samples - 2},
                    1,
                    samples,
                    {"5": long},
                    {f"t{i}": tokens + i for i in range(9)},
                )
            },
            {"model": [model]},
            0,
            "nex",
        )
    }


def entries(*days):
    return [
        Entry(f"2026-03-{n:02d}T06:00:00Z", f"run-{n}", None if found else "down", found or {})
        for n, found in enumerate(days, 1)
    ]


def test_one_change_is_one_alarm_with_everything_that_changed():
    history = entries(*[seen("nex")] * 5, *[seen("rio", tokens=42, model="m2", long=40)] * 5)
    (event,) = judge(audit(), history)
    assert (event.kind, event.target, event.due[8:10], event.since[8:10]) == (
        "change",
        "shop",
        "06",
        "06",
    )
    said = "\n".join(event.changes)
    assert (
        "replies that give the name nex: 43 of 45" in said
        and "give another name" in said
        and "longer than 32" in said
    )
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
        judge(audit(alarm={"watch": ["silence"]}), entries(seen("nex"), seen("rio", model="x")))
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
