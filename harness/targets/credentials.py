"""The key and headers of a host, read from the environment, and hidden in all that is kept."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from harness.campaign import EndpointTarget
from harness.errors import TargetError

HIDDEN: Final = "[key]"
#: Headers that the `openai` package takes from the environment beside the key.
_OPENAI_HEADERS: Final = {
    "OpenAI-Organization": "OPENAI_ORG_ID",
    "OpenAI-Project": "OPENAI_PROJECT_ID",
}


class Credentials:
    """What a target's entry says of its key and headers, read from the environment.

    Raises
    ------
    TargetError
        A variable that the entry names is not set.
    """

    def __init__(self, settings: EndpointTarget) -> None:
        self.key = _key(settings)
        own = _headers(settings)
        self.headers = own | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        read = [own[name] for name in own if settings.headers.get(name, "").startswith("$")]
        #: What must never be kept: the key, and headers' values that come from the environment.
        self.secrets = tuple(secret for secret in (self.key, *read) if secret)

    def hide(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def hide_in(self, body: bytes) -> bytes:
        """An answer without the secrets, however their letters are escaped."""
        for secret in self.secrets:
            if secret.encode() in body or b"\\u00" in body:
                body = _without(body, secret)
        return body


def _without(body: bytes, secret: str) -> bytes:
    body = body.replace(secret.encode(), HIDDEN.encode())
    try:
        plain = msgspec.json.encode(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError):
        return body
    if secret.encode() not in plain:
        return body
    return plain.replace(secret.encode(), HIDDEN.encode())


def _key(settings: EndpointTarget) -> str | None:
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
    return key


def _headers(settings: EndpointTarget) -> dict[str, str]:
    """Extra headers; a value that starts with $ names an environment variable."""
    headers = {}
    if settings.api_key_env == "OPENAI_API_KEY":
        for name, variable in _OPENAI_HEADERS.items():
            if found := os.environ.get(variable):
                headers[name] = found
    for name, value in settings.headers.items():
        headers[name] = _of_environment(value, name, settings) if value.startswith("$") else value
    return headers


def _of_environment(value: str, header: str, settings: EndpointTarget) -> str:
    variable = value[1:]
    found = os.environ.get(variable)
    if found is None:
        raise TargetError(
            f"the environment variable {variable} is not set",
            where=f"target {settings.name}, header {header}",
            next=f"export {variable}=...",
        )
    return found
