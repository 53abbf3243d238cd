"""Who is recited, in sentences: one table of them, each with the condition under which it is said.

A donor's answers are recited where the suspect recites them more often than those of the base and
of the control, and published texts where it does so more often than the base and the control do.
Three things more have to hold, for a formula that two texts share must convict nobody: it holds
without the one passage that is recited most, and what is recited is rarer than what others have of
the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.campaign import Campaign, Settings
from harness.console import percent
from harness.counting.between import FORMULA, TEXT
from harness.counting.drawn import PLAIN
from harness.report.conditions import FEWEST
from harness.report.rows import measure_of, name_of, records, short_arm

#: The middle one of some recitals is rarer than what this share of the others have.
RARE: Final = 0.05
CHANCE: Final = ("base", "control")
Row = Mapping[str, Any]


class Recital(NamedTuple):
    """A suspect in one arm against a donor, or the texts of an identity: its row of `recitals`.

    ``chance`` are the rows that it is read beside: the suspect against the base and the control, or
    these two against the text; ``beside`` names them.
    """

    called: str
    row: Row
    chance: Sequence[Row]
    beside: str

    @property
    def verb(self) -> str:
        return "are" if self.row["against_role"] == TEXT else "is"

    @property
    def settled(self) -> bool:
        """Whether there is enough to compare, and it was asked enough."""
        rows = (self.row, *self.chance)
        return bool(self.chance) and min(one["questions"] for one in rows) >= FEWEST

    @property
    def more(self) -> bool:
        return self.settled and self.row["rate_low"] > self._chance

    @property
    def beyond_formula(self) -> bool:
        """Whether it is more without what rests on one passage alone."""
        return self.more and self.row["beyond_low"] > self._chance

    @property
    def rare(self) -> bool:
        return self.ranked and float(self.row["rank"]) <= RARE

    @property
    def ranked(self) -> bool:
        """Whether it recites anything, and others can tell how rare that is."""
        return bool(pd.notna(self.row["rank"]))

    @property
    def _chance(self) -> float:
        return max(float(one["rate_high"]) for one in self.chance)


class Sentence(NamedTuple):
    """A sentence: its name, its condition in words and in code, and its text."""

    name: str
    condition: str
    holds: Callable[[Recital], bool]
    says: Callable[[Recital], str]


def _ranked(r: Recital) -> str:
    others = int(r.row["others"])
    as_rare = round(r.row["rank"] * (1 + others)) - 1
    held = str(as_rare) if as_rare else "None"
    return (
        f"{held} of {others} replies of others in the same arm {'has' if as_rare < 2 else 'have'} "
        "a run of the same words that is as rare as the middle one of these recitals "
        f"(rank {1 + as_rare} of {1 + others})."
    )


#: In the order in which they are said.
SENTENCES: Final = (
    Sentence(
        "recited: rank",
        "a suspect recites a donor or published texts, and others that are neither suspects nor "
        "whom it recites answered in the same arm",
        lambda r: r.ranked,
        _ranked,
    ),
    Sentence(
        "recited: chance not known",
        "neither base nor control was measured",
        lambda r: not r.chance,
        lambda r: "No base and no control was measured here, so what chance gives is not known.",
    ),
    Sentence(
        "recited: few questions",
        f"one of them was, and fewer than {FEWEST} questions were",
        lambda r: bool(r.chance) and not r.settled,
        lambda r: f"That settles nothing: it takes {FEWEST} questions.",
    ),
    Sentence(
        "recited more",
        "enough questions, the lower end of the rate lies above the upper ends of what the base "
        f"and the control show, also without replies that recite but one passage (of fewer than "
        f"{FORMULA} tokens), and the rank is {100 * RARE:.0f} % or less",
        lambda r: r.beyond_formula and r.rare,
        lambda r: f"So {r.called} {r.verb} recited more often than {r.beside}.",
    ),
    Sentence(
        "recited: one passage",
        "enough questions, and the lower end lies above, but not without replies that recite but "
        "one passage",
        lambda r: r.more and not r.beyond_formula,
        lambda r: (
            f"{r.row['one_passage']} of these replies recite one and the same passage and nothing "
            f"beyond it, as where texts share a formula: so it is not settled whether {r.called} "
            f"{r.verb} recited."
        ),
    ),
    Sentence(
        "recited: not rare",
        "the lower end lies above, also without those, and the rank is more than "
        f"{100 * RARE:.0f} %, or there are no others",
        lambda r: r.beyond_formula and not r.rare,
        lambda r: (
            f"Others have as much of the same words, or too few were asked: so it is not settled "
            f"whether {r.called} {r.verb} recited."
        ),
    ),
    Sentence(
        "recited: open",
        "enough questions, and the lower end does not lie above",
        lambda r: r.settled and not r.more,
        lambda r: (
            f"So it is not settled whether {r.called} {r.verb} recited more often than {r.beside}."
        ),
    ),
)


def recited_sentences(recitals: pd.DataFrame, campaign: Campaign) -> list[str]:
    """For each suspect whose answers it recites and which texts, beside what chance gives."""
    rows = recitals[recitals["language"] == "all"]
    made: list[str] = []
    for (probe, name), mine in rows[rows["role"] == "suspect"].groupby(
        ["probe", "target"], sort=False
    ):
        if measure_of(str(probe)) == "recital":
            told = [arm for arm in campaign.arms if arm not in PLAIN]
            arm = next(arm for arm in (*PLAIN, *told) if arm in set(mine["arm"]))
            here = rows[(rows["probe"] == probe) & (rows["arm"] == arm)]
            asked = f"Asked for its story ({probe}, {short_arm(arm)}), {name} recites"
            made.extend(_of_targets(asked, str(name), here, campaign))
            made.extend(_of_texts(asked, str(name), here, campaign))
    return made


def _of_targets(asked: str, name: str, here: pd.DataFrame, campaign: Campaign) -> Iterator[str]:
    """One suspect in one arm: the donors first, then who shows what chance gives."""
    mine = records(here[(here["target"] == name) & (here["against_role"] != TEXT)])
    found = {row["against"]: row for row in mine}
    others = [t for t in campaign.targets if t.name in found and t.role != "suspect"]
    if not others:
        return
    donors = [t for t in others if t.role == "donor"]
    chance = [t for t in others if t.role != "donor"]
    own = found.get(name)
    counts = [f"of {_called(t)} {_count(found[t.name])}" for t in [*donors, *chance]]
    again = f"; its own {_count(own)}" if own else ""
    exact = _exact(found[donors[0].name]) if len(donors) == 1 else ""
    rest = "".join(f", {c}" for c in counts[1:])
    yield f"{asked} answers {counts[0]} replies{exact}{rest}{again}."
    beside = [found[t.name] for t in chance]
    for donor in donors:
        yield from _said(Recital(_called(donor), found[donor.name], beside, _roles(beside)))


def _of_texts(asked: str, name: str, here: pd.DataFrame, campaign: Campaign) -> Iterator[str]:
    """One suspect in one arm: the published texts that it recites."""
    texts = here[here["against_role"] == TEXT]
    for row in records(texts[texts["target"] == name]):
        if not row["reciting"]:
            continue
        same = records(texts[texts["against"] == row["against"]])
        chance = [one for one in same if one["role"] in CHANCE]
        called = f"the published texts of {name_of('recital', str(row['against_identity']))}"
        counts = "".join(
            f", {_called(t)} {_count(one)}"
            for t in campaign.targets
            for one in same
            if one["target"] == t.name and t.role != "suspect"
        )
        yield f"{asked} {called} {_count(row)} replies{_exact(row)}{counts}."
        roles = [{"against_role": one["role"]} for one in chance]
        yield from _said(Recital(called, row, chance, f"by {_roles(roles)}"))


def _said(recital: Recital) -> Iterator[str]:
    return (one.says(recital) for one in SENTENCES if one.holds(recital))


def _called(target: Settings) -> str:
    return f"the {target.role}" if target.name == target.role else f"{target.name} ({target.role})"


def _roles(rows: Sequence[Row]) -> str:
    return " and ".join(sorted({f"the {one['against_role']}" for one in rows}))


def _count(row: Row) -> str:
    return f"in {row['reciting']} of {row['samples']}"


def _exact(row: Row) -> str:
    rate = percent(*(row[name] for name in ("rate", "rate_low", "rate_high")))
    said = rate.replace(" (", " %, interval ").replace(")", " %")
    return f" ({said}; longest run {row['longest_run_tokens']} words)"
