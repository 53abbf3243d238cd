"""Two runs compared: which rates changed, and what else is different.

Rates are tested by question, and corrected for the number of looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import stats
from harness.campaign import Campaign
from harness.counting.compact import COUNTED
from harness.counting.counted import ByQuestion, Counted, Places, counted
from harness.counting.pairs import compared, shown_p
from harness.counting.tally import counted_columns
from harness.errors import RunError
from harness.journal import Run, campaign_of, find_run

#: Measures that a change is looked for in.
WATCHED: Final = ("name", "maker", "recital", "stance")
#: What a target says of itself with each reply, and what is known of its template.
ABOUT: Final = ("model", "fingerprint", "provider", "template_sha256")
COLUMNS: Final = (
    *("target", "arm", "probe", "measure", "identity"),
    *("samples_a", "hits_a", "rate_a", "samples_b", "hits_b", "rate_b"),
    *("difference", "difference_low", "difference_high", "cohens_h"),
    *("questions_shared", "p_value", "p_holm", "changed"),
)
_NOT_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: How many values are listed of those that differ.
LISTED: Final = 5


class Change(NamedTuple):
    """Something beside the rates that differs: of which target, what, before and after."""

    target: str
    what: str
    before: str
    after: str


class Comparison(NamedTuple):
    """All rates side by side, what else differs, and what only one run has.

    Columns `COLUMNS`; rates with ``changed`` are drift.
    """

    rates: pd.DataFrame
    changes: list[Change]
    alone: list[str]

    @property
    def drifted(self) -> pd.DataFrame:
        return self.rates[self.rates["changed"]]


def read_samples(path: Path) -> pd.DataFrame:
    """The counted columns of a stored `samples.csv`, as a baseline.

    Raises
    ------
    RunError
        The file is none.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=["NA"], dtype=str)
    except (OSError, ValueError) as problem:
        raise RunError(
            f"the baseline cannot be read: {problem}",
            where=str(path),
            next="give a run, or a samples.csv that truename tally wrote",
        ) from None
    if missing := set(COUNTED) - set(frame.columns):
        raise RunError(
            f"the baseline lacks the columns {', '.join(sorted(missing))}",
            where=str(path),
            next="give a run, or a samples.csv that truename tally wrote",
        )
    for name in ("recited_share_of_reference", "rendered_prompt_tokens", "prompt_tokens_reported"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame["abstained"] = frame["abstained"].map({"True": True, "False": False})
    return frame[[*COUNTED]]


def compare_runs(
    before: str, after: str, results: Path, store: str | None, alpha: float
) -> Comparison:
    """Compare two runs by name; ``before`` may be a stored samples.csv.

    Raises
    ------
    RunError
        There is no such run, or the two have nothing in common.
    """
    later = find_run(after, results, store)
    if before.endswith(".csv"):
        first = read_samples(Path(before))
    else:
        first = _samples(find_run(before, results, store))
    return compare(first, _samples(later), campaign_of(later), alpha)


def _samples(run: Run) -> pd.DataFrame:
    return counted_columns(run.journal, campaign_of(run))


def told(found: Comparison) -> list[str]:
    """What differs, a line each."""
    changes = [f"{c.target}: {c.what}: {c.before} -> {c.after}" for c in found.changes]
    rates = [sentence(row) for row in found.drifted.to_dict("records")]
    return [*changes, *rates, *(f"only in one run: {side}" for side in found.alone)]


def compare(
    before: pd.DataFrame, after: pd.DataFrame, campaign: Campaign, alpha: float = 0.05
) -> Comparison:
    """Compare the samples of two runs, by target, arm, probe, measure and identity.

    A rate has changed where the permutation test within questions, adjusted over all rates of both
    runs (Holm), is under ``alpha``. Only questions that both runs asked are tested.
    """
    both = pd.concat(
        [before.astype(object).assign(run=0), after.astype(object).assign(run=1)], ignore_index=True
    )
    fits = _of_campaign(both, campaign)
    strange = both.loc[~fits, ["target", "arm", "probe"]].drop_duplicates().itertuples(index=False)
    alone = {" ".join(map(str, side)) for side in strange}
    both = both[fits].reset_index(drop=True)
    if both.empty or both["run"].nunique() < 2:
        raise RunError(
            "the two runs have no target, arm and probe in common",
            next="compare runs of one campaign",
        )
    run = counted(both, campaign)
    later = (both["run"] == 1).to_numpy()
    rows: list[dict[str, Any]] = []
    for target, arm, probe, places in run.groups():
        first, second = places[~later[places]], places[later[places]]
        if len(first) and len(second):
            about = {"target": target, "arm": arm, "probe": probe}
            rows += [about | row for row in _compared(run, probe, first, second)]
        else:
            alone.add(f"{target} {arm} {probe}")
    for row, adjusted in zip(rows, stats.holm([row["p_value"] for row in rows]), strict=True):
        row |= {
            "p_value": shown_p(row["p_value"]),
            "p_holm": shown_p(adjusted),
            "changed": adjusted < alpha,
        }
    rates = pd.DataFrame(rows, columns=COLUMNS)
    rates["changed"] = rates["changed"].astype(bool)
    return Comparison(rates, _changes(before, after), sorted(alone))


def _of_campaign(samples: pd.DataFrame, campaign: Campaign) -> pd.Series[bool]:
    """Which samples are of a target, an arm and a probe that the campaign has."""
    targets = {t.name for t in campaign.targets}
    return (
        samples["target"].isin(targets)
        & samples["arm"].isin(set(campaign.arms))
        & samples["probe"].isin(set(campaign.probes))
    )


def _compared(run: Counted, probe: str, first: Places, second: Places) -> Iterator[dict[str, Any]]:
    """Every watched rate of one target, arm and probe."""
    for measure, identity in run.pairs(probe):
        if measure.name in WATCHED:
            held = run.held[measure.name, identity]
            row = compared(_shared(run, first, second, held), _shared(run, second, first, held))
            if row:
                yield {"measure": measure.name, "identity": identity} | row


def _shared(
    run: Counted, places: Places, others: Places, held: npt.NDArray[np.bool_]
) -> ByQuestion:
    """Counts of one side in the questions that the other side was asked too."""
    asked = set(run.questions[others].tolist())
    return run.by_question(places[[int(q) in asked for q in run.questions[places]]], held)


def _changes(before: pd.DataFrame, after: pd.DataFrame) -> list[Change]:
    found = []
    for target in sorted(set(before["target"]) & set(after["target"])):
        first, second = before[before["target"] == target], after[after["target"] == target]
        for what in ABOUT:
            if what in first and what in second:
                old, new = (set(side[what].dropna().astype(str)) for side in (first, second))
                if old != new:
                    found.append(Change(target, what, _listed(old), _listed(new)))
        for arm in sorted(set(first["arm"]) & set(second["arm"])):
            old_arm, new_arm = first[first["arm"] == arm], second[second["arm"] == arm]
            was, now = _median(old_arm), _median(new_arm)
            same_questions = set(old_arm["question"]) == set(new_arm["question"])
            if was is not None and now is not None and was != now and same_questions:
                what = f"median prompt tokens under {arm}"
                found.append(Change(target, what, f"{was:g}", f"{now:g}"))
    return found


def _median(side: pd.DataFrame) -> float | None:
    reported = side["prompt_tokens_reported"].astype(float)
    tokens = side["rendered_prompt_tokens"].astype(float).fillna(reported).dropna()
    return float(tokens.median()) if len(tokens) else None


def _listed(values: set[str]) -> str:
    if not values:
        return "not given"
    more = f" and {len(values) - LISTED} more" if len(values) > LISTED else ""
    return ", ".join(sorted(values)[:LISTED]) + more


def junit(found: Comparison, before: str, after: str) -> bytes:
    """The comparison as JUnit XML.

    A test case for each target, arm, probe and measure, failed where a rate changed.
    """
    suite = ElementTree.Element("testsuite", name=f"truename compare {before} {after}")
    failed = 0
    groups = found.rates.groupby(["target", "arm", "probe", "measure"], sort=False)
    for (target, arm, probe, measure), rows in groups:
        about = {"classname": _xml(f"{target}.{arm}"), "name": _xml(f"{probe}: {measure}")}
        case = ElementTree.SubElement(suite, "testcase", about)
        drifted = [_xml(sentence(row)) for row in rows[rows["changed"]].to_dict("records")]
        if drifted:
            failed += 1
            said = "\n".join(drifted)
            about = {"type": "drift", "message": said.splitlines()[0]}
            ElementTree.SubElement(case, "failure", about).text = said
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failed))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def sentence(row: Any) -> str:
    """One change in words."""
    before, after = (
        f"{row[f'hits_{side}']} of {row[f'samples_{side}']} ({100 * row[f'rate_{side}']:.1f} %)"
        for side in "ab"
    )
    return (
        f"{row['target']} {row['arm']} {row['probe']}: {row['measure']} {row['identity']} "
        f"from {before} to {after}, adjusted p {row['p_holm']:.2g}"
    )


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
