"""YAML of strangers is read within bounds."""

from __future__ import annotations

import pytest

from harness.campaign import parse
from harness.errors import CampaignError

NINE = ", ".join


def bomb(levels):
    """A few lines that stand for 9 ** levels values."""
    lines = ["a0: &a0 [" + NINE(["x"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [{NINE([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb(12), "its aliases stand for more than"),
        (bomb(12).replace("[", "{k: [").replace("]", "]}"), "its aliases stand for more than"),
        ("a: &a [*a]\n", "lists and mappings stand in each other"),
        ("a: " + "[" * 70 + "]" * 70, "lists and mappings stand in each other"),
        ("a: " + "[" * 100_000, "not valid YAML"),
        ("a: " + "x" * 2_000_001, "letters"),
    ],
)
def test_few_letters_that_stand_for_too_much_are_refused(text, said):
    with pytest.raises(CampaignError, match=said):
        parse(text, "strange.yaml", CampaignError)


def test_aliases_of_people_are_read():
    text = "base: &base {engine: embedded, n: 1}\ntargets: [*base, {also: *base}]\n"
    assert parse(text, "own.yaml", CampaignError)["targets"] == [
        {"engine": "embedded", "n": 1},
        {"also": {"engine": "embedded", "n": 1}},
    ]
    assert len(parse(bomb(3), "own.yaml", CampaignError)["a2"]) == 9
