"""Samples and verdicts to tables.

`results/README.md` is the dictionary of the columns. Nothing volatile (times, response ids) is in the tables, so
the same samples give the same bytes in whatever order they came.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from harness.campaign import probes
from harness.campaign.campaign import Campaign
from harness.counting.rates import (
    Confusion,
    Counted,
    comparisons_frame,
    confusion,
    counted,
    tally_frame,
)
from harness.errors import RunError
from harness.journal.journal import Journal
from harness.scoring.overlap import Overlap, published
from harness.scoring.verdict import Verdict, verdicts
from harness.tables import Spool, write_table

CHUNK: Final = 2000
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
#: Passages that a reply has word for word from a reference text: one row each.
OVERLAP_COLUMNS: Final = "target role arm probe language question trial sample identity reference reply_start reply_end tokens rarity_log10 passage recited_share_of_reference recital_p_value".split()


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
        recited = references.stream(
            [row["text"] for row in whole if measures[row["probe"]] == "backstory"]
        )
        for row in batch:
            if row["status"] != "ok":
                yield Scored(row, None, None, None)
                continue
            thought = next(reasoned)
            yield Scored(
                row,
                next(said),
                thought if row["reasoning"] else None,
                next(recited) if measures[row["probe"]] == "backstory" else None,
            )


def _each_once(texts: list[str | None]) -> list[Verdict]:
    """Verdicts on texts; models repeat themselves, so equal ones are judged once."""
    different = list(dict.fromkeys(texts))
    judged = dict(zip(different, verdicts(different), strict=True))
    return [judged[text] for text in texts]


def sample_frame(
    scored: Iterable[Scored], campaign: Campaign, notes: Mapping[str, str]
) -> pd.DataFrame:
    """One row a sample, columns `SAMPLE_COLUMNS`; ``notes`` say by target what everybody has to know of it."""
    roles = {t.name: t.role for t in campaign.targets}
    return pd.DataFrame(
        [_sample_row(s, roles) | {"note": notes.get(s.row["target"])} for s in scored],
        columns=SAMPLE_COLUMNS,
    )


def _sample_row(s: Scored, roles: Mapping[str, str]) -> dict[str, Any]:
    row, messages = s.row, msgspec.json.decode(s.row["messages"])
    system = next((m["content"] for m in messages if m["role"] == "system"), None)
    found: dict[str, Any] = {
        name: row[name]
        for name in ("target", "arm", "probe", "language", "question", "trial", "sample", "status")
    }
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
    probabilities = {
        f"{e.role}:{e.identity}": e.probability
        for e in sorted(v.evidence, key=lambda e: e.probability)
    }
    return {
        "stance": v.stance,
        "names": joined(v.names),
        "makers": joined(v.makers),
        "base": joined(v.base),
        "denied": joined(v.denied),
        "hedged": v.hedged,
        "abstained": v.abstain,
        "version": v.version,
        "claim_probabilities": joined(
            f"{claim}={p:.3f}" for claim, p in sorted(probabilities.items())
        ),
    }


def reasoning_columns(v: Verdict) -> dict[str, Any]:
    """A verdict on reasoning text as columns of a table."""
    return {
        "reasoning_stance": v.stance,
        "reasoning_names": joined(v.names),
        "reasoning_makers": joined(v.makers),
    }


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


def overlap_frame(scored: Iterable[Scored], campaign: Campaign) -> pd.DataFrame:
    """One row a copied passage, columns `OVERLAP_COLUMNS`; places are characters of the reply."""
    roles = {t.name: t.role for t in campaign.targets}
    rows = []
    for s in scored:
        if s.overlap is None or not s.overlap.runs:
            continue
        about = {
            name: s.row[name]
            for name in ("target", "arm", "probe", "language", "question", "trial", "sample")
        }
        about |= {
            "role": roles.get(s.row["target"]),
            "identity": s.overlap.identity,
            "reference": s.overlap.reference,
        }
        about |= {
            "recited_share_of_reference": round(s.overlap.reference_share, 4),
            "recital_p_value": float(f"{s.overlap.p_value:.3g}"),
        }
        rows += [
            about
            | {
                "reply_start": run.start,
                "reply_end": run.end,
                "tokens": run.tokens,
                "rarity_log10": round(run.rarity, 2),
                "passage": s.row["text"][run.start : run.end],
            }
            for run in s.overlap.runs
        ]
    return pd.DataFrame(rows, columns=OVERLAP_COLUMNS)


#: The tables of a run, by the names of their files.
TABLES: Final = ("tally", "comparisons", "samples", "overlap")


class Tables(NamedTuple):
    """The tables of a run; of the samples the columns that are counted (`COUNTED`), ready to be counted."""

    run: Counted
    tally: pd.DataFrame
    comparisons: pd.DataFrame

    @property
    def samples(self) -> pd.DataFrame:
        return self.run.samples


#: The columns that are counted, and that the terminal shows.
COUNTED: Final = (
    "target role arm probe language question status stance names makers base denied abstained recited_identity recited_share_of_reference "
    "rendered_prompt_tokens prompt_tokens_reported injected_text template_sha256 model fingerprint provider note"
).split()


_NUMBERS: Final = frozenset(
    ("recited_share_of_reference", "rendered_prompt_tokens", "prompt_tokens_reported")
)


class _Columns:
    """Columns of many rows in little room: each value stands once, a row holds its number."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Any, int]] = {name: {} for name in COUNTED}
        self.codes = {name: array("i") for name in COUNTED}

    def add(self, frame: pd.DataFrame) -> None:
        for name in COUNTED:
            values, codes = self.values[name], self.codes[name]
            codes.extend(
                [
                    values.setdefault(
                        None if value is None or value is pd.NA or value != value else value,
                        len(values),
                    )
                    for value in frame[name].tolist()
                ]
            )

    def frame(self) -> pd.DataFrame:
        """Text as categories, numbers as numbers."""
        made: dict[str, Any] = {}
        for name in COUNTED:
            known: dict[Any, int] = self.values[name]
            codes = np.frombuffer(self.codes.pop(name), dtype=np.int32)
            if name in _NUMBERS:
                values = np.array(
                    [np.nan if value is None else float(value) for value in known] or [np.nan]
                )
                made[name] = values[codes]
            else:
                missing = known.get(None, -1)
                places = np.array(
                    [
                        -1 if value is None else place - (missing >= 0 and place > missing)
                        for value, place in known.items()
                    ]
                    or [-1],
                    dtype=np.int32,
                )
                made[name] = pd.Categorical.from_codes(
                    places[codes],
                    pd.Index([value for value in known if value is not None], dtype=object),
                )
        return pd.DataFrame(made, copy=False)


def tally(
    journal: Journal,
    campaign: Campaign,
    folder: Path,
    formats: Sequence[str] = (),
    errors: Confusion | None = None,
    look: Callable[[Scored], None] = lambda scored: None,
) -> Tables:
    """Score what the journal holds and write samples, overlap, tally and comparisons into ``folder``; samples are streamed, and shown to ``look``.

    Raises
    ------
    RunError
        The journal holds no sample of the run, or the tables cannot be written.
    """
    notes = {
        target: "; ".join(can.get("notes", ())) for target, can in journal.capabilities().items()
    }
    notes = {target: note for target, note in notes.items() if note}
    columns = _Columns()
    passages = Spool(folder / "overlap", formats)

    def frames() -> Iterator[pd.DataFrame]:
        scored = score(journal.rows())
        while batch := list(islice(scored, CHUNK)):
            frame = sample_frame(batch, campaign, notes)
            for column in (
                "sample",
                "rendered_prompt_tokens",
                "prompt_tokens_reported",
                "completion_tokens_reported",
                "longest_run_tokens",
                "near_run_tokens",
                "attempts",
                "seed",
            ):
                frame[column] = frame[column].astype("Int64")
            columns.add(frame)
            passages.add(overlap_frame(batch, campaign))
            for one in batch:
                look(one)
            yield frame

    with passages:
        if not write_table(frames(), folder / "samples", formats):
            raise RunError(
                "the run holds no samples yet",
                where=journal.run,
                next=f"truename run {journal.run}",
            )
    run = counted(columns.frame(), campaign)
    tables = Tables(run, tally_frame(run, errors or confusion()), comparisons_frame(run))
    write_table(tables.tally, folder / "tally", formats)
    write_table(tables.comparisons, folder / "comparisons", formats)
    return tables
