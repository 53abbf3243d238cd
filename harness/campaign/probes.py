"""Probes: sets of questions that measure one thing, as data (`probes/*.yaml`)."""

from __future__ import annotations

from typing import Literal

from harness.campaign import folders
from harness.campaign.yamlfiles import Strict, parse, read_text, validate
from harness.errors import CampaignError, did_you_mean


class Probe(Strict):
    """One probe: what it measures, and the folder under `prompts/` that holds its questions."""

    probe: str
    measures: Literal["name", "maker", "backstory"]
    prompts: str
    description: str


def load_probe(name: str) -> Probe:
    """Read `probes/<name>.yaml`, the user's first."""
    path = folders.find(f"probes/{name}.yaml")
    if path is None:
        known = [p.stem for p in folders.every("probes", "*.yaml")]
        raise CampaignError(
            f"there is no probe '{name}': {did_you_mean(name, known)}",
            where="probes:",
            next=f"write probes/{name}.yaml, or mend the name",
        )
    found = parse(read_text(path, CampaignError), str(path), CampaignError)
    return validate(Probe, found, str(path), CampaignError)
