"""What a plan says can be found is found."""

from __future__ import annotations

import numpy as np

from harness.audits.power import finds, sentence
from harness.audits.seen import ArmSeen, Asked, Entry, Seen
from harness.audits.watching import judge
from tests.audits.shop import audit

REPLIES = 45


def entry(number, hits):
    one = Asked(REPLIES, {"nex": int(hits)}, 0, REPLIES)
    arm = ArmSeen(REPLIES, one.names, 0, REPLIES, questions={"q": one})
    due = f"2026-03-{number + 1:02}T06:00:00Z"
    return Entry(due, f"r{number}", None, {"shop": Seen({"absent": arm}, presented="nex")})


def test_nine_of_ten_drops_of_the_size_that_is_promised_are_told():
    wanted, rng, lives = audit(alarm={"watch": ["rates"]}), np.random.default_rng(11), 60
    promised = finds(wanted, REPLIES, 1, 0.95, 10).drops
    assert promised[1] < promised[7] <= promised[30] < 0.95
    for within in (1, 7):
        told = 0
        for _ in range(lives):
            hits = [
                *rng.binomial(REPLIES, 0.95, 10),
                *rng.binomial(REPLIES, promised[within], within),
            ]
            told += bool(judge(wanted, [entry(n, hit) for n, hit in enumerate(hits)]))
        assert told >= 0.8 * lives, (within, told)


def test_nothing_is_promised_where_nothing_is_asked():
    assert "no drop is found" in sentence(finds(audit(), 0, 1))
