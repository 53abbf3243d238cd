"""Addresses of a host: of its routes, and of those that would have been right.

A `base_url` may end with a query (`?api-version=...`), which stays at the end of every address made
of it, and may name the chat route whole. Where nothing is found there, `likely` says what else
the same host may mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from harness.campaign import RemoteTarget, secrets_of
from harness.masking import know

#: Where a target's entry names no address.
OPENAI: Final = "https://api.openai.com/v1"
#: Routes of the API that may stand at the end of a base_url, the longest first.
_ROUTES: Final = ("/chat/completions", "/completions")
#: Where hosts keep the API: most of them, OpenRouter, Groq, Google, DeepInfra, Fireworks, Alibaba,
#: Zhipu and Volcengine.
PREFIXES: Final = (
    *("/v1", "/api/v1", "/openai/v1", "/v1beta/openai", "/v1/openai", "/inference/v1"),
    *("/compatible-mode/v1", "/api/paas/v4", "/api/v3"),
)
#: Azure's older API: a deployment stands in the path, the version in the query.
DEPLOYMENTS: Final = "/openai/deployments/"
_AZURE: Final = (".azure.com", ".azure.us", ".azure.cn")
#: The version of Azure's inference API that its reference names as the latest one that stays.
AZURE_VERSION: Final = "api-version=2024-10-21"


class Addresses(NamedTuple):
    """The addresses of one host; ``query`` begins with its question mark, or is empty.

    ``route`` is where requests go: that of chats, where an API has no other.
    """

    base: str
    query: str
    route: str = "/chat/completions"

    @property
    def chat(self) -> str:
        return f"{self.base}{self.route}{self.query}"

    @property
    def raw(self) -> str:
        return f"{self.base}/completions{self.query}"

    @property
    def models(self) -> str:
        return f"{self.base}/models{self.query}"

    def beside(self, route: str) -> str:
        """A route of the server beside the API, as llama.cpp and vLLM have them."""
        return f"{self.base.removesuffix('/v1')}{route}{self.query}"

    def __str__(self) -> str:
        return self.base + self.query


#: Where the official clients of an engine's API find its address, and its own host.
_OF_ENGINE: Final = {
    "anthropic": ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
    "bedrock": (
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        "https://bedrock-runtime.{region}.amazonaws.com",
    ),
    "ollama": ("OLLAMA_HOST", "http://127.0.0.1:11434"),
}


def address_of(settings: RemoteTarget) -> str:
    """Where a target's requests go, as its entry or the environment says it.

    What of it is secret is known from then on.
    """
    variable, own = _OF_ENGINE.get(settings.engine, ("OPENAI_BASE_URL", OPENAI))
    own = own.format(region=getattr(settings, "region", ""))
    found = settings.base_url or os.environ.get(variable) or own
    if "://" not in found:  # as Ollama's variable may be: 0.0.0.0, gpu-box, 127.0.0.1:11434
        found = f"http://{found}" if ":" in found else f"http://{found}:11434"
    know_address(found)
    return found.rstrip("/")


def know_address(url: str) -> None:
    """Make known what an address, such as one of the environment, holds of secrets."""
    for secret in secrets_of(url):
        know(secret)


def addresses(url: str, routes: tuple[str, ...] = _ROUTES) -> Addresses:
    """What a base_url means; ``routes`` may stand at its end."""
    whole, _, _ = url.partition("#")
    base, mark, query = whole.partition("?")
    base = base.rstrip("/")
    for route in routes:
        if base.endswith(route):
            base = base.removesuffix(route).rstrip("/")
            break
    return Addresses(base, mark + query if query else "")


def is_azure(url: str) -> bool:
    """Whether a host wants Azure's header for keys: `api-key` and no bearer."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (parts.hostname or "").endswith(_AZURE) or DEPLOYMENTS in parts.path


def likely(wrong: Addresses, model: str) -> Iterator[Addresses]:
    """Addresses of the same host that may have been meant, the likeliest first."""
    parts = urlsplit(wrong.base)
    root = f"{parts.scheme}://{parts.netloc}"
    bases = [wrong.base + "/v1", wrong.base.removesuffix("/v1")]
    bases += [root + prefix for prefix in (*PREFIXES, "")]
    found = [wrong._replace(base=base) for base in bases]
    deployment = f"{root}{DEPLOYMENTS}{quote(model, safe='')}"
    if is_azure(wrong.base) or "api-version=" in wrong.query:
        query = wrong.query if "api-version=" in wrong.query else f"?{AZURE_VERSION}"
        at = wrong.base if DEPLOYMENTS in wrong.base else deployment
        found = [Addresses(at, query), Addresses(deployment, query), *found]
        found.append(Addresses(f"{root}/openai/v1", ""))
    yield from (one for one in dict.fromkeys(found) if one != wrong)
