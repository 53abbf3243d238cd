"""Texts of samples on the page: the drawn transcripts as JSON, and what each arm really sent."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

import msgspec

from harness.counting import Scored
from harness.report.keeper import Keeper
from harness.report.rows import short_arm

#: Bytes of all transcripts, and characters of one text, that the page holds at most.
BYTES, LONGEST = 8_000_000, 4000
#: Characters of an error, at most.
ERROR: Final = 500


def transcripts(keeper: Keeper) -> str:
    """The drawn samples as JSON; texts are cut shorter until all of them fit."""
    every = itertools.chain.from_iterable(keeper.drawn.values())
    drawn = [kept.scored for kept in sorted(every, key=lambda kept: kept.number)]
    longest = LONGEST
    said = _written(drawn, longest)
    while len(said) * 1.5 > BYTES and longest > 50:
        longest //= 2
        said = _written(drawn, longest)
    return said


def _written(drawn: list[Scored], longest: int) -> str:
    return embedded([_transcript(scored, longest) for scored in drawn])


def _transcript(scored: Scored, longest: int) -> list[Any]:
    """One sample, in the order that `page.js` reads."""
    row, verdict, text = scored.row, scored.verdict, scored.row["text"]
    return [
        f"{row['trial']}/{row['sample']}",
        row["target"],
        short_arm(row["arm"]),
        row["probe"],
        row["language"],
        row["question"],
        row["status"],
        verdict.stance if verdict else "",
        verdict.names if verdict else (),
        verdict.makers if verdict else (),
        cut(msgspec.json.decode(row["messages"])[-1]["content"], longest),
        None if text is None else cut(text, longest),
        cut(row["reasoning"], longest) if row["reasoning"] else None,
        _spans(scored, longest),
        cut(row["error"], ERROR) if row["error"] else None,
    ]


def _spans(scored: Scored, longest: int) -> list[list[Any]]:
    """Where the evidence of a verdict stands in what is shown of the reply."""
    if not scored.verdict or not scored.row["text"]:
        return []
    evidence = sorted(scored.verdict.evidence, key=lambda e: e.start)
    return [[e.start, e.end, e.role, e.identity] for e in evidence if e.end <= longest]


def prompts(keeper: Keeper) -> list[dict[str, Any]]:
    """For each target and arm what was sent, and the prompt that was made of it, where known."""
    return [
        {
            "target": target,
            "arm": arm,
            "rendered": row["rendered_prompt"] and cut(row["rendered_prompt"], LONGEST),
            "tokens": row["rendered_tokens"],
            "reported": row["prompt_tokens"],
            "injected": row["injected_text"] and cut(row["injected_text"], LONGEST),
            "template": row["template_sha256"],
            "source": row["prompt_source"],
            "expected": row["expected_prompt"] and cut(row["expected_prompt"], LONGEST),
            "expected_injected": row["expected_injected"]
            and cut(row["expected_injected"], LONGEST),
            "messages": [
                {"role": m["role"], "content": cut(m["content"], LONGEST)}
                for m in msgspec.json.decode(row["messages"])
            ],
            "status": row["status"],
            "error": row["error"],
        }
        for (target, arm), row in keeper.prompts.items()
    ]


def cut(text: str, most: int) -> str:
    """The first characters of a text, and how many there are where some are left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]} ... (cut here; {len(text)} characters in samples.csv)"


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or begins another."""
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
