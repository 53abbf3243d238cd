"""Asking a target who it is: a small campaign, what stands before a question, and single words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from harness import exposure, lineup
from harness.campaign import EmbeddedTarget, Loaded, Settings, load_book, piped_campaign
from harness.counting import Tables
from harness.exposure import Inspection
from harness.journal import campaign_of, find_run
from harness.report import Story, told_of, unfinished, write_page
from harness.sampling import Sitting, sit
from harness.scoring import names_in
from harness.whois.dossier import Dossier, Witness, decided

LANGUAGES: Final = ("en", "pt", "zh", "es")
#: Single words at most (fewer name nobody), and the seconds that `inspect` may take.
WORDS, WITHIN_S = 60, 120.0
#: Small requests that a check takes at most, but for those that are tried again: 16 questions under
#: 3 arms, the words, the counts that `inspect` compares, and what is tried first.
REQUESTS: Final = 160


class _Told(NamedTuple):
    """What the campaign showed."""

    story: Story
    tables: Tables
    owed: Sequence[str]


def ask(
    target: Settings,
    claim: str,
    *,
    name: str,
    like: str | None = None,
    results: Path = Path("results"),
    store: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Dossier:
    """Ask a target, and put together what was found; killed, the same call goes on.

    Parameters
    ----------
    claim:
        Who it is presented as: an id of the identity book.
    name:
        Of the run; that of the single words has ``-words`` behind.
    like:
        The reference of the model that it is said to be (`truename references list`).

    Raises
    ------
    TruenameError
        The claim is in no book, or the target cannot be asked.
    """
    target = target.model_copy(update={"name": "suspect", "role": "suspect"})
    loaded = campaign(name, target, claim)
    chosen = lineup.choose((), like)  # what cannot be compared is told before anything is asked
    sat = sit(Sitting(loaded, name, results, store), say, names_in)
    opened = find_run(name, results, store)
    inspected = exposure.inspect(target, 0, WITHIN_S)
    exposure.write(inspected, opened.folder)
    words = lineup.ask(
        target,
        chosen.models,
        chosen.battery,
        claim=like,
        budget=WORDS,
        results=results,
        run=f"{name}-words",
        store=store,
        say=say,
    ).verdict
    owed = unfinished(opened)
    asked_of = campaign_of(opened)
    tables = write_page(opened, asked_of, opened.folder / "report.html", first=owed)
    told = _Told(told_of(tables, asked_of), tables, owed)
    opened.journal.engine.dispose()
    outcome, why = decided(told.story, words, bool(sat.stopped or owed))
    book = load_book().families.get(claim)
    presented = book.name if book else claim
    return Dossier(
        f"Who answers as {target.model}, presented as {presented}?",
        outcome,
        why,
        (_testimony(told), _served(told, target), _exposure(inspected), _behaviour(words)),
        _next(target, name, claim, words),
    )


def campaign(name: str, target: Settings, claim: str) -> Loaded:
    """The campaign that asks who somebody is: direct questions, with and without system prompts."""
    said: dict[str, Any] = {
        "campaign": name,
        "description": "who answers here: direct questions in four languages",
        "claim": {"target": target.name, "identity": claim},
        "targets": [
            {"engine": target.engine}
            | target.model_dump(mode="json", exclude_unset=True)
            | {"identity": claim}
        ],
        "arms": ["absent", "empty", "bare"],
        "probes": ["whois"],
        "languages": list(LANGUAGES),
        "samples": 2 if isinstance(target, EmbeddedTarget) else 1,  # here they cost nobody
        "sampling": {"temperature": 1.0, "max_tokens": 200, "seed": 0},
    }
    return piped_campaign(yaml.safe_dump(said, sort_keys=False, allow_unicode=True).encode())


def _testimony(told: _Told) -> Witness:
    numbers = "; ".join(told.story.numbers) or "no reply could be counted"
    owed = f" {told.owed[0]}" if told.owed else ""
    return Witness(
        "testimony",
        f"{numbers}.{owed}",
        "a name is what a model was taught, or told, to say; it is no proof of its weights",
    )


def _served(told: _Told, target: Settings) -> Witness:
    found = {
        kind: sorted(str(value) for value in told.tables.samples[kind].dropna().unique())
        for kind in ("model", "provider")
    }
    said = "; ".join(f"{kind} {', '.join(values)}" for kind, values in found.items() if values)
    return Witness(
        "the host's word",
        f"it returns {said} for {target.model}" if said else "it names no model",
        "a host writes there what it likes",
    )


def _exposure(found: Inspection) -> Witness:
    said = " ".join(f"{line.rstrip('.')}." for line in found.verdict) or "nothing was found out"
    return Witness(
        "what stands before a question",
        said,
        "text after a question, or kept for some questions, is not seen",
    )


def _behaviour(found: lineup.Verdict) -> Witness:
    best = ", ".join(f"{one.model} {one.log_bf:+.1f}" for one in found.ranked[:3])
    about = f" (as {found.claim})" if found.claim else ""
    return Witness(
        "behaviour",
        f"{found.said}{about}: {found.why}; log factors: {best}",
        "a host that changes prompt, sampler or precision changes single words too; models without "
        "a reference are not known",
    )


def _next(target: Settings, name: str, claim: str, words: lineup.Verdict) -> tuple[str, ...]:
    said = [
        "weights, where they are published: truename weights SUSPECT --parents DONOR BASE",
        "a trusted host of the claimed model, asked the same fresh words now: truename lineup "
        f"{target.model if target.model.startswith('lab:') else 'TARGET'} --against TARGET2",
    ]
    if words.claim is None:
        said.append("a reference of the claimed model: truename references make TARGET --name NAME")
    said.append(f"more questions and samples than these few: truename init campaign NAME ({claim})")
    return (*said, f"every reply: truename show {name} --where arm=absent")
