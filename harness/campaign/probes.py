"""Probes: sets of questions that measure one thing, as data (`probes/*.yaml`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from pydantic import Field

from harness.campaign import folders
from harness.campaign.yamlfiles import Strict, parse, read_text, validate
from harness.errors import CampaignError, did_you_mean


class Probe(Strict):
    """One probe: what it measures, and the folder under `prompts/` that holds its questions."""

    probe: str = Field(description="its name; that of the file")
    measures: Literal["name", "maker", "backstory", "words"] = Field(
        description="what its rates are of: names, makers, or texts recited; `words` are compared "
        "with those of known models"
    )
    prompts: str = Field(
        description="folder below `prompts/`; a file a language, a block a question"
    )
    description: str = Field(description="what is asked, and why, for people")


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
    return _probe(read_text(path, CampaignError), str(path))


@lru_cache(maxsize=100)
def _probe(text: str, where: str) -> Probe:
    """A probe is asked for wherever one of its samples is met: its text is parsed once."""
    return validate(Probe, parse(text, where, CampaignError), where, CampaignError)
