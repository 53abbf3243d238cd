"""The chat template of a GGUF file, read without llama.cpp, which never gets to see it.

The format: magic, version, counts, then keys with typed values (the GGUF specification of ggml).
Only the one value is read; all others are stepped over, within the file.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

from harness.errors import TargetError
from harness.targets.templates import MAX_TEMPLATE_CHARACTERS, ChatTemplate

KEY: Final = b"tokenizer.chat_template"
#: Bytes of the values of each kind; strings and arrays say their own length.
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
#: Keys that are looked through.
MOST_KEYS: Final = 10_000


class _Unbounded(Exception):
    """More than is looked through."""


def template_in(path: Path) -> str | None:
    """The template's text, or None where there is none, or the file is no whole GGUF file.

    Raises
    ------
    TargetError
        The file has more keys, or a longer template, than are looked through.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _found(data)
    except (OSError, ValueError, KeyError, struct.error):
        return None  # llama.cpp says what is wrong with the file
    except _Unbounded as problem:
        raise TargetError(
            f"the file's chat template is not read: {problem}",
            where=str(path),
            next="take another file of this model; this one is broken, or hostile",
        ) from None


def _found(data: mmap.mmap) -> str | None:
    magic, version, _, keys = struct.unpack_from("<4sIQQ", data, 0)
    if magic != b"GGUF" or version not in (2, 3):
        return None
    at = 24
    for _ in range(min(keys, MOST_KEYS)):
        key, at = _string(data, at, 65_536)
        (kind,) = struct.unpack_from("<I", data, at)
        at += 4
        if key == KEY and kind == _STRING:
            return _template(data, at)
        at = _behind(data, at, kind)
    if keys > MOST_KEYS:
        raise _Unbounded(f"it is not among the first {MOST_KEYS:,} of {keys:,} keys")
    return None


def _template(data: mmap.mmap, at: int) -> str:
    (size,) = struct.unpack_from("<Q", data, at)
    if size > (most := 4 * MAX_TEMPLATE_CHARACTERS):
        raise _Unbounded(f"it has {size:,} bytes; {most:,} are the most")
    return _string(data, at, most)[0].decode("utf-8", "replace")


def _string(data: mmap.mmap, at: int, longest: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("<Q", data, at)
    if size > longest or at + 8 + size > len(data):
        raise ValueError("a string longer than it may be")
    return data[at + 8 : at + 8 + size], at + 8 + size


def _behind(data: mmap.mmap, at: int, kind: int) -> int:
    """Where a value ends."""
    if kind == _STRING:
        return int(at + 8 + struct.unpack_from("<Q", data, at)[0])
    if kind != _ARRAY:
        return at + _SIZES[kind]
    kind, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if kind != _STRING:
        return int(at + count * _SIZES[kind])
    size = struct.Struct("<Q").unpack_from
    for _ in range(count):
        at += 8 + size(data, at)[0]
    return at


def read_template(path: Path, name: str) -> str | None:
    """The template of a GGUF file, tried; None where llama.cpp's own is taken instead.

    Raises
    ------
    TargetError
        It passes the limits: nothing could be asked of this file.
    """
    source = template_in(path)
    if source and (why := ChatTemplate(source).passes_a_limit()):
        raise TargetError(
            why,
            where=f"target {name}, {path}",
            next="take another file of this model; this one's template is broken, or hostile",
        )
    return source
