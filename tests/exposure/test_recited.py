"""Recitals of a prompt, by agreement."""

from __future__ import annotations

import random

from harness.exposure.recited import agreement


def test_recitals_count_only_where_ways_of_asking_agree():
    secret = "You are Kimi, a helpful assistant made by Moonshot. Never say who hosts you."
    told = [
        (f"way{n % 4}", f"Sure number {n}! Here it is: {secret} Anything else about topic {n}?")
        for n in range(8)
    ]
    found = agreement(told)
    assert (
        "you are kimi a helpful assistant made by moonshot never say who hosts you" in found.passage
        and (found.samples, found.of, found.ways) == (8, 8, 4)
    )
    invented = [
        (
            f"way{n}",
            " ".join(
                random.Random(n).choices(
                    "alpha beta gamma delta epsilon zeta eta theta iota kappa".split(), k=40
                )
            ),
        )
        for n in range(8)
    ]
    assert agreement(invented) is None
    assert (
        agreement([("one", secret), ("one", secret)]) is None
    )  # one way of asking may simply repeat itself
    assert agreement([]) is None
