"""The key, headers and body fields of a host, read from the environment, and made known as secret.

`$NAME` in a campaign, alone or after a scheme such as `Bearer`, is the variable of that name.
"""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

from harness.campaign import RemoteTarget
from harness.errors import TargetError
from harness.masking import PART, know
from harness.targets.addresses import address_of, is_azure, know_address

#: Headers that the `openai` package takes from the environment beside the key.
_OPENAI_HEADERS: Final = {
    "OpenAI-Organization": "OPENAI_ORG_ID",
    "OpenAI-Project": "OPENAI_PROJECT_ID",
}
#: What the header that carries a key is called, by the engine's API.
_OF_ENGINE: Final = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}
#: The version of Anthropic's API, which each request has to name.
_ANTHROPIC: Final = {"anthropic-version": "2023-06-01"}
_VARIABLE: Final = re.compile(r"((?:[A-Za-z]+ )?)\$(\w+|\{\w+\})")
#: Headers whose values, where a campaign gives them plainly, are known to everybody.
_PUBLIC: Final = frozenset(
    (
        *("accept", "accept-language", "content-type", "user-agent", "anthropic-version"),
        *("http-referer", "referer", "x-title", "openai-beta"),
    )
)


class Credentials:
    """What a target's entry says of its key, headers and body, read from the environment.

    Raises
    ------
    TargetError
        A variable that the entry names is not set.
    """

    def __init__(self, settings: RemoteTarget) -> None:
        self.key = _key(settings)
        own = _headers(settings)
        self.headers = own | (_of_key(settings, self.key) if self.key else {})
        where = f"target {settings.name}, extra_body"
        self.extra_body: dict[str, Any] = _filled(settings.extra_body, where)
        for name, value in settings.headers.items():
            if len(value) >= PART and name.lower() not in _PUBLIC and not _VARIABLE.search(value):
                know(value)
        for proxy in urllib.request.getproxies().values():
            know_address(proxy)


def _of_key(settings: RemoteTarget, key: str) -> dict[str, str]:
    """The header that carries a key.

    Azure, Anthropic and Google want one of their own.
    """
    if (own := _OF_ENGINE.get(settings.engine)) is not None:
        return {own: key}
    if is_azure(address_of(settings)):
        return {"api-key": key}
    return {"authorization": f"Bearer {key}"}


def variables_of(settings: RemoteTarget) -> list[str]:
    """The variables of the environment whose contents are sent to the target's host."""
    found = [settings.api_key_env] if settings.api_key_env else []
    if settings.api_key_env == "OPENAI_API_KEY":
        found += [name for name in _OPENAI_HEADERS.values() if os.environ.get(name)]
    if settings.engine == "bedrock":  # boto3 takes it by itself; other keys only sign
        found += [name for name in ("AWS_BEARER_TOKEN_BEDROCK",) if os.environ.get(name)]
    return list(dict.fromkeys([*found, *_named([settings.headers, settings.extra_body])]))


def _named(value: Any) -> Iterator[str]:
    """The variables that a value of the campaign names, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _named(inner)
    elif isinstance(value, str) and (named := _VARIABLE.fullmatch(value)):
        yield named[2].strip("{}")


def _key(settings: RemoteTarget) -> str | None:
    variable = settings.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise TargetError(
            f"the environment variable {variable} is not set",
            where=f"target {settings.name}",
            next=f"export {variable}=..., or write 'api_key_env: null' if the host wants no key",
        )
    know(key)
    return key


def _headers(settings: RemoteTarget) -> dict[str, str]:
    """Extra headers, with those of `openai`'s own variables."""
    headers = dict(_ANTHROPIC) if settings.engine == "anthropic" else {}
    if settings.api_key_env == "OPENAI_API_KEY":
        for name, variable in _OPENAI_HEADERS.items():
            if found := os.environ.get(variable):
                know(found)
                headers[name] = found
    for name, value in settings.headers.items():
        headers[name] = _filled(value, f"target {settings.name}, header {name}")
    return headers


def _filled(value: Any, where: str) -> Any:
    """A value of the campaign, at any depth, with its variables' contents."""
    if isinstance(value, dict):
        return {name: _filled(inner, f"{where}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, where) for inner in value]
    named = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if named is None:
        return value
    variable = named[2].strip("{}")
    found = os.environ.get(variable)
    if found is None:
        raise TargetError(
            f"the environment variable {variable} is not set",
            where=where,
            next=f"export {variable}=...",
        )
    know(found)
    return named[1] + found
