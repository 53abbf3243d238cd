"""Recitals beside the text that they have, with the passages marked on both sides."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from harness.campaign import Campaign, load_backstories
from harness.console import plain
from harness.counting import Scored
from harness.report.keeper import Keeper
from harness.report.rows import name_of
from harness.report.transcripts import LONGEST
from harness.scoring import places, words

#: Recitals that the page shows at most.
RECITALS: Final = 6
#: A recital is shown from this share of the reference on.
RECITED_IN_PART: Final = 0.1


def recitals(keeper: Keeper, campaign: Campaign) -> list[dict[str, Any]]:
    """The longest recital of each arm of the suspects, then of each other target."""
    texts = {b.file: b for b in load_backstories()}
    return [_beside(scored, texts) for scored in _chosen(keeper, campaign)[:RECITALS]]


def _chosen(keeper: Keeper, campaign: Campaign) -> list[Scored]:
    suspects = {t.name for t in campaign.targets if t.role == "suspect"}
    in_order = sorted(
        keeper.recitals.items(),
        key=lambda item: (item[0][0] not in suspects, -item[1][0], item[1][1]),
    )
    chosen: dict[tuple[str, str], Scored] = {}
    for (target, arm, _), (share, _, scored) in in_order:
        if share >= RECITED_IN_PART:
            chosen.setdefault((target, arm if target in suspects else ""), scored)
    return list(chosen.values())


def _beside(scored: Scored, texts: dict[str, Any]) -> dict[str, Any]:
    """One recital and its reference."""
    row, recited = scored.row, scored.overlap
    assert recited is not None
    text = row["text"]
    reference = texts[str(recited.reference)]
    passages = [text[run.start : run.end] for run in recited.runs]
    spans = [(run.start, run.end, f"{run.rarity:.0f}") for run in recited.runs]
    return {
        "target": row["target"],
        "arm": row["arm"],
        "trial": f"{row['trial']}/{row['sample']}",
        "question": msgspec.json.decode(row["messages"])[-1]["content"],
        "identity": name_of("name", str(recited.identity)),
        "share": f"{100 * recited.reference_share:.0f}",
        "run": recited.longest_run,
        "rarest": f"{max(run.rarity for run in recited.runs):.0f}",
        "entities": recited.entities,
        "reply": _around(text, spans),
        "reference": _pieces(reference.text, _found_in(reference.text, passages)),
        "file": reference.file,
        "stand_in": reference.stand_in,
    }


def _around(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str | None]]:
    """The part of a reply that holds its spans, as `_pieces`."""
    start = max(0, min(s for s, _, _ in spans) - LONGEST // 8) if len(text) > LONGEST else 0
    part = text[start : start + LONGEST]
    stop = start + len(part)
    inside = [(s - start, e - start, note) for s, e, note in spans if s >= start and e <= stop]
    before = [("... ", None)] if start else []
    after = [(" ...", None)] if start + LONGEST < len(text) else []
    return [*before, *_pieces(part, inside), *after]


def _pieces(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str | None]]:
    """A text in pieces: (piece, note of the span that it is, or None)."""
    made: list[tuple[str, str | None]] = []
    at = 0
    for start, end, note in sorted(spans):
        if start < at:
            continue
        made += [(plain(text[at:start]), None), (plain(text[start:end]), note)]
        at = end
    made.append((plain(text[at:]), None))
    return [piece for piece in made if piece[0]]


def _found_in(reference: str, passages: list[str]) -> list[tuple[int, int, str]]:
    """Where passages of a reply stand in the reference, word for word."""
    said, where = words(reference), places(reference)
    spans = []
    for passage in passages:
        wanted = words(passage)
        for at in range(len(said) - len(wanted) + 1):
            if said[at : at + len(wanted)] == wanted:
                spans.append((where[at][0], where[at + len(wanted) - 1][1], ""))
                break
    return spans
