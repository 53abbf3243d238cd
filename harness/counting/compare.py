"""Two runs compared: which rates changed, tested by question and corrected for the number of looks; and what else is different."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import pandas as pd

from harness import stats
from harness.campaign import Campaign
from harness.counting.compact import COUNTED
from harness.counting.counted import ByQuestion, Counted, counted
from harness.counting.pairs import compared, shown_p
from harness.counting.tally import tally
from harness.errors import RunError
from harness.journal import Run, campaign_of, find_run

#: Measures that a change is looked for in.
WATCHED: Final = ("name", "maker", "recital", "stance")
#: What a target says of itself with each reply, and what is known of its template.
ABOUT: Final = ("model", "fingerprint", "provider", "template_sha256")
COLUMNS: Final = "target arm probe measure identity samples_a hits_a rate_a samples_b hits_b rate_b difference difference_low difference_high cohens_h questions_shared p_value p_holm changed".split()


class Change(NamedTuple):
    """Something beside the rates that differs: of which target, what, before and after."""

    target: str
    what: str
    before: str
    after: str


class Comparison(NamedTuple):
    """All rates side by side (columns `COLUMNS`; those with ``changed`` are drift), what else differs, and what only one run has."""

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
    return tally(run.journal, campaign_of(run), run.folder).samples


def told(found: Comparison) -> list[str]:
    """What differs, a line each."""
    changes = [f"{c.target}: {c.what}: {c.before} -> {c.after}" for c in found.changes]
    rates = [sentence(row) for row in found.drifted.to_dict("records")]
    return [*changes, *rates, *(f"only in one run: {side}" for side in found.alone)]


def compare(
    before: pd.DataFrame, after: pd.DataFrame, campaign: Campaign, alpha: float = 0.05
) -> Comparison:
    """Compare the samples of two runs of a campaign, by target, arm, probe, measure and identity.

    A rate has changed where the permutation test within questions, adjusted over all rates of both runs (Holm), is under ``alpha``.
    Only questions that both runs asked are tested.
    """
    both = pd.concat(
        [before.astype(object).assign(run=0), after.astype(object).assign(run=1)], ignore_index=True
    )
    known = {
        "target": {t.name for t in campaign.targets},
        "arm": set(campaign.arms),
        "probe": set(campaign.probes),
    }
    fits = (
        both["target"].isin(known["target"])
        & both["arm"].isin(known["arm"])
        & both["probe"].isin(known["probe"])
    )
    alone = sorted(
        {
            f"{row.target} {row.arm} {row.probe}"
            for row in both[~fits][["target", "arm", "probe"]].drop_duplicates().itertuples()
        }
    )
    both = both[fits].reset_index(drop=True)
    if both.empty or both["run"].nunique() < 2:
        raise RunError(
            "the two runs have no target, arm and probe in common",
            next="compare runs of one campaign",
        )
    run = counted(both, campaign)
    later = (both["run"] == 1).to_numpy()
    rows = []
    for target, arm, probe, places in run.groups():
        first, second = places[~later[places]], places[later[places]]
        if not len(first) or not len(second):
            alone.append(f"{target} {arm} {probe}")
            continue
        for measure in run.measures:
            if measure.name not in WATCHED or not measure.applies(probe):
                continue
            for identity in measure.identities:
                held = measure.cells.holds(identity)
                row = compared(_shared(run, first, second, held), _shared(run, second, first, held))
                if row:
                    rows.append(
                        {
                            "target": target,
                            "arm": arm,
                            "probe": probe,
                            "measure": measure.name,
                            "identity": identity,
                        }
                        | row
                    )
    for row, adjusted in zip(rows, stats.holm([row["p_value"] for row in rows]), strict=True):
        row |= {
            "p_value": shown_p(row["p_value"]),
            "p_holm": shown_p(adjusted),
            "changed": adjusted < alpha,
        }
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return Comparison(
        frame.assign(changed=frame["changed"].astype(bool)), _changes(before, after), sorted(alone)
    )


def _shared(run: Counted, places: Any, others: Any, held: Any) -> ByQuestion:
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
            tokens = [_median(side[side["arm"] == arm]) for side in (first, second)]
            questions = [set(side.loc[side["arm"] == arm, "question"]) for side in (first, second)]
            if (
                tokens[0] is not None
                and tokens[1] is not None
                and tokens[0] != tokens[1]
                and questions[0] == questions[1]
            ):
                found.append(
                    Change(
                        target,
                        f"median prompt tokens under {arm}",
                        f"{tokens[0]:g}",
                        f"{tokens[1]:g}",
                    )
                )
    return found


def _median(side: pd.DataFrame) -> float | None:
    tokens = (
        side["rendered_prompt_tokens"]
        .astype(float)
        .fillna(side["prompt_tokens_reported"].astype(float))
        .dropna()
    )
    return float(tokens.median()) if len(tokens) else None


def _listed(values: set[str]) -> str:
    return (
        ", ".join(sorted(values)[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "")
        if values
        else "not given"
    )


def junit(found: Comparison, before: str, after: str) -> bytes:
    """The comparison as JUnit XML: a test case for each target, arm, probe and measure, failed where a rate changed."""
    suite = ElementTree.Element("testsuite", name=f"truename compare {before} {after}")
    failed = 0
    for (target, arm, probe, measure), rows in found.rates.groupby(
        ["target", "arm", "probe", "measure"], sort=False
    ):
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(f"{target}.{arm}"), name=_xml(f"{probe}: {measure}")
        )
        drifted = rows[rows["changed"]]
        if len(drifted):
            failed += 1
            said = "\n".join(_xml(sentence(row)) for row in drifted.to_dict("records"))
            ElementTree.SubElement(
                case, "failure", type="drift", message=said.splitlines()[0]
            ).text = said
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failed))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def sentence(row: Any) -> str:
    """One change in words."""
    return (
        f"{row['target']} {row['arm']} {row['probe']}: {row['measure']} {row['identity']} from {row['hits_a']} of {row['samples_a']} ({100 * row['rate_a']:.1f} %) "
        f"to {row['hits_b']} of {row['samples_b']} ({100 * row['rate_b']:.1f} %), adjusted p {row['p_holm']:.2g}"
    )


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return "".join(
        c
        if c in "\t\n" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
        else "\ufffd"
        for c in text
    )
