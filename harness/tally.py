"""Samples and verdicts to tables.

`results/README.md` is the dictionary of the columns. Nothing volatile (times, response ids) is in the tables, so
the same samples give the same bytes in whatever order they came.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from harness import probes
from harness.campaign import Campaign
from harness.errors import RunError
from harness.identities import load_backstories
from harness.scoring.overlap import Overlap, published
from harness.scoring.verdict import Verdict, verdicts
from harness.stats import wilson
from harness.store import Journal
from harness.tables import write_csv

ALL: Final = "all"
RECITED_FROM: Final = 0.5
CHUNK: Final = 2000
RARE: Final = 3
OTHER: Final = "other:(rare)"
#: What scoring says of one text, wherever it came from.
SCORE_COLUMNS: Final = (
    "stance names makers base denied hedged abstained version claim_probabilities reasoning_stance reasoning_names reasoning_makers "
    "recited_identity recited_reference longest_run_tokens near_run_tokens recited_share_of_reference recited_share_of_reply "
    "recital_p_value recital_log10_odds recited_entities"
).split()
SAMPLE_COLUMNS: Final = (
    *"target role arm probe language question trial sample status".split(),
    *SCORE_COLUMNS,
    *"question_text system_text messages_json rendered_prompt rendered_prompt_tokens injected_text template_sha256".split(),
    *"prompt_tokens_reported completion_tokens_reported finish_reason attempts error model fingerprint provider seed".split(),
    *"sampling_json reply reasoning note".split(),
)
TALLY_COLUMNS: Final = (
    "target role arm probe language measure identity samples hits rate wilson_low wilson_high questions failed truncated empty unsupported abstained prompt_tokens_median note"
).split()


class Scored(NamedTuple):
    """One row of the journal with what was found in it (None where its status forbids a verdict)."""

    row: dict[str, Any]
    verdict: Verdict | None
    reasoning: Verdict | None
    overlap: Overlap | None


def score(rows: Iterable[dict[str, Any]]) -> Iterator[Scored]:
    """Verdict and overlap for each stored sample; only whole replies (status ``ok``) are scored."""
    measures: dict[str, str] = {}
    references = published()
    source = iter(rows)
    while batch := list(islice(source, CHUNK)):
        for row in batch:
            if row["probe"] not in measures:
                measures[row["probe"]] = probes.load(row["probe"]).measures
        whole = [row for row in batch if row["status"] == "ok"]
        said = iter(_each_once([row["text"] for row in whole]))
        reasoned = iter(_each_once([row["reasoning"] for row in whole]))
        recited = references.stream([row["text"] for row in whole if measures[row["probe"]] == "backstory"])
        for row in batch:
            if row["status"] != "ok":
                yield Scored(row, None, None, None)
                continue
            thought = next(reasoned)
            yield Scored(row, next(said), thought if row["reasoning"] else None, next(recited) if measures[row["probe"]] == "backstory" else None)


def _each_once(texts: list[str | None]) -> list[Verdict]:
    """Verdicts on texts; models repeat themselves, so equal ones are judged once."""
    different = list(dict.fromkeys(texts))
    judged = dict(zip(different, verdicts(different), strict=True))
    return [judged[text] for text in texts]


def sample_frame(scored: Iterable[Scored], campaign: Campaign, notes: Mapping[str, str]) -> pd.DataFrame:
    """One row a sample, columns `SAMPLE_COLUMNS`; ``notes`` say by target what everybody has to know of it."""
    roles = {t.name: t.role for t in campaign.targets}
    return pd.DataFrame([_sample_row(s, roles) | {"note": notes.get(s.row["target"])} for s in scored], columns=SAMPLE_COLUMNS)


def _sample_row(s: Scored, roles: Mapping[str, str]) -> dict[str, Any]:
    row, messages = s.row, msgspec.json.decode(s.row["messages"])
    system = next((m["content"] for m in messages if m["role"] == "system"), None)
    found: dict[str, Any] = {name: row[name] for name in ("target", "arm", "probe", "language", "question", "trial", "sample", "status")}
    if s.verdict:
        found |= verdict_columns(s.verdict)
    if s.reasoning:
        found |= reasoning_columns(s.reasoning)
    if s.overlap:
        found |= overlap_columns(s.overlap)
    return found | {
        "role": roles.get(row["target"]),
        "question_text": messages[-1]["content"],
        "system_text": system,
        "messages_json": row["messages"],
        "rendered_prompt": row["rendered_prompt"],
        "rendered_prompt_tokens": row["rendered_tokens"],
        "injected_text": row["injected_text"],
        "template_sha256": row["template_sha256"],
        "prompt_tokens_reported": row["prompt_tokens"],
        "completion_tokens_reported": row["completion_tokens"],
        "finish_reason": row["finish_reason"],
        "attempts": len(msgspec.json.decode(row["attempts"])),
        "error": row["error"],
        "model": row["model"],
        "fingerprint": row["fingerprint"],
        "provider": row["provider"],
        "seed": row["seed"],
        "sampling_json": row["sent"],
        "reply": row["text"],
        "reasoning": row["reasoning"],
    }


def verdict_columns(v: Verdict) -> dict[str, Any]:
    """A verdict as columns of a table."""
    probabilities = {f"{e.role}:{e.identity}": e.probability for e in sorted(v.evidence, key=lambda e: e.probability)}
    return {
        "stance": v.stance,
        "names": joined(v.names),
        "makers": joined(v.makers),
        "base": joined(v.base),
        "denied": joined(v.denied),
        "hedged": v.hedged,
        "abstained": v.abstain,
        "version": v.version,
        "claim_probabilities": joined(f"{claim}={p:.3f}" for claim, p in sorted(probabilities.items())),
    }


def reasoning_columns(v: Verdict) -> dict[str, Any]:
    """A verdict on reasoning text as columns of a table."""
    return {"reasoning_stance": v.stance, "reasoning_names": joined(v.names), "reasoning_makers": joined(v.makers)}


def overlap_columns(o: Overlap) -> dict[str, Any]:
    """An overlap as columns of a table."""
    return {
        "recited_identity": o.identity,
        "recited_reference": o.reference,
        "longest_run_tokens": o.longest_run,
        "near_run_tokens": o.near_run,
        "recited_share_of_reference": round(o.reference_share, 4),
        "recited_share_of_reply": round(o.reply_share, 4),
        "recital_p_value": float(f"{o.p_value:.3g}"),
        "recital_log10_odds": o.log10_odds,
        "recited_entities": joined(o.entities),
    }


def joined(identities: Iterable[str]) -> str:
    """A list in one cell."""
    return "|".join(identities)


def tally_frame(samples: pd.DataFrame, campaign: Campaign) -> pd.DataFrame:
    """Rates with Wilson intervals for each target, arm, probe, language (and all of them), measure and identity.

    An identity that is claimed anywhere in the run, or that a target is presented as, gets a row everywhere, so
    that a zero is seen as a zero. Rates are over scored samples; where none was scored they are NA.
    """
    order = {label: place for place, label in enumerate([t.name for t in campaign.targets])}
    arms = {label: place for place, label in enumerate(campaign.arms)}
    presented = {t.identity for t in campaign.targets if t.identity} | ({campaign.claim.identity} if campaign.claim else set())
    recited = samples["recited_identity"].astype(object).where(samples["recited_share_of_reference"].fillna(0) >= RECITED_FROM)
    is_backstory = samples["probe"].isin([p for p in samples["probe"].unique() if probes.load(p).measures == "backstory"])
    measures: list[tuple[str, pd.Series[Any], list[str], Callable[[str], bool]]] = []
    for measure, column, always in (("name", "names", presented), ("maker", "makers", set()), ("base", "base", set()), ("denied", "denied", set())):
        held = _held(samples[column])
        measures.append((measure, held, sorted(set().union(*set(held)) | always), lambda probe: True))
    measures.append(
        (
            "recital",
            _held(recited),
            sorted(set(recited.dropna().unique()) | {b.identity for b in load_backstories()}),
            lambda probe: bool(is_backstory[samples["probe"] == probe].any()),
        )
    )
    measures.append(("stance", _held(samples["stance"]), ["claims", "denies", "refuses", "none"], lambda probe: True))
    table = []
    for (target, arm, probe), part in samples.groupby(["target", "arm", "probe"], sort=False, observed=True):
        about = {"target": target, "role": part["role"].iloc[0], "arm": arm, "probe": probe}
        note = part["note"].iloc[0]
        note = note if isinstance(note, str) else None
        for language in [ALL, *sorted(part["language"].unique())]:
            inside = part if language == ALL else part[part["language"] == language]
            status = inside["status"].value_counts()
            scored = inside.index[inside["status"] == "ok"]
            counts: dict[str, Any] = {name: int(status.get(name, 0)) for name in ("failed", "truncated", "empty", "unsupported")}
            tokens = inside["rendered_prompt_tokens"].fillna(inside["prompt_tokens_reported"]).dropna()
            counts["abstained"] = int(inside.loc[scored, "abstained"].eq(True).sum())
            counts["prompt_tokens_median"] = float(tokens.median()) if len(tokens) else None
            counts["questions"] = inside.loc[scored, ["language", "question"]].drop_duplicates().shape[0]
            counts["note"] = note
            for measure, held, identities, applies in measures:
                if not applies(str(probe)):
                    continue
                cells = list(held.loc[scored])
                for identity in identities:
                    hits = sum(identity in cell for cell in cells)
                    table.append(about | {"language": language, "measure": measure, "identity": identity} | _rate(hits, len(cells)) | counts)
    frame = pd.DataFrame(table, columns=TALLY_COLUMNS)
    frame["_target"], frame["_arm"] = frame["target"].map(order), frame["arm"].map(arms)
    return frame.sort_values(["_target", "_arm"], kind="stable").drop(columns=["_target", "_arm"]).reset_index(drop=True)


def _held(cells: pd.Series[Any]) -> pd.Series[Any]:
    """The identities of each cell. Unlisted ones that fewer than `RARE` samples name are one identity, `OTHER`."""
    sets: dict[str, frozenset[str]] = {}  # equal cells share one set
    held = cells.astype(object).fillna("").map(lambda cell: sets.setdefault(cell, frozenset(cell.split("|")) - {""}))
    seen = Counter(identity for cell in held for identity in cell if identity.startswith("other:"))
    rare = {identity for identity, samples in seen.items() if samples < RARE}
    return held.map(lambda cell: frozenset(OTHER if identity in rare else identity for identity in cell)) if rare else held


def _rate(hits: int, samples: int) -> dict[str, Any]:
    if not samples:
        return {"samples": 0, "hits": 0, "rate": None, "wilson_low": None, "wilson_high": None}
    low, high = wilson(hits, samples)
    return {"samples": samples, "hits": hits, "rate": round(hits / samples, 6), "wilson_low": round(low, 6), "wilson_high": round(high, 6)}


class Tables(NamedTuple):
    """The tally, and of the samples the columns that it is made from (`COUNTED`)."""

    samples: pd.DataFrame
    tally: pd.DataFrame


#: The columns that are counted, and that the terminal shows.
COUNTED: Final = (
    "target role arm probe language question status stance names makers base denied abstained recited_identity recited_share_of_reference "
    "rendered_prompt_tokens prompt_tokens_reported injected_text note"
).split()


_NUMBERS: Final = frozenset(("recited_share_of_reference", "rendered_prompt_tokens", "prompt_tokens_reported"))


class _Columns:
    """Columns of many rows in little room: each value stands once, a row holds its number."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Any, int]] = {name: {} for name in COUNTED}
        self.codes = {name: array("i") for name in COUNTED}

    def add(self, frame: pd.DataFrame) -> None:
        for name in COUNTED:
            values, codes = self.values[name], self.codes[name]
            codes.extend([values.setdefault(None if value is None or value is pd.NA or value != value else value, len(values)) for value in frame[name].tolist()])

    def frame(self) -> pd.DataFrame:
        """Text as categories, numbers as numbers."""
        made: dict[str, Any] = {}
        for name in COUNTED:
            known: dict[Any, int] = self.values[name]
            codes = np.frombuffer(self.codes.pop(name), dtype=np.int32)
            if name in _NUMBERS:
                values = np.array([np.nan if value is None else float(value) for value in known] or [np.nan])
                made[name] = values[codes]
            else:
                missing = known.get(None, -1)
                places = np.array([-1 if value is None else place - (missing >= 0 and place > missing) for value, place in known.items()] or [-1], dtype=np.int32)
                made[name] = pd.Categorical.from_codes(places[codes], pd.Index([value for value in known if value is not None], dtype=object))
        return pd.DataFrame(made, copy=False)


def tally(journal: Journal, campaign: Campaign, folder: Path) -> Tables:
    """Score what the journal holds and write `samples.csv` and `tally.csv` into ``folder``; samples are streamed.

    Raises
    ------
    RunError
        The journal holds no sample of the run, or the tables cannot be written.
    """
    notes = {target: "; ".join(can.get("notes", ())) for target, can in journal.capabilities().items()}
    notes = {target: note for target, note in notes.items() if note}
    columns = _Columns()

    def frames() -> Iterator[pd.DataFrame]:
        scored = score(journal.rows())
        while batch := list(islice(scored, CHUNK)):
            frame = sample_frame(batch, campaign, notes)
            for column in ("sample", "rendered_prompt_tokens", "prompt_tokens_reported", "completion_tokens_reported", "longest_run_tokens", "near_run_tokens", "attempts", "seed"):
                frame[column] = frame[column].astype("Int64")
            columns.add(frame)
            yield frame

    if not write_csv(frames(), folder / "samples.csv"):
        raise RunError("the run holds no samples yet", where=journal.run, next=f"truename run {journal.run}")
    samples = columns.frame()
    tables = Tables(samples, tally_frame(samples, campaign))
    write_csv(tables.tally, folder / "tally.csv")
    return tables
