"""What a user names to be inspected: a campaign's target, a URL, a file, a folder."""

from __future__ import annotations

from pathlib import Path

from harness.campaign import (
    EmbeddedTarget,
    EndpointTarget,
    Settings,
    in_address,
    load_campaign,
    without_credentials,
)
from harness.errors import CampaignError, TargetError, did_you_mean


def named(
    target: str,
    campaign: str | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    tokenizer: str | None = None,
) -> Settings | Path:
    """The entry of a target, or the folder of a model's files.

    Raises
    ------
    CampaignError
        The campaign has no such target.
    TargetError
        A URL comes without the model's name.
    """
    if campaign:
        wanted = load_campaign(campaign).campaign
        found = next((t for t in wanted.targets if t.name == target), None)
        if found is None:
            known = did_you_mean(target, [t.name for t in wanted.targets])
            raise CampaignError(
                f"the campaign has no target '{target}': {known}",
                where=campaign,
                next="give the name of one of its targets",
            )
        return found
    if target.startswith(("http://", "https://")):
        shown = without_credentials(target)
        if not model:
            raise TargetError("a URL needs the model's name", where=shown, next="add --model NAME")
        if in_address(target):
            raise TargetError(
                "the URL holds what looks like a credential",
                where=shown,
                next="give the URL without it, and --api-key-env with the name of a variable",
            )
        return EndpointTarget(
            name="endpoint",
            role="suspect",
            engine="endpoint",
            base_url=target,
            model=model,
            api_key_env=api_key_env,
            tokenizer=tokenizer,
        )
    if target.startswith("lab:") or Path(target).is_file():
        return EmbeddedTarget(name="file", role="suspect", engine="embedded", model=target)
    return Path(target)


def asked(
    target: str,
    campaign: str | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
) -> Settings:
    """The entry of a target that answers questions.

    Raises
    ------
    CampaignError, TargetError
        As `named`, or it is nothing that can be asked.
    """
    place = named(target, campaign, model, api_key_env)
    if isinstance(place, Path):
        raise TargetError(
            "this is nothing that can be asked",
            where=target,
            next="give a GGUF file, lab:NAME, or a URL with --model; serve a folder with vLLM",
        )
    return place
