"""When a sentence of the story may be said.

- A verdict takes `FEWEST` questions. With fewer, one odd question weighs over 8 %, and no hit at
  all in 11 questions leaves up to 28.5 % possible.
- Nothing is decided where more than `MOST_MISSING` of the replies are missing: had they all said
  the one thing or the other, they would outvote those that were scored.
- What decides are the outer ends `least` and `most`: whatever the missing replies would have said.
"""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from harness.counting import missing
from harness.report.facts import Arm, Facts, Said
from harness.report.rows import short_arm

#: Questions that a verdict takes.
FEWEST: Final = 12
#: The share of missing replies above which there is no verdict.
MOST_MISSING: Final = 0.5
#: Half of a name's hits from no more than this share of the questions: few questions carry it.
FEW: Final = 0.1
#: Hits that it takes to say so.
HITS: Final = 10
#: Missing replies are uneven over arms or questions where chance gives that no oftener.
UNEVEN: Final = 0.01


def enough(arm: Arm) -> bool:
    """Whether so much was asked and scored in an arm that a verdict may rest on it."""
    return arm.questions >= FEWEST and arm.missing_share <= MOST_MISSING


def few_questions(f: Facts) -> bool:
    return f.plain is not None and f.plain.questions < FEWEST


def too_many_missing(f: Facts) -> bool:
    return f.plain is not None and f.plain.missing_share > MOST_MISSING


def contradicted(f: Facts) -> bool:
    return f.plain is not None and enough(f.plain) and _more(f.plain.other, f.plain.claimed)


def _more(one: Said | None, other: Said | None) -> bool:
    """Whether one name is given more often than the other, whatever the missing replies said."""
    return one is not None and other is not None and one.known.least > other.known.most


def supported(f: Facts) -> bool:
    if f.plain is None or not enough(f.plain) or f.plain.claimed is None:
        return False
    least = f.plain.claimed.known.least
    return least > 0.5 and all(least > other.known.most for other in f.plain.others)


def undecided(f: Facts) -> bool:
    return f.plain is not None and enough(f.plain) and not contradicted(f) and not supported(f)


def turned_by_missing(f: Facts) -> bool:
    """Whether the scored replies would have settled it, but for those that are missing."""
    if not undecided(f) or f.plain is None or f.plain.claimed is None:
        return False
    claimed, others = f.plain.claimed.known, [other.known for other in f.plain.others]
    against = bool(others) and others[0].low > claimed.high
    return against or (claimed.low > 0.5 and all(claimed.low > o.high for o in others))


def by_classifier(f: Facts) -> bool:
    """Whether the rates are the classifier's alone."""
    return f.plain is not None and f.plain.claimed is not None and not f.plain.claimed.known.read


def appears_untold(f: Facts) -> bool:
    """Whether the claimed name is given more often where no system message is sent."""
    if f.absent is None or f.plain is None or not (enough(f.absent) and enough(f.plain)):
        return False
    return _more(f.absent.claimed, f.plain.claimed)


def known_template(f: Facts) -> bool:
    return bool(f.injected.get(f.target, "").strip())


def given_beside(f: Facts) -> bool:
    return contradicted(f) and bool(beside(f))


def _holds_elsewhere(f: Facts) -> bool:
    assert f.plain is not None and f.plain.claimed is not None
    low, high = f.plain.claimed.elsewhere
    if contradicted(f):
        assert f.plain.other is not None
        return f.plain.other.elsewhere[0] > high
    return low > 0.5 and all(low > other.elsewhere[1] for other in f.plain.others)


def only_these_languages(f: Facts) -> bool:
    if f.plain is None or not (contradicted(f) or supported(f)):
        return False
    return f.plain.languages > 1 and not _holds_elsewhere(f)


def carried(said: Said | None, questions: int) -> bool:
    """Whether few questions give half of a name's hits."""
    if said is None or said.hits < HITS:
        return False
    return int(said.row["half_from"]) <= FEW * questions


def carried_names(f: Facts) -> list[Said]:
    if f.plain is None:
        return []
    names = (f.plain.claimed, f.plain.other)
    return [s for s in names if s is not None and carried(s, f.plain.questions)]


def uneven(f: Facts, by: str) -> list[Arm]:
    return [a for a in f.arms.values() if a.scored and a.p_missing(by) < UNEVEN]


def beside(f: Facts) -> list[str]:
    """The same name in the same arm, from the other targets."""
    assert f.plain is not None and f.plain.other is not None
    arm, other = f.plain, f.plain.other
    rows = f.names[(f.names["arm"] == arm.label) & (f.names["identity"] == other.identity)]
    counts = {
        str(target): f"{int(hits)} of {int(samples)}"
        for target, hits, samples in zip(rows["target"], rows["hits"], rows["samples"], strict=True)
        if samples
    }
    return [
        f"{t.name if t.role == t.name else f'{t.name} ({t.role})'} {counts[t.name]}"
        for t in f.campaign.targets
        if t.role != "suspect" and t.name in counts
    ]


def in_full(f: Facts) -> list[str]:
    """Targets and arms that could have been stopped early, and were sampled in full for repeats
    that do not look independent.
    """
    if f.campaign.stop is None or "repeats" not in f.names:
        return []
    rows = f.names.drop_duplicates(["target", "arm"])
    return [
        f"{row['target']} {short_arm(str(row['arm']))}"
        for _, row in rows.iterrows()
        if pd.notna(row["repeats"]) and row["repeats"] != "independent" and _all_asked(f, row)
    ]


def _all_asked(f: Facts, row: pd.Series[Any]) -> bool:
    """Whether an arm has as many samples as the campaign asks for."""
    if not row["samples"]:
        return False
    asked = int(row["samples"]) + sum(missing.by_status(row).values())
    return asked >= int(row["questions"]) * f.campaign.samples_of(str(row["probe"]))
