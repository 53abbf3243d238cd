"""An audit: a campaign on a schedule, with a baseline, what counts as an alarm, and whom to tell.

One YAML file each in `probes/audits/`.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import Field, field_validator, model_validator

from harness.campaign import (
    Budget,
    Loaded,
    Name,
    Strict,
    VariableName,
    folders,
    load_campaign,
    parse,
    read_text,
    validate,
)
from harness.errors import AuditError, did_you_mean

HORIZONS: Final = tuple(datetime.timedelta(hours=h) for h in (2, 26, 24 * 8, 24 * 32, 24 * 367))


class Schedule(Strict):
    """When: five fields of cron in a time zone.

    ``jitter_s`` spreads the start, for servers that keep the schedule themselves.
    """

    cron: str = Field(description="minute, hour, day, month, weekday, such as '0 */6 * * *'")
    timezone: str = Field("UTC", description="such as Europe/Lisbon")
    jitter_s: float = Field(
        0, ge=0, le=86_400, description="`audit serve` starts up to so many seconds later"
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(
                f"there is no time zone '{name}'; "
                "names are such as UTC, Europe/Lisbon, America/Sao_Paulo"
            ) from None
        return name

    @model_validator(mode="after")
    def _is_cron(self) -> Schedule:
        try:
            self.trigger()
        except ValueError as problem:
            raise ValueError(
                f"'{self.cron}' is no cron expression: {problem}; "
                "write minute, hour, day, month and weekday, such as '0 */6 * * *'"
            ) from None
        return self

    def trigger(self) -> Any:
        from apscheduler.triggers.cron import CronTrigger

        return CronTrigger.from_crontab(_by_name(self.cron), timezone=ZoneInfo(self.timezone))

    def due(self, now: datetime.datetime) -> datetime.datetime | None:
        """The last time that the schedule came round, up to ``now``.

        None if it never did within a year.
        """
        trigger = self.trigger()
        for horizon in HORIZONS:
            at = trigger.get_next_fire_time(None, now - horizon)
            if at is not None and at <= now:
                while (
                    following := trigger.get_next_fire_time(at, at + datetime.timedelta(seconds=1))
                ) is not None and following <= now:
                    at = following
                return at.astimezone(datetime.UTC)  # type: ignore[no-any-return]
        return None

    def next(self, now: datetime.datetime) -> datetime.datetime | None:
        """The next time after ``now``."""
        at = self.trigger().get_next_fire_time(None, now + datetime.timedelta(seconds=1))
        return None if at is None else at.astimezone(datetime.UTC)


_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _by_name(cron: str) -> str:
    """A cron expression with its weekdays by name: to cron 0 is Sunday, to apscheduler Monday."""
    *others, days = cron.split(" ") or [""]
    parts: list[str] = []
    for part in days.split(","):
        found = re.fullmatch(r"([0-7])(?:-([0-7]))?(?:/([1-7]))?", part)
        if found is None:
            parts.append(part)
        elif found[2] is None and found[3] is None:
            parts.append(_DAYS[int(found[1])])
        else:
            last = int(found[2] or 6)
            parts += [_DAYS[day] for day in range(int(found[1]), last + 1, int(found[3] or 1))]
            if last < int(found[1]):
                return cron  # apscheduler says what is wrong with it
    return " ".join([*others, ",".join(dict.fromkeys(parts))])


class Caps(Strict):
    """Caps of one run, and of a calendar month in the schedule's time zone."""

    run: Budget = Field(Budget(), description="of one audit")
    month: Budget = Field(Budget(), description="of a calendar month in the schedule's time zone")


class OfRun(Strict):
    """A named run of the same database as the baseline."""

    run: Name = Field(description="a run of the same database")


Rate = Annotated[float, Field(gt=0, lt=1)]
Severity = Literal["info", "warning", "critical"]
Witness = Literal[
    "rates",
    "refusals",
    "lengths",
    "latency",
    "model",
    "template",
    "prompt_tokens",
    "fingerprint",
    "provider",
    "silence",
    "failures",
    "gaps",
    "budget",
]
#: What is watched where an audit does not say.
WATCHED: Final[tuple[Witness, ...]] = (
    *("rates", "refusals", "lengths", "model", "template", "prompt_tokens"),
    *("silence", "failures", "gaps", "budget"),
)


class Alarm(Strict):
    """What counts as an alarm.

    ``alpha`` bounds the chance of ever a false one about rates, for each target and from one
    change to the next; `drift.py` says what that rests on.
    """

    alpha: float = Field(
        0.01, gt=0, lt=0.5, description="chance of ever a false alarm about a target's rates"
    )
    watch: list[Witness] = Field(
        list(WATCHED),
        description="what is told when it changes; what is added is watched from then on",
    )
    after: int = Field(
        1,
        ge=1,
        le=1000,
        description="audits in a row that fail before silence or failures are told",
    )
    failed_share: float = Field(
        0.25, gt=0, le=1, description="share of a target's samples that fail, from which it is told"
    )
    severity: dict[Witness, Severity] = Field(
        {}, description="how grave what a witness says is, where it is not as it ships"
    )
    remind_h: float | None = Field(
        None,
        ge=0.25,
        le=8_760,
        description="hours after which an alarm is told again that is open and not acknowledged",
    )
    wander: tuple[Rate, Rate] | None = Field(
        None,
        description="rates that wander in this band, lowest and highest, are no change; "
        "other rates may wander by as much in their odds",
    )
    claimed_rate: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="baseline: claim: the presented identity is given at least this often",
    )

    @model_validator(mode="after")
    def _is_band(self) -> Alarm:
        if self.wander is not None and self.wander[0] >= self.wander[1]:
            raise ValueError("wander is the lowest and the highest rate, such as [0.8, 0.95]")
        return self


def _address(text: str) -> str:
    if not (text.startswith("$") or re.match(r"^https?://", text)):
        raise ValueError(
            "an address starts with http:// or https://, or is '$NAME' of an environment variable"
        )
    return text


class Route(Strict):
    """Which alarms a channel gets."""

    severity: list[Severity] = Field([], description="only those as grave as one of these")
    targets: list[Name] = Field([], description="only those of one of these, or of no target")


class Routed(Strict):
    """A channel, and which alarms it gets."""

    alarms: Route = Field(Route(), description="which alarms it gets; default: all")


class Webhook(Routed):
    """A POST of JSON, signed with HMAC-SHA256 where ``secret_env`` names the secret's variable."""

    kind: Literal["webhook"] = Field(description="webhook")
    url: str = Field(description="address, or $NAME of the variable that holds it")
    secret_env: VariableName | None = Field(
        None, description="variable that holds the secret to sign with"
    )

    _checked = field_validator("url")(_address)


class Slack(Routed):
    """A message to a Slack-compatible incoming webhook."""

    kind: Literal["slack"] = Field(description="slack")
    url: str = Field(description="address, or $NAME of the variable that holds it")

    _checked = field_validator("url")(_address)


class Email(Routed):
    """A mail by SMTP."""

    kind: Literal["email"] = Field(description="email")
    to: list[str] = Field(min_length=1, description="addresses")
    sender: str = Field(description="the address that it comes from")
    host: str = Field("localhost", description="the mail server")
    port: int = Field(25, ge=1, le=65_535, description="its port")
    starttls: bool = Field(False, description="encrypt before anything is said")
    user: str | None = Field(None, description="to log in with")
    password_env: VariableName | None = Field(None, description="variable that holds the password")


class Command(Routed):
    """A command that gets the alarm as JSON on its standard input."""

    kind: Literal["command"] = Field(description="command")
    run: list[str] = Field(min_length=1, description="the program and its arguments, no shell")


Channel = Annotated[Webhook | Slack | Email | Command, Field(discriminator="kind")]


class Maintenance(Strict):
    """A time in which nobody is told; what is open at its end is told then."""

    cron: str | None = Field(None, description="when it begins, again and again")
    hours: float = Field(1, gt=0, le=168, description="how long it lasts each time")
    begins: datetime.datetime | None = Field(None, description="when it begins, once")
    targets: list[Name] = Field([], description="of these targets; none names all")

    @model_validator(mode="after")
    def _is_one(self) -> Maintenance:
        if (self.cron is None) == (self.begins is None):
            raise ValueError("write cron (again and again) or begins (once)")
        if self.cron is not None:
            Schedule(cron=self.cron)
        return self

    def holds(self, now: datetime.datetime, timezone: str) -> bool:
        """Whether it lasts at an instant; ``timezone`` is that of the schedule."""
        if self.begins is not None:
            zone = ZoneInfo(timezone)
            begun = self.begins if self.begins.tzinfo else self.begins.replace(tzinfo=zone)
        else:
            found = Schedule(cron=str(self.cron), timezone=timezone).due(now)
            if found is None:
                return False
            begun = found
        return begun <= now < begun + datetime.timedelta(hours=self.hours)


class Audit(Strict):
    """One audit, validated."""

    audit: Name = Field(description="its name; that of the file")
    description: str = Field("", description="for people; stands on the page")
    campaign: str = Field(description="by name, or a path beside this file")
    targets: list[Name] = Field([], description="targets of the campaign; none names all")
    schedule: Schedule = Field(description="when it is due")
    budget: Caps = Field(Caps(), description="caps of what it may spend")
    baseline: Literal["first", "claim"] | OfRun = Field(
        "first",
        description="what it is compared with: the first audit, the published identity, or a run",
    )
    alarm: Alarm = Field(Alarm(), description="what counts as a change")
    notify: list[Channel] = Field([], description="whom to tell")
    maintenance: list[Maintenance] = Field([], description="times in which nobody is told")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="address under which `audit serve` is reached, for links in what is told",
    )


class LoadedAudit(NamedTuple):
    """An audit with its campaign, cut down to its targets and capped."""

    audit: Audit
    campaign: Loaded
    where: str

    def at(self, due: str, budget: Budget) -> Loaded:
        """The campaign of one audit, under a budget, as a text of its own.

        Its seed is its own too: audits are to be independent.
        """
        sampling = self.campaign.campaign.sampling
        if sampling.seed is not None:
            digest = hashlib.sha256(f"{sampling.seed}:{due}".encode()).digest()
            seed = int.from_bytes(digest[:4], "big") >> 1
            sampling = sampling.model_copy(update={"seed": seed})
        wanted = self.campaign.campaign.model_copy(update={"budget": budget, "sampling": sampling})
        plain = wanted.model_dump(mode="json")
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        return Loaded(wanted, text, self.campaign.folder)


def known() -> list[Path]:
    """The files of all audits, the user's and those that ship."""
    return folders.every("probes/audits", "*.yaml")


def load_audit(name: str) -> LoadedAudit:
    """Read an audit by path, or by name from `probes/audits/`.

    Raises
    ------
    AuditError, CampaignError
        The file is missing, has an unknown key, or its campaign cannot be used.
    """
    path = _path(name)
    where = str(path)
    audit = validate(
        Audit, parse(read_text(path, AuditError), where, AuditError), where, AuditError
    )
    beside = path.parent / audit.campaign
    loaded = load_campaign(str(beside) if beside.is_file() else audit.campaign)
    if audit.targets:
        loaded = _cut_down(loaded, audit.targets, where)
    return LoadedAudit(audit, loaded, where)


def _path(name: str) -> Path:
    """The file of an audit."""
    path = Path(name)
    if path.is_file():
        return path
    found = folders.find(f"probes/audits/{name}.yaml")
    if found is None:
        near = did_you_mean(name, [p.stem for p in known()])
        raise AuditError(
            "there is no such audit",
            where=name,
            next=f"write probes/audits/{name}.yaml, or give a path; {near}",
        )
    return found


def _cut_down(loaded: Loaded, targets: list[str], where: str) -> Loaded:
    """A campaign with some of its targets."""
    whole = loaded.campaign
    names = [t.name for t in whole.targets]
    for target in targets:
        if target not in names:
            raise AuditError(
                f"the campaign has no target '{target}': {did_you_mean(target, names)}",
                where=where,
                next="name targets of the campaign",
            )
    kept = [t for t in whole.targets if t.name in targets]
    claim = whole.claim if whole.claim and whole.claim.target in targets else None
    return loaded._replace(campaign=whole.model_copy(update={"targets": kept, "claim": claim}))
