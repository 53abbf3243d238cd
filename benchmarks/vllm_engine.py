"""Tokens a second of a run on vLLM's engine in this process, against the engine itself.

usage (in an environment that has vLLM): python benchmarks/vllm_engine.py
The engine itself is given all the same prompts at once. It is started once and serves both; what
is compared is feeding it, start-up left out.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from harness.campaign import Loaded, Plan, from_text
from harness.journal import Journal, open_engine, sqlite_url
from harness.sampling import prepare, sampler
from harness.targets import Capabilities
from harness.targets.vllm import BLOCK, Offline

CAMPAIGN = """
campaign: c
targets:
  - name: t
    role: suspect
    engine: vllm
    model: "lab:donor"
    enforce_eager: true
    options: {seed: 0}
arms: [absent]
probes: [identity]
languages: [en]
samples: 96
sampling: {max_tokens: 64}
"""


class Started(Offline):
    """An engine that is started already and stays."""

    can: Capabilities

    async def preflight(self, sampling: Any = None) -> Capabilities:
        return self.can

    async def close(self) -> None:
        self._runner = None


def through_a_run(loaded: Loaded, journal: Journal) -> float:
    """Tokens a second of a run, which leaves its samples in a journal."""
    plan = Plan(loaded)
    progress = prepare(loaded, journal, plan)
    began = time.perf_counter()
    sampler.Sampler(loaded, journal, progress, plan).run()
    took = time.perf_counter() - began
    return sum(row["completion_tokens"] for row in journal.rows()) / took


def directly(target: Started, rows: list[dict[str, Any]]) -> float:
    """Tokens a second of the engine, given the blocks of those samples at once."""
    from vllm import SamplingParams

    blocks = [row for row in rows if row["sample"] % BLOCK == 0]
    encode = target._tokenizer.encode
    prompts = [
        {"prompt_token_ids": encode(row["rendered_prompt"], add_special_tokens=False)}
        for row in blocks
    ]
    parameters = [
        SamplingParams(**msgspec.json.decode(row["sent"]), seed=row["seed"]) for row in blocks
    ]
    began = time.perf_counter()
    outputs = target._engine.generate(prompts, parameters, use_tqdm=False)
    took = time.perf_counter() - began
    return sum(len(choice.token_ids) for output in outputs for choice in output.outputs) / took


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    loaded = from_text(CAMPAIGN, "here", folder)
    target = Started(loaded.campaign.targets[0])
    target.can = asyncio.run(Offline.preflight(target))
    sampler.open_target = lambda settings, pace=None: target
    ratios = []
    for number in range(4):
        journal = Journal(open_engine(sqlite_url(folder / f"{number}.sqlite")), "c")
        ours = through_a_run(loaded, journal)
        theirs = directly(target, list(journal.rows()))
        warming = "warming up: " if number == 0 else ""
        print(f"{warming}run {ours:,.0f} tokens/s, engine {theirs:,.0f}: {ours / theirs:.1%}")
        ratios += [ours / theirs] if number else []
    print(f"median {sorted(ratios)[1]:.1%}")
    asyncio.run(Offline.close(target))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
