"""Which hosts of an aggregator may answer, and whether one of them did.

OpenRouter (reference: "Provider Routing", "List all endpoints for a model"): the body's
`provider.only` holds hosts by tag, `deepinfra` or `deepinfra/fp8`; an answer names its host in
`provider`, as `provider_name` in the model's list of endpoints, which holds both. The name says
nothing of a quantisation: that is what the list claims of a tag.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import quote

from harness.campaign import EndpointTarget
from harness.errors import TargetError
from harness.targets import received
from harness.targets.host import Host
from harness.targets.problems import Refused
from harness.targets.protocol import Response

#: Statuses of samples that nobody answered.
_UNANSWERED: Final = ("failed", "unsupported")
#: Hosts of a list that are named at most.
MOST: Final = 64


class Listed(NamedTuple):
    """A host of a model: its tag, and what answers call it."""

    tag: str
    name: str


class Routing:
    """The hosts that one target may be answered by; every one where it names none."""

    def __init__(self, settings: EndpointTarget) -> None:
        self.settings = settings
        only = (settings.provider or {}).get("only")
        self.only = [str(tag) for tag in only] if isinstance(only, list) else []
        self._names = {_plain(_host(tag)) for tag in self.only}

    async def listed(self, host: Host) -> list[Listed]:
        """The hosts that an aggregator lists for the model; none where it has no such list."""
        model = quote(self.settings.model, safe="/:")
        try:
            got = await host.wire.get(f"{host.at.base}/models/{model}/endpoints{host.at.query}")
        except Refused:
            return []
        data = (received.object_of(got.body) or {}).get("data")
        found = data.get("endpoints") if isinstance(data, dict) else None
        entries = found if isinstance(found, list) else []
        return [listed for one in entries[:MOST] if (listed := _listed(one)) is not None]

    async def learn(self, host: Host) -> list[str]:
        """Find out what answers call the hosts that are named; notes, where none is.

        Raises
        ------
        TargetError
            The aggregator lists the model's hosts, and one that is named is not among them.
        """
        if not self.only and "openrouter" not in host.url:
            return []
        listed = await self.listed(host)
        line = f"providers: [{', '.join(dict.fromkeys(one.tag for one in listed))}]"
        if not self.only:
            instead = f"write '{line}' to ask each" if listed else "pin it with `providers`"
            return [f"the aggregator may route every call to another backend: {instead}"]
        for tag in self.only if listed else ():
            names = {_plain(one.name) for one in listed if tag in (one.tag, _host(one.tag))}
            if not names:
                raise TargetError(
                    f"no host of {self.settings.model} is called {tag}",
                    where=f"target {self.settings.name}",
                    next=f"the aggregator lists these: '{line}'",
                )
            self._names |= names
        return []

    def judge(self, response: Response) -> None:
        """Mark samples `misrouted` that another host gave, or nobody says which."""
        said = response.provider
        if not self.only or (said and _plain(said) in self._names):
            return
        who = f"{said} gave this answer" if said else "the answer does not say which host gave it"
        for reply in response.replies:
            if reply.status not in _UNANSWERED:
                reply.status = "misrouted"
                reply.error = f"{who}, and only {', '.join(self.only)} was asked"
                response.whole = False


def _listed(found: Any) -> Listed | None:
    if not isinstance(found, dict):
        return None
    tag, name = received.name(found.get("tag")), received.name(found.get("provider_name"))
    return Listed(tag, name) if tag and name else None


def _host(tag: str) -> str:
    return tag.partition("/")[0]


def _plain(name: str) -> str:
    """A name without case, spaces and marks, as tags and names of one host differ in these."""
    return "".join(letter for letter in name if letter.isalnum()).lower()
