"""Two runs compared: which rates changed, and what else is different.

Rates are tested over the questions that both runs answered, as a whole and question by question,
and corrected for the number of looks. What only one run has is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import pandas as pd

from harness.campaign import Campaign
from harness.counting.compact import COUNTED
from harness.counting.counted import Counted, Places, counted
from harness.counting.dependence import READ, Dependence, Repeats, together
from harness.counting.difference import Permuted
from harness.counting.lengths import band
from harness.counting.pairs import ADJUSTED, COMPARED_COLUMNS, adjust, compared
from harness.counting.tally import counted_columns
from harness.encodings import open_text, refused
from harness.errors import RunError
from harness.journal import Run, campaign_of, find_run

#: Measures that a change is looked for in.
WATCHED: Final = ("name", "maker", "recital", "stance")
#: What a target says of itself with each reply, and what is known of its template.
ABOUT: Final = ("model", "fingerprint", "provider", "template_sha256")
COLUMNS: Final = (
    *("target", "arm", "probe", "measure", "identity"),
    *COMPARED_COLUMNS,
    "changed",
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

    Columns `COLUMNS`; rates with ``changed`` are drift. ``alone`` are targets, arms and probes,
    ``unshared`` questions of the others, which only one run answered; nothing is tested by them.
    ``notes`` say where repeats are not independent.
    """

    rates: pd.DataFrame
    changes: list[Change]
    alone: list[str]
    unshared: list[str]
    notes: list[str]

    @property
    def drifted(self) -> pd.DataFrame:
        return self.rates[self.rates["changed"]]


def read_samples(path: Path) -> tuple[pd.DataFrame, Dependence]:
    """The counted columns of a stored `samples.csv`, as a baseline, and what its repeats show.

    Raises
    ------
    RunError
        The file is none.
    """
    try:
        with open_text(path) as stored:
            frame = pd.read_csv(stored, keep_default_na=False, na_values=["NA"], dtype=str)
    except UnicodeDecodeError as problem:
        raise refused(path, problem, RunError) from None
    except (OSError, ValueError) as problem:
        raise RunError(
            f"the baseline cannot be read: {problem}",
            where=str(path),
            next="give a run, or a samples.csv that truename tally wrote",
        ) from None
    if "recital_denied" not in frame.columns:  # a table of before: none was marked
        frame["recital_denied"] = "False"
    if missing := {*COUNTED, *READ} - {*frame.columns, "band"}:
        raise RunError(
            f"the baseline lacks the columns {', '.join(sorted(missing))}",
            where=str(path),
            next="give a run, or a samples.csv that truename tally wrote",
        )
    for name in ("recited_share_of_reference", "rendered_prompt_tokens", "prompt_tokens_reported"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame["band"] = [band(text) if isinstance(text, str) else None for text in frame["reply"]]
    for name in ("abstained", "recital_denied"):
        frame[name] = frame[name].map({"True": True, "False": False})
    repeats = Repeats()
    repeats.add_table(frame)
    return frame[[*COUNTED]], repeats.found()


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
        first, of_first = read_samples(Path(before))
    else:
        first, of_first = _samples(find_run(before, results, store))
    second, of_second = _samples(later)
    return compare(first, second, campaign_of(later), alpha, together(of_first, of_second))


def _samples(run: Run) -> tuple[pd.DataFrame, Dependence]:
    return counted_columns(run.journal, campaign_of(run))


def told(found: Comparison) -> list[str]:
    """What differs, a line each."""
    changes = [f"{c.target}: {c.what}: {c.before} -> {c.after}" for c in found.changes]
    rates = [sentence(row) for row in found.drifted.to_dict("records")]
    alone = [f"only in one run: {side}" for side in found.alone]
    return [*changes, *rates, *alone, *found.unshared, *found.notes]


def compare(
    before: pd.DataFrame,
    after: pd.DataFrame,
    campaign: Campaign,
    alpha: float,
    dependence: Dependence,
) -> Comparison:
    """Compare the samples of two runs, by target, arm, probe, measure and identity.

    A rate has changed where the test of the difference or that of the differences by question,
    adjusted over all of both (Holm), is under ``alpha``. Only questions that both runs answered are
    tested (`harness.counting.difference`).
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
    unshared: list[str] = []
    for target, arm, probe, places in run.groups():
        first, second = places[~later[places]], places[later[places]]
        if len(first) and len(second):
            about = {"target": target, "arm": arm, "probe": probe}
            permuted = dependence.permuted((target, arm))
            rows += [about | row for row in _compared(run, probe, first, second, permuted)]
            unshared += _unshared(f"{target} {arm} {probe}", run, first, second)
        else:
            alone.add(f"{target} {arm} {probe}")
    adjust(rows)
    for row in rows:
        row["changed"] = any(row.get(p) is not None and row[p] < alpha for p in ADJUSTED)
    rates = pd.DataFrame(rows, columns=COLUMNS)
    rates["changed"] = rates["changed"].astype(bool)
    return Comparison(rates, _changes(before, after), sorted(alone), unshared, dependence.notes)


def _of_campaign(samples: pd.DataFrame, campaign: Campaign) -> pd.Series[bool]:
    """Which samples are of a target, an arm and a probe that the campaign has."""
    targets = {t.name for t in campaign.targets}
    return (
        samples["target"].isin(targets)
        & samples["arm"].isin(set(campaign.arms))
        & samples["probe"].isin(set(campaign.probes))
    )


def _compared(
    run: Counted, probe: str, first: Places, second: Places, permuted: Permuted
) -> Iterator[dict[str, Any]]:
    """Every watched rate of one target, arm and probe."""
    both = run.at(first), run.at(second)
    for measure, identity in run.pairs(probe):
        if measure.name in WATCHED:
            held = run.held[measure.name, identity]
            first_side, second_side = (inside.by_question(held) for inside in both)
            if row := compared(first_side, second_side, permuted):
                yield {"measure": measure.name, "identity": identity} | row


def _unshared(about: str, run: Counted, first: Places, second: Places) -> Iterator[str]:
    """How many questions only one run answered, if any."""
    old, new = (set(run.questions[p[run.scored[p]]].tolist()) for p in (first, second))
    if old != new:
        yield (
            f"{about}: {len(old & new)} questions are compared; {len(old - new)} that only the "
            f"first run answered and {len(new - old)} that only the second did are left out"
        )


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
    about = f"{row['target']} {row['arm']} {row['probe']}: {row['measure']} {row['identity']}"
    said = f"{about} from {before} to {after}, adjusted p {row['p_holm']:.2g}"
    by_question = row["p_by_question_holm"]
    if pd.isna(by_question) or row["p_holm"] <= by_question:
        return said
    return (
        f"{said}; by question it differs by {100 * row['by_question']:.0f} points on average, "
        f"where chance gives {100 * row['by_question_chance']:.0f}, adjusted p {by_question:.2g}"
    )


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
