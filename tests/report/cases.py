"""A campaign, and runs of it to report on."""

from __future__ import annotations

from types import SimpleNamespace

from harness.campaign import Campaign
from harness.journal import Journal, open_engine, sqlite_url
from harness.targets import Capabilities, Context, Reply
from tests.made_runs import keep

CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "claim": {"target": "t", "identity": "rio"},
        "targets": [
            {"name": n, "role": r, "engine": "embedded", "model": "lab:suspect"}
            for n, r in (("t", "suspect"), ("d", "donor"))
        ],
        "arms": ["absent", "bare"],
        "probes": ["identity", "backstory"],
    }
)


def run_of(folder, replies):
    """A run in a journal: replies by (target, arm, probe, question); None is a failure."""
    engine = open_engine(sqlite_url(folder / "journal.sqlite"))
    journal = Journal(engine, "c")
    source = "campaign: c\n# <b>&amp;"
    journal.record.begin("0" * 64, source, str(folder), "1" * 64, {"truename": "0"})
    journal.record.remember_target("t", Capabilities("embedded", "m", notes=("<i>note</i>",)))
    for place, (where, texts) in enumerate(replies.items()):
        said = [
            Reply(i, "ok", text=text) if text else Reply(i, "failed", error="HTTP 500: <b>down</b>")
            for i, text in enumerate(texts)
        ]
        injected = "You are Rio." if where[1] == "bare" else None
        context = Context({"temperature": 1.0}, "<|im_start|>user", 5, injected, "2" * 64)
        keep(journal, place, where, *said, asking=f"Who <{where[3]}>?", context=context)
    return SimpleNamespace(name="c", folder=folder, journal=journal, engine=engine)
