"""A run's samples for other tools: plain JSON Lines, or a log that Inspect reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.campaign import Campaign
from harness.counting import Scored, Scoring
from harness.counting.samples import verdict_columns
from harness.journal import Run, campaign_of
from harness.scoring import Verdict
from harness.tables import write_bytes

#: What an object has of its sample, by the same name.
ABOUT: Final = (
    *("target", "arm", "probe", "language", "question", "status"),
    *("model", "finish_reason", "error"),
)
#: The same for the metadata of a sample of Inspect.
METADATA: Final = (
    *("arm", "probe", "language", "question", "status"),
    *("reasoning", "rendered_prompt", "injected_text", "expected_prompt"),
)
#: Inspect's reasons to stop, by status.
STOPS: Final = {"ok": "stop", "truncated": "max_tokens", "filtered": "content_filter"}


def export(run: Run, form: str, to: Path | None) -> list[Path]:
    """Write the samples as ``jsonl`` to a file, or as ``inspect`` into a folder."""
    if form == "jsonl":
        return jsonl(run, to or run.folder / "export.jsonl")
    return inspect(run, campaign_of(run), to or run.folder / "inspect")


def _scored(run: Run) -> Iterator[Scored]:
    return Scoring(run.journal.engine).score(run.journal.rows(), run.journal.held())


def jsonl(run: Run, to: Path) -> list[Path]:
    """One object a sample: its key, arm, messages, reply, status and verdict."""
    lines = [msgspec.json.encode(_plain(scored)) for scored in _scored(run)]
    write_bytes(b"\n".join(lines) + b"\n", to)
    return [to]


def _plain(scored: Scored) -> dict[str, Any]:
    row = scored.row
    verdict = None
    if scored.verdict:
        verdict = verdict_columns(scored.verdict)
        del verdict["claim_probabilities"]
    return {
        "id": f"{row['trial']}/{row['sample']}",
        **{name: row[name] for name in ABOUT},
        "messages": msgspec.json.decode(row["messages"]),
        "reply": row["text"],
        "reasoning": row["reasoning"],
        "verdict": verdict,
    }


def inspect(run: Run, campaign: Campaign, to: Path) -> list[Path]:
    """One Inspect log (JSON, version 2) a target, so that `inspect view` shows every sample.

    The folder is ``to``. Format: https://inspect.aisi.org.uk/eval-logs.html. Scores hold the
    stance, the names and the makers.
    """
    known = run.journal.record.describe() or {}
    samples: dict[str, list[dict[str, Any]]] = {}
    for scored in _scored(run):
        samples.setdefault(scored.row["target"], []).append(_inspect_sample(scored))
    made = []
    for target, found in samples.items():
        settings = campaign.target(target)
        log = {
            "version": 2,
            "status": "success",
            "eval": {
                "created": known.get("created", ""),
                "task": campaign.campaign,
                "dataset": {"name": campaign.campaign, "samples": len(found)},
                "model": f"{settings.engine}/{settings.model}",
                "config": {},
                "metadata": {
                    "target": target,
                    "role": settings.role,
                    "campaign_sha256": known.get("campaign_sha256"),
                    "plan_sha256": known.get("plan_sha256"),
                },
            },
            "samples": found,
        }
        write_bytes(msgspec.json.encode(log), to / f"{run.name}-{target}.json")
        made.append(to / f"{run.name}-{target}.json")
    return made


def _inspect_sample(scored: Scored) -> dict[str, Any]:
    row, said = scored.row, scored.row["text"] or ""
    messages = msgspec.json.decode(row["messages"])
    answer = {
        "role": "assistant",
        "content": said,
        "source": "generate",
        "model": row["model"] or "",
    }
    stop = STOPS.get(row["status"], "unknown")
    sample = {
        "id": row["trial"],
        "epoch": row["sample"] + 1,
        "input": messages,
        "target": "",
        "messages": [*messages, answer],
        "output": {
            "model": row["model"] or "",
            "choices": [{"message": answer, "stop_reason": stop}],
            "completion": said,
        },
        "scores": {} if scored.verdict is None else _inspect_score(scored.verdict, said),
        "metadata": {name: row[name] for name in METADATA},
    }
    if row["error"]:
        sample["error"] = {"message": row["error"], "traceback": "", "traceback_ansi": ""}
    return sample


def _inspect_score(verdict: Verdict, said: str) -> dict[str, Any]:
    value = {
        "stance": verdict.stance,
        "names": ", ".join(verdict.names),
        "makers": ", ".join(verdict.makers),
    }
    return {"identity": {"value": value, "answer": said}}
