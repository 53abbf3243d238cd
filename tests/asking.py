"""The lab's models: asked on the embedded engine, and behind llama.cpp's own server."""

from __future__ import annotations

import asyncio

import xllamacpp

from harness.campaign import EmbeddedTarget, Sampling, parse_arm
from harness.campaign.plan import arm_messages
from harness.lab import build
from harness.targets import Request
from harness.targets.embedded import Embedded


def responses(model, asked):
    """Responses to (arm, system, question) triples at the demo's temperature."""

    async def go():
        target = Embedded(
            EmbeddedTarget(name="t", role="suspect", engine="embedded", model=f"lab:{model}")
        )
        await target.preflight()
        requests = [
            Request(
                f"k{i}",
                parse_arm(arm),
                arm_messages(parse_arm(arm), question, system),
                Sampling(temperature=0.7, max_tokens=60),
                (0,),
                99,
            )
            for i, (arm, system, question) in enumerate(asked)
        ]
        found = [await target.sample(r) for r in requests]
        await target.close()
        return found

    return asyncio.run(go())


def replies(model, asked):
    """The one reply of each response."""
    return [response.replies[0] for response in responses(model, asked)]


def served(model, slots=2):
    """llama.cpp's own server of a model of the lab."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(build(model, "gguf"))
    parameters.n_ctx, parameters.n_parallel = 1024 * slots, slots
    parameters.verbosity, parameters.warmup = -1, False
    return xllamacpp.Server(parameters)
