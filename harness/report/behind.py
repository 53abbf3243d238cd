"""Who answered, and whether the prompts were those that the user expects: by the host's own words.

A named folder is what the user believes of a model. Its prompts are compared with the tokens that
the host bills, and never told as the host's own.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from harness.campaign import Campaign
from harness.exposure.counts import CONVENTION


class Expected(NamedTuple):
    """Prompt tokens that the host billed beside those expected, in medians.

    ``agreeing`` of ``compared`` replies differ by no more than the marks that hosts count or not.
    """

    billed: float
    tokens: float
    agreeing: int
    compared: int

    @property
    def agrees(self) -> bool:
        return 2 * self.agreeing > self.compared


class Served(NamedTuple):
    """The model that was asked, and what the host said of who answered."""

    asked: str
    models: tuple[str, ...]
    fingerprints: tuple[str, ...]
    providers: tuple[str, ...]

    @property
    def another(self) -> list[str]:
        """Names of models that are not the one asked."""
        return [model for model in self.models if model != self.asked]

    @property
    def changes(self) -> list[str]:
        """What did not stay the same within the run."""
        kinds = {"models": self.models, "fingerprints": self.fingerprints}
        kinds |= {"providers": self.providers}
        return [
            f"{len(found)} {kind} ({', '.join(found[:4])}{', ...' if len(found) > 4 else ''})"
            for kind, found in kinds.items()
            if len(found) > 1
        ]


class Behind(NamedTuple):
    """By target what is known of it; targets of which nothing is known are left out."""

    expected: dict[str, Expected]
    served: dict[str, Served]


NOTHING = Behind({}, {})


def behind(samples: pd.DataFrame, campaign: Campaign) -> Behind:
    """What a run's samples say of who stood behind each target; ``samples`` as they are counted."""
    expected, served = {}, {}
    for target in campaign.targets:
        mine = samples[samples["target"] == target.name]
        billed, tokens = (
            mine[name].astype(float)
            for name in ("prompt_tokens_reported", "expected_prompt_tokens")
        )
        known = billed.notna() & tokens.notna()
        if known.any():
            off = (billed - tokens)[known].abs() <= CONVENTION
            expected[target.name] = Expected(
                float(billed[known].median()),
                float(tokens[known].median()),
                int(off.sum()),
                int(known.sum()),
            )
        said = (
            tuple(sorted(mine[name].dropna().astype(str).unique()))
            for name in ("model", "fingerprint", "provider")
        )
        served[target.name] = Served(target.model, *said)
    return Behind(expected, served)
