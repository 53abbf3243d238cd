"""A scored sample as a row of the tables `samples` and `overlap`.

`results/README.md` is the dictionary of the columns. Nothing volatile (times, response ids) is in
the tables, so the same samples give the same bytes in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pandas as pd

from harness.campaign import Campaign
from harness.scoring import Overlap, Verdict

if TYPE_CHECKING:  # a file of replies has no database
    from harness.counting.scored import Scored

#: Which sample it is.
_KEY: Final = ("target", "role", "arm", "probe", "language", "question", "trial", "sample")
#: What scoring says of one text, wherever it came from.
SCORE_COLUMNS: Final = (
    *("stance", "names", "makers", "base", "denied", "hedged", "abstained", "version"),
    *("claim_probabilities", "reasoning_stance", "reasoning_names", "reasoning_makers"),
    *("recited_identity", "recited_reference", "longest_run_tokens", "near_run_tokens"),
    *("recited_share_of_reference", "recited_share_of_reply"),
    *("recital_rarity", "recital_denied", "recited_entities"),
)
SAMPLE_COLUMNS: Final = (
    *_KEY,
    "status",
    *SCORE_COLUMNS,
    *("question_text", "system_text", "messages_json", "rendered_prompt"),
    *("rendered_prompt_tokens", "injected_text", "template_sha256"),
    *("prompt_source", "rendered_date"),
    *("expected_prompt", "expected_prompt_tokens", "expected_injected_text"),
    *("prompt_tokens_reported", "completion_tokens_reported", "finish_reason", "attempts"),
    *("error", "model", "fingerprint", "provider", "seed"),
    *("sampling_json", "reply", "reasoning", "note"),
)
#: Passages that a reply has word for word from a reference text: one row each.
OVERLAP_COLUMNS: Final = (
    *_KEY,
    *("identity", "reference", "reply_start", "reply_end", "tokens", "rarity_log10", "passage"),
    *("recited_share_of_reference", "recital_rarity", "recital_denied"),
)
#: Columns that hold whole numbers or nothing, and other numbers or nothing; the rest is text and
#: flags.
_WHOLE: Final = (
    *("sample", "attempts", "seed"),
    *("rendered_prompt_tokens", "prompt_tokens_reported", "completion_tokens_reported"),
    "expected_prompt_tokens",
    *("longest_run_tokens", "near_run_tokens"),
)
_NUMBERS: Final = ("recited_share_of_reference", "recited_share_of_reply", "recital_rarity")
#: Columns that a row of the journal has by the same name.
_KEPT: Final = tuple(name for name in _KEY if name != "role")


def sample_frame(
    scored: Iterable[Scored], campaign: Campaign, notes: Mapping[str, str]
) -> pd.DataFrame:
    """One row a sample, columns `SAMPLE_COLUMNS`.

    ``notes`` say by target what everybody has to know of it.
    """
    roles = {t.name: t.role for t in campaign.targets}
    return typed(
        pd.DataFrame(
            [_sample_row(s, roles) | {"note": notes.get(s.row["target"])} for s in scored],
            columns=SAMPLE_COLUMNS,
        )
    )


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows whose columns have the types that they have in any other stretch of rows.

    A stretch in which nothing was scored has numbers of no kind where others have text.
    """
    kinds: dict[str, Any] = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_NUMBERS, "float64")
    for name in frame.columns:
        if name not in kinds and name in SAMPLE_COLUMNS and frame[name].isna().all():
            kinds[name] = object
    return frame.astype({name: kind for name, kind in kinds.items() if name in frame})


def _sample_row(s: Scored, roles: Mapping[str, str]) -> dict[str, Any]:
    row, messages = s.row, msgspec.json.decode(s.row["messages"])
    system = next((m["content"] for m in messages if m["role"] == "system"), None)
    found: dict[str, Any] = {name: row[name] for name in (*_KEPT, "status")}
    if s.verdict:
        found |= verdict_columns(s.verdict)
    if s.reasoning:
        found |= reasoning_columns(s.reasoning)
    if s.overlap:
        found |= overlap_columns(s.overlap, s.verdict)
    return found | {
        "role": roles.get(row["target"]),
        "question_text": messages[-1]["content"],
        "system_text": system,
        "messages_json": row["messages"],
        "rendered_prompt": row["rendered_prompt"],
        "rendered_prompt_tokens": row["rendered_tokens"],
        "injected_text": row["injected_text"],
        "template_sha256": row["template_sha256"],
        "prompt_source": row["prompt_source"],
        "rendered_date": row["rendered_date"],
        "expected_prompt": row["expected_prompt"],
        "expected_prompt_tokens": row["expected_tokens"],
        "expected_injected_text": row["expected_injected"],
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
    in_order = sorted(v.evidence, key=lambda e: e.probability)  # the surest of a claim stands
    probabilities = {f"{e.role}:{e.identity}": e.probability for e in in_order}
    said = (f"{claim}={p:.3f}" for claim, p in sorted(probabilities.items()))
    return {
        "stance": v.stance,
        "names": joined(v.names),
        "makers": joined(v.makers),
        "base": joined(v.base),
        "denied": joined(v.denied),
        "hedged": v.hedged,
        "abstained": v.abstain,
        "version": v.version,
        "claim_probabilities": joined(said),
    }


def reasoning_columns(v: Verdict) -> dict[str, Any]:
    """A verdict on reasoning text as columns of a table."""
    return {
        "reasoning_stance": v.stance,
        "reasoning_names": joined(v.names),
        "reasoning_makers": joined(v.makers),
    }


def denies(said: Verdict | None, o: Overlap) -> bool:
    """True if a reply says that it is not whom it recites: "I am not DeepSeek. DeepSeek is ..."."""
    return said is not None and o.identity is not None and o.identity in said.denied


def overlap_columns(o: Overlap, said: Verdict | None) -> dict[str, Any]:
    """An overlap as columns of a table, with the verdict on the same reply."""
    return {
        "recited_identity": o.identity,
        "recited_reference": o.reference,
        "longest_run_tokens": o.longest_run,
        "near_run_tokens": o.near_run,
        "recited_share_of_reference": round(o.reference_share, 4),
        "recited_share_of_reply": round(o.reply_share, 4),
        "recital_rarity": round(o.rarity, 2),
        "recital_denied": denies(said, o),
        "recited_entities": joined(o.entities),
    }


def joined(identities: Iterable[str]) -> str:
    """A list in one cell."""
    return "|".join(identities)


def overlap_frame(scored: Iterable[Scored], campaign: Campaign) -> pd.DataFrame:
    """One row a copied passage, columns `OVERLAP_COLUMNS`; places are characters of the reply."""
    roles = {t.name: t.role for t in campaign.targets}
    rows = [row for s in scored for row in _passages(s, roles)]
    return pd.DataFrame(rows, columns=OVERLAP_COLUMNS)


def _passages(s: Scored, roles: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if s.overlap is None:
        return
    about = {name: s.row[name] for name in _KEPT} | {
        "role": roles.get(s.row["target"]),
        "identity": s.overlap.identity,
        "reference": s.overlap.reference,
        "recited_share_of_reference": round(s.overlap.reference_share, 4),
        "recital_rarity": round(s.overlap.rarity, 2),
        "recital_denied": denies(s.verdict, s.overlap),
    }
    for run in s.overlap.runs:
        yield about | {
            "reply_start": run.start,
            "reply_end": run.end,
            "tokens": run.tokens,
            "rarity_log10": round(run.rarity, 2),
            "passage": s.row["text"][run.start : run.end],
        }
