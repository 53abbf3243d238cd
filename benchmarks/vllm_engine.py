"""Tokens a second of a run on vLLM's engine in this process, against the engine given all the same prompts at once.

usage (in an environment that has vLLM): python benchmarks/vllm_engine.py
The engine is started once and serves both; what is compared is feeding it, start-up left out.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from harness.campaign import campaign as campaigns
from harness.campaign.plan import Plan
from harness.journal.database import open_engine, sqlite_url
from harness.journal.journal import Journal
from harness.sampling import sampler
from harness.targets import Capabilities
from harness.targets.vllm import BLOCK, Offline

CAMPAIGN = """
campaign: c
targets: [{name: t, role: suspect, engine: vllm, model: "lab:donor", enforce_eager: true, options: {seed: 0}}]
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


def main() -> None:
    from vllm import SamplingParams

    folder = Path(tempfile.mkdtemp())
    loaded = campaigns.from_text(CAMPAIGN, "here", folder)
    target = Started(loaded.campaign.targets[0])
    target.can = asyncio.run(Offline.preflight(target))
    sampler.open_target = lambda settings, pace=None: target
    ratios = []
    for number in range(4):
        journal = Journal(open_engine(sqlite_url(folder / f"{number}.sqlite")), "c")
        plan = Plan(loaded)
        progress = sampler.prepare(loaded, journal, plan)
        began = time.perf_counter()
        sampler.Sampler(loaded, journal, progress, plan).run()
        took = time.perf_counter() - began
        rows = list(journal.rows())
        tokens = sum(row["completion_tokens"] for row in rows)
        blocks = [row for row in rows if row["sample"] % BLOCK == 0]
        prompts = [
            {
                "prompt_token_ids": target._tokenizer.encode(
                    row["rendered_prompt"], add_special_tokens=False
                )
            }
            for row in blocks
        ]
        parameters = [
            SamplingParams(**msgspec.json.decode(row["sent"]), seed=row["seed"]) for row in blocks
        ]
        began = time.perf_counter()
        outputs = target._engine.generate(prompts, parameters, use_tqdm=False)
        direct = time.perf_counter() - began
        theirs = sum(len(choice.token_ids) for output in outputs for choice in output.outputs)
        ratio = (tokens / took) / (theirs / direct)
        print(
            f"{'warming up: ' if number == 0 else ''}run {tokens / took:,.0f} tokens/s, engine {theirs / direct:,.0f}: {ratio:.1%}"
        )
        ratios += [ratio] if number else []
    print(f"median {sorted(ratios)[1]:.1%}")
    asyncio.run(Offline.close(target))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
