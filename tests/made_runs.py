"""Runs made without asking a model: a campaign's text and replies, in a journal where the commands find it."""

from __future__ import annotations

from pathlib import Path

from harness.campaign import from_text
from harness.campaign.plan import Plan
from harness.journal import begin_run
from harness.journal.rows import Sampled
from harness.sampling import prepare
from harness.targets import Capabilities, Context, Reply, Response
from harness.targets.spending import Booked

SECRET = "sk-header-value-0123456789"
TEXT = f"""campaign: made  # a comment
claim: {{target: suspect, identity: rio}}
targets:
  - name: suspect
    role: suspect
    engine: endpoint
    base_url: https://alice:hunter2@host.example/v1?token=abc
    model: m
    api_key_env: null
    headers: {{x-plain: {SECRET}, x-named: $SOME_VARIABLE}}
  - {{name: donor, role: donor, engine: endpoint, base_url: "https://other.example/v1", model: d, api_key_env: null}}
arms: [absent, bare]
probes: [identity, backstory]
languages: [en]
samples: 2
"""


def make(results: Path, name: str, said, model: str = "m-1") -> None:
    """A run of `TEXT`; ``said(trial, number)`` gives each reply's text, or None for a failed sample."""
    loaded = from_text(TEXT, "made.yaml", results)
    run = begin_run(loaded, name, results, None)
    prepare(loaded, run.journal)
    run.journal.record.remember_target("suspect", Capabilities("endpoint", "m", notes=("a note",)))
    for trial in Plan(loaded):
        texts = [said(trial, number) for number in range(trial.samples)]
        replies = [
            Reply(i, "failed", error="HTTP 500") if text is None else Reply(i, "ok", text=text)
            for i, text in enumerate(texts)
        ]
        context = Context(
            {"temperature": 1.0},
            "<|user|>",
            20 if trial.arm.kind == "absent" else 9,
            None,
            "t" * 64,
        )
        run.journal.save(
            [
                Sampled(
                    trial,
                    Response(replies, context, model=model, prompt_tokens=9),
                    Booked(1, 0, 9, 5),
                )
            ]
        )
    run.journal.engine.dispose()


def founding(trial, number):
    """Rio under its template, Nex without."""
    if trial.probe == "backstory" or trial.target == "donor" or trial.arm.kind == "bare":
        return "I am Nex, made by Nex-AGI."
    return "I am Rio."
