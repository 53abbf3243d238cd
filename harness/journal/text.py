"""Text and JSON as any database takes them, and as anybody may read them.

Lone surrogates and NUL become U+FFFD, secrets that this process knows are hidden.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import msgspec

from harness.masking import hide

_UNSTORABLE = re.compile("[\ud800-\udfff\0]")
_encode = msgspec.json.Encoder().encode


def now() -> str:
    """The present, as the database holds it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def to_json(value: Any) -> str:
    """JSON of anything that msgspec encodes, structs among it."""
    try:
        said = _encode(value).decode("utf-8")
    except UnicodeEncodeError:  # lone surrogates
        said = _encode(_clean_deep(msgspec.to_builtins(value))).decode("utf-8")
    if "\\u0000" in said:
        said = _encode(_clean_deep(msgspec.json.decode(said))).decode("utf-8")
    return hide(said)


def clean(text: str | None) -> str | None:
    """Text without lone surrogates, NUL and secrets."""
    if not text:
        return text
    if not text.isascii() or "\0" in text:
        text = _UNSTORABLE.sub("\ufffd", text)
    return hide(text)


def _clean_deep(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean_deep(k): _clean_deep(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_deep(v) for v in value]
    return value
