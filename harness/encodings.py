"""In which encoding a text file of others is: recognised by how it begins, or refused by name.

UTF-8, and UTF-16 and UTF-32 with a byte order mark or, where they say no more than Latin letters at
their beginning, without one. Whatever else is in a file is not guessed: a wrong guess would score
other words than those that were said.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import IO, Final

from harness.errors import TruenameError

#: Byte order marks; the longer ones first, for one begins like another.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Where zeros stand in four bytes of Latin letters.
_ZEROS: Final[dict[tuple[bool, ...], str]] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}


def encoding_of(start: bytes) -> str:
    """The encoding of a text by its first bytes; UTF-8 where nothing says otherwise."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    return _ZEROS.get(tuple(byte == 0 for byte in start[:4]), "utf-8")


def open_text(path: Path, errors: str = "strict") -> IO[str]:
    """A text file, its line ends as they are.

    Raises
    ------
    OSError
        It cannot be opened. Reading raises `UnicodeDecodeError`: see `refused`.
    """
    with path.open("rb") as file:
        encoding = encoding_of(file.read(4))
    return path.open(encoding=encoding, errors=errors, newline="")


def text_of(path: Path, error: type[TruenameError]) -> str:
    """All that a text file says, without a byte order mark; its lines end with ``\\n``.

    Raises
    ------
    OSError
        It cannot be read.
    TruenameError
        ``error``: it is in none of the encodings that are recognised.
    """
    content = path.read_bytes()
    try:
        text = content.decode(encoding_of(content[:4]))
    except UnicodeDecodeError as problem:
        raise refused(path, problem, error) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def refused(
    path: Path, problem: UnicodeDecodeError, error: type[TruenameError], named: str | None = None
) -> TruenameError:
    """What to say of a file whose bytes are not what they seemed; ``problem`` is what was met.

    ``named`` is what the user knows the file by, where that is not its path.
    """
    byte = problem.object[problem.start]
    called = problem.encoding.upper()
    line = _line_of(path, called)
    return error(
        f"the file is no {called} text: byte 0x{byte:02X} does not belong there",
        where=f"{named or path}, line {line}" if line else named or str(path),
        next="say in which encoding it was saved and convert it, such as "
        f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > converted{path.suffix}",
    )


def _line_of(path: Path, encoding: str) -> int | None:
    """The first line that is not in an encoding, where lines can be told by bytes."""
    if not encoding.startswith("UTF-8"):
        return None
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                return number
    return None
