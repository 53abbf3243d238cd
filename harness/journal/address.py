"""The address of a database, as it may be shown: without a password, in whatever form it came.

What is secret in it is found here, by its place; it is hidden as all secrets are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

from harness.masking import hide

#: What stands between an address's scheme and its host, and fields of its query that are secret.
_LOGIN: Final = re.compile(r"(?<=://)[^/?#:]*:?([^/?#]*)@")
_FIELD: Final = re.compile(
    r"[?&;\s](?:[a-z_]*password|passwd|pwd|passfile|sslkey)=([^&#;\s]*)", re.I
)


def _places(url: str) -> Iterator[tuple[int, int]]:
    """Where passwords stand in an address."""
    for pattern in (_LOGIN, _FIELD):
        yield from (found.span(1) for found in pattern.finditer(url) if found[1])


def shown(url: str) -> str:
    """An address without its passwords. It may be none that can be read.

    >>> shown("postgresql://me:a:b@h/db?user=x&password=y&sslmode=off")
    'postgresql://me:[key]@h/db?user=x&password=[key]&sslmode=off'
    """
    return hide(url, _places(url))


def passwords(url: str) -> set[str]:
    """Passwords that an address holds, as they stand in it and as they are meant."""
    said = {url[start:stop] for start, stop in _places(url)}
    return said | {unquote_plus(password) for password in said}


def without_passwords(text: str, url: str) -> str:
    """A text, such as a driver's error, without the passwords of an address, however short."""
    patterns = (re.compile(re.escape(password)) for password in passwords(url))
    return hide(text, [found.span() for one in patterns for found in one.finditer(text)])
