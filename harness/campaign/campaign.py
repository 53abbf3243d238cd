"""A campaign: one YAML file with targets, arms, probes, languages, samples, sampling and budget.

Unknown keys are refused with a suggestion. Secrets are names of environment variables, never
values (`private.py`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from harness.campaign import folders, private
from harness.campaign.entries import EmbeddedTarget, EndpointTarget, Name, VllmTarget
from harness.campaign.identities import load_book
from harness.campaign.native import NativeTarget
from harness.campaign.providers import each_host
from harness.campaign.yamlfiles import Strict, parse, read_text, validate
from harness.encodings import encoding_of
from harness.errors import CampaignError, did_you_mean

PLAIN_ARMS: Final = ("absent", "empty", "bare")
FILE_ARMS: Final = ("given", "decoy")


class Sampling(Strict):
    """Every sampling parameter; all are sent and stored: no host's default decides in silence."""

    temperature: float = Field(1.0, ge=0, le=5, description="0 asks for the likeliest token")
    top_p: float = Field(
        1.0, gt=0, le=1, description="tokens are drawn from the likeliest that have this share"
    )
    max_tokens: int = Field(
        512, ge=1, le=1_000_000, description="longest reply, its reasoning included"
    )
    seed: int | None = Field(0, ge=0, lt=2**31, description="None sends no seed")
    presence_penalty: float = Field(
        0.0, ge=-2, le=2, description="taken from the logit of a token that came before"
    )
    frequency_penalty: float = Field(
        0.0, ge=-2, le=2, description="the same, for each time that it came"
    )
    stop: list[str] = Field([], max_length=4, description="texts at which a reply ends")


#: The entry of a target, whichever engine it names.
Settings = EmbeddedTarget | VllmTarget | EndpointTarget | NativeTarget
Target = Annotated[Settings, Field(discriminator="engine")]


class Arm(NamedTuple):
    """What the model is told first."""

    kind: Literal["absent", "empty", "bare", "given", "decoy"]
    file: str | None

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.file}" if self.file else self.kind


def parse_arm(text: str) -> Arm:
    kind, _, file = text.partition(":")
    if kind in PLAIN_ARMS and not file:
        return Arm(kind, None)  # type: ignore[arg-type]
    if kind in FILE_ARMS and file:
        return Arm(kind, file)  # type: ignore[arg-type]
    if kind in FILE_ARMS:
        raise ValueError(f"the arm '{kind}' names a system prompt, such as {kind}:system/named.j2")
    raise ValueError(f"unknown arm '{text}': {did_you_mean(kind, (*PLAIN_ARMS, *FILE_ARMS))}")


class Claim(Strict):
    """The claim under test: this target is (or is not) that identity."""

    target: Name = Field(description="a target of this campaign")
    identity: str = Field(description="by id of the identity book")


class Budget(Strict):
    """Caps that are never passed. None is no cap."""

    requests: int | None = Field(None, ge=1, description="requests that reach a host")
    tokens: int | None = Field(None, ge=1, description="tokens of prompts and replies together")
    money: float | None = Field(None, gt=0, description="by the targets' prices")


class Limits(Strict):
    """How patient the sampler is."""

    attempts: int = Field(4, ge=1, le=20, description="times that one request is tried")
    attempt_wall_s: float = Field(
        600,
        gt=0,
        description="seconds that all attempts of one request may take together, "
        "and that a host may let nobody in",
    )
    wait_at_most_s: float = Field(
        300, gt=0, description="seconds that are waited at most at once because a host asks for it"
    )
    stop_at_error_rate: float = Field(
        0.5, gt=0, le=1, description="a target stops when this share of its last 50 requests failed"
    )
    stop_run_at_error_rate: float = Field(
        0.5, gt=0, le=1, description="the run stops when this share of its last 200 requests failed"
    )
    breaker_after: int = Field(
        8, ge=1, le=1000, description="failures in a row after which a target's breaker opens"
    )
    finish_s: float = Field(
        60,
        ge=0,
        description="seconds that requests in flight get to finish when the run is stopped",
    )


class Stop(Strict):
    """When sampling of a target and arm ends.

    That is once it is sure whether the target names itself so less, or more, often than a
    threshold.
    """

    identity: str = Field(description="by id of the identity book")
    below: float | None = Field(
        None, gt=0, lt=1, description="stop once it is sure that the rate is below; or `above`"
    )
    above: float | None = Field(
        None, gt=0, lt=1, description="stop once it is sure that the rate is above; or `below`"
    )
    alpha: float = Field(0.01, gt=0, lt=0.5, description="chance of being sure and wrong")

    @model_validator(mode="after")
    def _one_threshold(self) -> Stop:
        if (self.below is None) == (self.above is None):
            raise ValueError(
                "stop names one threshold: below or above, "
                "such as {identity: rio, below: 0.05, alpha: 0.01}"
            )
        return self

    @property
    def threshold(self) -> float:
        return self.above if self.below is None else self.below  # type: ignore[return-value]


class Campaign(Strict):
    """One campaign, validated."""

    campaign: Name = Field(description="its name, and that of its run if none is given")
    description: str = Field("", description="for people; stands in the report")
    claim: Claim | None = Field(
        None, description="the claim under test, which the report's first sentence judges"
    )
    targets: list[Target] = Field(min_length=1, description="who is asked, by engine")
    arms: list[str] = Field(
        ["absent", "bare"],
        min_length=1,
        description="what the model is told first: `absent` no system message, `empty` an empty "
        "one, `bare` not even what the chat template puts there, `given:FILE` and `decoy:FILE` "
        "a system prompt below `prompts/`",
    )
    probes: list[Name] = Field(
        ["identity"], min_length=1, description="sets of questions: files of `probes/` by name"
    )
    languages: list[Name] = Field(
        ["en"], min_length=1, description="files of the probes' folders by name, such as en, pt"
    )
    samples: int | dict[Name, int] = Field(
        1, description="how often each question is asked; or a number for each probe"
    )
    sampling: Sampling = Field(Sampling(), description="parameters of every request")
    variables: dict[str, str] = Field({}, description="values for the prompts' placeholders")
    budget: Budget = Field(Budget(), description="caps of the whole run")
    limits: Limits = Field(Limits(), description="patience with hosts that fail")
    stop: Stop | None = Field(None, description="end a target's arm early, once it is clear")

    @field_validator("arms")
    @classmethod
    def _arms_parse(cls, arms: list[str]) -> list[str]:
        for arm in arms:
            parse_arm(arm)
        return arms

    @field_validator("targets")
    @classmethod
    def _a_target_each_host(cls, targets: list[Any]) -> list[Any]:
        return list(each_host(targets))

    @field_validator("targets", "arms", "probes", "languages")
    @classmethod
    def _no_twins(cls, entries: list[Any]) -> list[Any]:
        names = [getattr(e, "name", e) for e in entries]
        twins = {n for n in names if names.count(n) > 1}
        if twins:
            raise ValueError(f"stands twice: {', '.join(sorted(twins))}")
        return entries

    @model_validator(mode="after")
    def _fits_together(self) -> Campaign:
        names = {t.name for t in self.targets}
        if self.claim and self.claim.target not in names:
            meant = did_you_mean(self.claim.target, names)
            raise ValueError(
                f"claim.target '{self.claim.target}' is no target of this campaign: {meant}"
            )
        counts = self.samples.values() if isinstance(self.samples, dict) else [self.samples]
        if any(count < 0 for count in counts):
            raise ValueError("samples are counted from 0 up")
        if isinstance(self.samples, dict) and (stray := sorted({*self.samples} - {*self.probes})):
            meant = did_you_mean(stray[0], self.probes)
            raise ValueError(f"samples names no probe of this campaign: '{stray[0]}': {meant}")
        if not any(self.samples_of(probe) for probe in self.probes):
            raise ValueError("the campaign has no samples: give 'samples: 1' or more")
        return self

    def samples_of(self, probe: str) -> int:
        """Samples for each question of a probe."""
        return self.samples.get(probe, 0) if isinstance(self.samples, dict) else self.samples

    @property
    def arm_list(self) -> list[Arm]:
        return [parse_arm(arm) for arm in self.arms]

    def target(self, name: str) -> Settings:
        return next(t for t in self.targets if t.name == name)


#: How fast, how patiently and at what price: a run may be resumed with others.
_PACE: Final = (
    "price",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "timeout_s",
    "start_timeout_s",
    "api_key_env",
    "workers",
    "threads",
    "python",
)


def deciding(campaign: Campaign) -> dict[str, Any]:
    """What a campaign says about its samples, without what only says how they are fetched."""
    said = campaign.model_dump(mode="json", exclude={"budget", "limits", "description"})
    for target in said["targets"]:
        for key in _PACE:
            target.pop(key, None)
        target.pop("providers", None)  # which are targets of their own by now
        if not target.get("auto_omit"):  # which a campaign of before could not say
            target.pop("auto_omit", None)
    return said


class Loaded(NamedTuple):
    """A campaign, its text less what looks like a credential, and the folder that it lies in."""

    campaign: Campaign
    source: str
    folder: Path

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the samples, not of comments, layout, budget, limits or pace."""
        said = json.dumps(deciding(self.campaign), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def load_campaign(name: str) -> Loaded:
    """Read a campaign by path, or by name from `probes/campaigns/`.

    Raises
    ------
    CampaignError
        The file is missing, is not YAML, has an unknown key, does not fit together, or holds what
        looks like a credential.
    """
    path = _path_of(name)
    return _kept(read_text(path, CampaignError), str(path), path.parent)


def piped_campaign(content: bytes) -> Loaded:
    """A campaign that standard input says; its system prompts are named from where one stands.

    Raises
    ------
    CampaignError
        As `load_campaign`.
    """
    try:
        text = content.decode(encoding_of(content[:4]))
    except UnicodeDecodeError as problem:
        raise CampaignError(
            f"standard input is no {problem.encoding.upper()} text",
            next="pipe a campaign as plain UTF-8 YAML",
        ) from None
    return _kept(text, "standard input", Path())


def _kept(source: str, where: str, folder: Path) -> Loaded:
    loaded = from_text(source, where, folder)
    private.refuse(loaded.campaign, where)
    return loaded._replace(source=private.kept_text(loaded.source))


def _path_of(name: str) -> Path:
    if (path := Path(name)).is_file():
        return path
    shipped = f"probes/campaigns/{name}"
    found = folders.find(shipped) or folders.find(f"{shipped}.yaml")
    if found is None or not found.is_file():
        known = [p.stem for p in folders.every("probes/campaigns", "*.yaml")]
        raise CampaignError(
            "there is no such campaign file",
            where=name,
            next=f"give a path, or one of the shipped names; {did_you_mean(name, known)}",
        )
    return found


def from_text(source: str, where: str, folder: Path) -> Loaded:
    campaign = validate(Campaign, parse(source, where, CampaignError), where, CampaignError)
    book = load_book()
    for naming in (*campaign.targets, campaign.claim, campaign.stop):
        if naming and naming.identity:
            book.require_family(naming.identity, where)
    return Loaded(campaign, source, folder)
