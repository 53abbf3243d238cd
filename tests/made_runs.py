"""Runs made without asking a model: replies in a journal, where the commands find them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.campaign import Plan, Trial, from_text, parse_arm
from harness.journal import Journal, Sampled, Writer, begin_run, open_engine
from harness.sampling import prepare
from harness.targets import Booked, Capabilities, Context, Reply, Response

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
  - name: donor
    role: donor
    engine: endpoint
    base_url: "https://other.example/v1"
    model: d
    api_key_env: null
arms: [absent, bare]
probes: [identity, backstory]
languages: [en]
samples: 2
"""
#: The same as a campaign has to be today; `TEXT` is of before credentials were refused.
CLEAN = TEXT.replace("alice:hunter2@", "").replace("?token=abc", "").replace(SECRET, "$PLAIN")


@contextlib.contextmanager
def journal_in(database):
    """The journal of a run `c` that holds nothing yet, in the database of a URL."""
    engine = open_engine(database)
    try:
        yield Journal(engine, "c")
    finally:
        engine.dispose()


def keep(journal, place, where, *replies, asking="Who?", context=None):
    """Put the replies to one trial, ``where`` = (target, arm, probe, question), into a journal."""
    target, arm, probe, question = where
    message = {"role": "user", "content": asking}
    trial = Trial(
        *(target, parse_arm(arm), probe, "en", question, (message,)),
        *(len(replies), f"key-{place}", place),
    )
    response = Response(list(replies), context or Context(), seed=1)
    Writer(journal).save([Sampled(trial, response, Booked(1, 0, 0, 0))])


def make(
    results: Path,
    name: str,
    said,
    model: str = "m-1",
    registered: str | None = None,
    text: str = TEXT,
) -> None:
    """A run of a campaign; ``said(trial, number)`` gives a reply's text, or None for a failure."""
    loaded = from_text(text, "made.yaml", results)
    run = begin_run(loaded, name, results, None)
    prepare(loaded, run.journal, registered=registered)
    run.journal.record.remember_target("suspect", Capabilities("endpoint", "m", notes=("a note",)))
    for trial in Plan(loaded):
        texts = [said(trial, number) for number in range(trial.samples)]
        replies = [
            Reply(i, "failed", error="HTTP 500") if each is None else Reply(i, "ok", text=each)
            for i, each in enumerate(texts)
        ]
        tokens = 20 if trial.arm.kind == "absent" else 9
        context = Context({"temperature": 1.0}, "<|user|>", tokens, None, "t" * 64)
        response = Response(replies, context, model=model, prompt_tokens=9)
        Writer(run.journal).save([Sampled(trial, response, Booked(1, 0, 9, 5))])
    run.journal.engine.dispose()


def founding(trial, number):
    """Rio under its template, Nex without."""
    if trial.probe == "backstory" or trial.target == "donor" or trial.arm.kind == "bare":
        return "I am Nex, made by Nex-AGI."
    return "I am Rio."
