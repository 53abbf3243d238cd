"""Text and JSON as any database takes them: lone surrogates and NUL become U+FFFD."""

from __future__ import annotations

import datetime
import re
from typing import Any

import msgspec

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
        return _encode(_clean_deep(msgspec.to_builtins(value))).decode("utf-8")
    if "\\u0000" in said:
        return _encode(_clean_deep(msgspec.json.decode(said))).decode("utf-8")
    return said


def clean(text: str | None) -> str | None:
    """Text without lone surrogates and NUL."""
    if not text or (text.isascii() and "\0" not in text):
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _clean_deep(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean_deep(k): _clean_deep(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_deep(v) for v in value]
    return value
