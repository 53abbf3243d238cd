"""The address of a database, as it may be shown: without a password, in whatever form it came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

#: What stands between an address's scheme and its host, and fields of its query that are secret.
_LOGIN: Final = re.compile(r"(?<=://)([^/?#]*)@")
_FIELD: Final = re.compile(
    r"([?&;\s](?:[a-z_]*password|passwd|pwd|passfile|sslkey)=)([^&#;\s]*)", re.I
)
HIDDEN: Final = "***"


def shown(url: str) -> str:
    """An address without its passwords. It may be none that can be read.

    >>> shown("postgresql://me:a:b@h/db?user=x&password=y&sslmode=off")
    'postgresql://me:***@h/db?user=x&password=***&sslmode=off'
    """
    url = _LOGIN.sub(lambda found: _login(found[1]), url)
    return _FIELD.sub(rf"\1{HIDDEN}", url)


def _login(login: str) -> str:
    user, colon, _ = login.partition(":")
    return f"{user}{colon}{HIDDEN if colon else ''}@"


def passwords(url: str) -> Iterator[str]:
    """Passwords that an address holds, as they stand in it and as they are meant."""
    said = [found[1].partition(":")[2] for found in _LOGIN.finditer(url)]
    said += [found[2] for found in _FIELD.finditer(url)]
    for password in said:
        if password:
            yield password
            yield unquote_plus(password)


def without_passwords(text: str, url: str) -> str:
    """A text, such as a driver's error, without the passwords of an address."""
    for password in passwords(url):
        text = text.replace(password, HIDDEN)
    return text
