"""Samples and verdicts to tables, and the only writer of CSV.

`results/README.md` is the dictionary of the columns. Nothing volatile (times, response ids) is in the tables, so
the same samples give the same bytes in whatever order they came.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pandas as pd

from harness import probes
from harness.campaign import Campaign
from harness.errors import RunError
from harness.identities import load_backstories
from harness.scoring.overlap import Overlap, References
from harness.scoring.verdict import Verdict, verdicts
from harness.stats import wilson
from harness.store import Journal

ALL: Final = "all"
RECITED_FROM: Final = 0.5
CHUNK: Final = 2000
SAMPLE_COLUMNS: Final = (
    "target role arm probe language question trial sample status stance names makers base denied reasoning_names "
    "recited_identity recited_reference longest_run_tokens recited_share_of_reference recited_share_of_reply "
    "question_text system_text messages_json rendered_prompt rendered_prompt_tokens injected_text template_sha256 "
    "prompt_tokens_reported completion_tokens_reported finish_reason attempts error model fingerprint provider seed "
    "sampling_json reply reasoning note"
).split()
TALLY_COLUMNS: Final = ("target role arm probe language measure identity samples hits rate wilson_low wilson_high questions failed truncated empty unsupported prompt_tokens_median note").split()
#: Text that came from a model, a host or a prompt: written so that no spreadsheet runs it.
TEXT_COLUMNS: Final = (
    "question_text",
    "system_text",
    "rendered_prompt",
    "injected_text",
    "error",
    "model",
    "fingerprint",
    "provider",
    "reply",
    "reasoning",
    "finish_reason",
    "messages_json",
    "sampling_json",
    "question",
)
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Scored(NamedTuple):
    """One row of the journal with what was found in it (None where its status forbids a verdict)."""

    row: dict[str, Any]
    verdict: Verdict | None
    reasoning: Verdict | None
    identity: str | None
    overlap: Overlap | None


def score(rows: Iterable[dict[str, Any]]) -> Iterator[Scored]:
    """Verdict and overlap for each stored sample; only whole replies (status ``ok``) are scored."""
    measures: dict[str, str] = {}
    references = _references()
    source = iter(rows)
    while batch := list(islice(source, CHUNK)):
        found = list(verdicts(row["text"] if row["status"] == "ok" else None for row in batch))
        thought = list(verdicts(row["reasoning"] for row in batch))
        for row, said, reasoned in zip(batch, found, thought, strict=True):
            if row["status"] != "ok":
                yield Scored(row, None, None, None, None)
                continue
            if row["probe"] not in measures:
                measures[row["probe"]] = probes.load(row["probe"]).measures
            identity, overlap = _best(references, row["text"]) if measures[row["probe"]] == "backstory" else (None, None)
            yield Scored(row, said, reasoned if row["reasoning"] else None, identity, overlap)


def _references() -> list[References]:
    texts: dict[str, list[tuple[str, str]]] = {}
    for backstory in load_backstories():
        texts.setdefault(backstory.identity, []).append((backstory.file, backstory.text))
    return [References(identity, found) for identity, found in sorted(texts.items())]


def _best(references: list[References], text: str) -> tuple[str | None, Overlap | None]:
    compared = [(r.identity, r.compare(text)) for r in references]
    return max(compared, key=lambda found: (found[1].reference_share, found[1].longest_run, found[0]), default=(None, None))


def sample_frame(scored: Iterable[Scored], campaign: Campaign, notes: Mapping[str, str]) -> pd.DataFrame:
    """One row a sample, columns `SAMPLE_COLUMNS`; ``notes`` say by target what everybody has to know of it."""
    roles = {t.name: t.role for t in campaign.targets}
    return pd.DataFrame([_sample_row(s, roles) | {"note": notes.get(s.row["target"])} for s in scored], columns=SAMPLE_COLUMNS)


def _sample_row(s: Scored, roles: Mapping[str, str]) -> dict[str, Any]:
    row, messages = s.row, msgspec.json.decode(s.row["messages"])
    system = next((m["content"] for m in messages if m["role"] == "system"), None)
    found: dict[str, Any] = {name: row[name] for name in ("target", "arm", "probe", "language", "question", "trial", "sample", "status")}
    if s.verdict:
        found |= {"stance": s.verdict.stance, "names": _joined(s.verdict.names), "makers": _joined(s.verdict.makers), "base": _joined(s.verdict.base), "denied": _joined(s.verdict.denied)}
    if s.reasoning:
        found["reasoning_names"] = _joined(s.reasoning.names)
    if s.overlap:
        found |= {
            "recited_identity": s.identity if s.overlap.runs else None,
            "recited_reference": s.overlap.reference if s.overlap.runs else None,
            "longest_run_tokens": s.overlap.longest_run,
            "recited_share_of_reference": round(s.overlap.reference_share, 4),
            "recited_share_of_reply": round(s.overlap.reply_share, 4),
        }
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


def _joined(identities: tuple[str, ...]) -> str:
    return "|".join(identities)


def tally_frame(samples: pd.DataFrame, campaign: Campaign) -> pd.DataFrame:
    """Rates with Wilson intervals for each target, arm, probe, language (and all of them), measure and identity.

    An identity that is claimed anywhere in the run, or that a target is presented as, gets a row everywhere, so
    that a zero is seen as a zero. Rates are over scored samples; where none was scored they are NA.
    """
    order = {label: place for place, label in enumerate([t.name for t in campaign.targets])}
    arms = {label: place for place, label in enumerate(campaign.arms)}
    presented = {t.identity for t in campaign.targets if t.identity} | ({campaign.claim.identity} if campaign.claim else set())
    recited = samples["recited_identity"].where(samples["recited_share_of_reference"].fillna(0) >= RECITED_FROM)
    is_backstory = samples["probe"].isin([p for p in samples["probe"].unique() if probes.load(p).measures == "backstory"])
    measures: list[tuple[str, pd.Series[Any], list[str], Callable[[str], bool]]] = []
    for measure, column, always in (("name", "names", presented), ("maker", "makers", set()), ("base", "base", set()), ("denied", "denied", set())):
        held = samples[column].fillna("").map(lambda cell: frozenset(cell.split("|")) - {""})
        measures.append((measure, held, sorted(set().union(*held) | always), lambda probe: True))
    measures.append(
        (
            "recital",
            recited.map(lambda i: frozenset([i]) if isinstance(i, str) else frozenset()),
            sorted({i for i in recited if isinstance(i, str)} | {b.identity for b in load_backstories()}),
            lambda probe: bool(is_backstory[samples["probe"] == probe].any()),
        )
    )
    measures.append(("stance", samples["stance"].map(lambda s: frozenset([s]) if isinstance(s, str) else frozenset()), ["claims", "denies", "refuses", "none"], lambda probe: True))
    table = []
    for (target, arm, probe), part in samples.groupby(["target", "arm", "probe"], sort=False):
        for language in [ALL, *sorted(part["language"].unique())]:
            inside = part if language == ALL else part[part["language"] == language]
            status = inside["status"].value_counts()
            scored = inside.index[inside["status"] == "ok"]
            counts: dict[str, Any] = {name: int(status.get(name, 0)) for name in ("failed", "truncated", "empty", "unsupported")}
            tokens = inside["rendered_prompt_tokens"].fillna(inside["prompt_tokens_reported"]).dropna()
            counts["prompt_tokens_median"] = float(tokens.median()) if len(tokens) else None
            for measure, held, identities, applies in measures:
                if not applies(str(probe)):
                    continue
                cells = list(held.loc[scored])
                for identity in identities:
                    hits = sum(identity in cell for cell in cells)
                    table.append(
                        {"target": target, "role": part["role"].iloc[0], "arm": arm, "probe": probe, "language": language, "measure": measure, "identity": identity}
                        | _rate(hits, len(cells))
                        | {"questions": inside.loc[scored, ["language", "question"]].drop_duplicates().shape[0]}
                        | counts
                        | {"note": part["note"].iloc[0]}
                    )
    frame = pd.DataFrame(table, columns=TALLY_COLUMNS)
    frame["_target"], frame["_arm"] = frame["target"].map(order), frame["arm"].map(arms)
    return frame.sort_values(["_target", "_arm"], kind="stable").drop(columns=["_target", "_arm"]).reset_index(drop=True)


def _rate(hits: int, samples: int) -> dict[str, Any]:
    if not samples:
        return {"samples": 0, "hits": 0, "rate": None, "wilson_low": None, "wilson_high": None}
    low, high = wilson(hits, samples)
    return {"samples": samples, "hits": hits, "rate": round(hits / samples, 6), "wilson_low": round(low, 6), "wilson_high": round(high, 6)}


def neutral(value: Any) -> Any:
    """Text that a spreadsheet shows and does not run: a leading apostrophe before what would start a formula.

    Source: OWASP, "CSV Injection". The journal keeps the text as it was.
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS) else value


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame whole or not at all; NA where there is no value."""
    safe = frame.copy()
    for column in safe.columns.intersection(list(TEXT_COLUMNS)):
        safe[column] = safe[column].map(neutral)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        safe.to_csv(scratch, index=False, na_rep="NA", lineterminator="\n", encoding="utf-8")
        os.replace(scratch, path)
    except OSError as problem:
        scratch.unlink(missing_ok=True)
        raise RunError(f"cannot write the table: {problem}", where=str(path), next="free some space, then tally again: the samples are safe") from None


class Tables(NamedTuple):
    samples: pd.DataFrame
    tally: pd.DataFrame


def tally(journal: Journal, campaign: Campaign, folder: Path) -> Tables:
    """Score what the journal holds and write `samples.csv` and `tally.csv` into ``folder``.

    Raises
    ------
    RunError
        The journal holds no sample of the run, or the tables cannot be written.
    """
    notes = {target: "; ".join(can.get("notes", ())) for target, can in journal.capabilities().items()}
    samples = sample_frame(score(journal.rows()), campaign, {target: note for target, note in notes.items() if note})
    if samples.empty:
        raise RunError("the run holds no samples yet", where=journal.run, next=f"truename run {journal.run}")
    for column in ("sample", "rendered_prompt_tokens", "prompt_tokens_reported", "completion_tokens_reported", "longest_run_tokens", "attempts", "seed"):
        samples[column] = samples[column].astype("Int64")
    tables = Tables(samples, tally_frame(samples, campaign))
    write_csv(tables.samples, folder / "samples.csv")
    write_csv(tables.tally, folder / "tally.csv")
    return tables
