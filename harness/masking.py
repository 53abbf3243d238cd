"""What must never be written: the secrets that this process knows, hidden in all that leaves it.

There is one masker, and it stands at the border of the process. A secret is made known (`know`)
where it is read from the environment. What a host sends is hidden as it comes in, before anything
of it is cut; the journal, tables, reports, logs and errors hide once more as they go out.

Hidden are, all found first and then replaced in one pass, so that no secret within another leaves
a piece of it:

- a secret, wherever it stands, also with letters escaped as JSON, HTML or an address does it;
- its other spellings: base64 (at each of three places), hexadecimal, upper and lower case,
  reversed;
- a part of it of `PART` letters or more that holds a digit, wherever it stands, escaped too; one
  without a digit where a text was cut: at its ends, beside a quotation mark, an ellipsis or a star.

But: a secret shorter than `PART` is hidden only as a word of its own and if it holds a letter and a
digit. `none`, `EMPTY` and `test` are what people give to hosts that want no key, and are words of
replies and tables.
"""

from __future__ import annotations

import base64
import re
import sys
import threading
import traceback
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from harness.pieces import Pieces

HIDDEN: Final = "[key]"
#: The least that is hidden of a secret that was cut.
PART: Final = 8  # as in `pieces.py`, which is read only where a piece is likely
#: Whatever its place, a part of eight letters holds four that begin at a multiple of five.
_SEED: Final = 4
_STRIDE: Final = PART - _SEED + 1
#: What stands beside a text that was cut, but for the text's own ends.
_CUT: Final = frozenset("\"'\\*\u2026")
#: Escapes of what needs none; each begins with letters that are found quickly.
_ESCAPES: Final = tuple(
    map(re.compile, (r"\\u00[2-7]", r"%(?:25)*[2-7][0-9A-Fa-f]", r"&(?:amp;)*#[0-9xX]"))
)
#: Escapes of what may need one.
#: One letter that is escaped: its number as JSON, an address or HTML writes it, or itself.
_ESCAPED: Final = re.compile(
    r"""\\+u00([2-7][0-9A-Fa-f])|%(?:25)*([2-7][0-9A-Fa-f])"""
    r"""|&(?:amp;)*\#[xX]0*([2-7][0-9A-Fa-f])(?:;|(?![0-9A-Fa-f]))"""
    r"""|&(?:amp;)*\#0*([0-9]{2,3})(?:;|(?![0-9]))|\\+(["\\/'])"""
)
_NEEDED: Final = {
    **{'"': ('\\"', "&quot;"), "&": ("&amp;",), "<": ("&lt;",), ">": ("&gt;",)},
    **{"\\": ("\\\\",), "/": ("\\/",), "'": ("\\'",)},
}


class Masker:
    """The secrets that are known, and how they are found."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._seeds: tuple[str, ...] = ()
        self._pieces: Pieces | None = None
        self._spellings: tuple[str, ...] = ()
        self._patterns: tuple[re.Pattern[str], ...] = ()
        self._words: tuple[re.Pattern[str], ...] = ()
        self._needed: frozenset[str] = frozenset()

    def know(self, secret: str | None) -> None:
        """Hide a secret from now on."""
        for said in _said_of(secret or ""):
            if said not in self._secrets:
                self._add(said)

    def forget(self) -> None:
        """Know nothing any more."""
        self.__init__()  # type: ignore[misc]

    def _add(self, secret: str) -> None:
        self._secrets |= {secret}
        if len(secret) < PART:
            word = rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"
            self._words += (re.compile(word),)
            return
        starts = range(0, len(secret) - _SEED + 1, _STRIDE)
        seeds = (secret[at : at + _SEED] for at in starts)
        self._seeds = tuple(dict.fromkeys((*self._seeds, *seeds)))
        self._pieces = None
        spellings = dict.fromkeys((*self._spellings, secret, *_spellings(secret)))
        self._spellings = tuple(spellings)
        self._needed |= {escape for letter in secret for escape in _NEEDED.get(letter, ())}
        self._patterns += (re.compile("".join(map(_any_escape, secret))),)

    def hide(self, text: str, also: Iterable[tuple[int, int]] = ()) -> str:
        """A text without the secrets, nor what stands at some further places."""
        spans = [*also]
        if self._secrets:
            spans += [*self._found(text), *self._parts(text)]
        if not spans:
            return text
        spans.sort()
        pieces, done = [], 0
        first, end = spans[0]
        for start, stop in chain(spans[1:], [(len(text) + 1, 0)]):
            if start > end:
                pieces += [text[done:first], HIDDEN]
                done, first = end, start
            end = max(end, stop)
        return "".join([*pieces, text[done:]])

    def hide_bytes(self, body: bytes) -> bytes:
        """Bytes without the secrets."""
        if not self._secrets:
            return body
        text = body.decode("latin-1")
        hidden = self.hide(text)
        return body if hidden is text else hidden.encode("latin-1")

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where something is to be hidden; places may overlap."""
        for spelling in self._spellings:
            at = text.find(spelling)
            while at >= 0:
                yield at, at + len(spelling)
                at = text.find(spelling, at + len(spelling))
        patterns = self._words
        if self._escaped(text):
            patterns += self._patterns
            plain, places = _unescaped(text)
            yield from ((places(start), places(stop)) for start, stop in self._parts(plain))
        for pattern in patterns:
            yield from (found.span() for found in pattern.finditer(text))

    def _escaped(self, text: str) -> bool:
        """Whether letters of a secret may stand in a text as escapes."""
        return any(escape in text for escape in self._needed) or any(
            escape.search(text) for escape in _ESCAPES
        )

    def _parts(self, text: str) -> list[tuple[int, int]]:
        """Parts of secrets; most texts hold no seed of one, and are not looked through again."""
        if not any(seed in text for seed in self._seeds):
            return []
        if self._pieces is None:
            from harness.pieces import Pieces

            self._pieces = Pieces(secret for secret in self._secrets if len(secret) >= PART)
        starts, stops, digits = self._pieces.runs(text)
        found = zip(starts.tolist(), stops.tolist(), digits.tolist(), strict=True)
        return [(at, to) for at, to, digit in found if digit or _is_cut(text, at, to)]


def _said_of(secret: str) -> Iterator[str]:
    """What is secret in a value: all of it, what follows a scheme, what a Basic scheme holds."""
    secret = secret.strip()
    scheme, _, rest = secret.partition(" ")
    values = [secret, rest.strip()] if scheme.isalpha() else [secret]
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest, validate=True).decode()
        except ValueError:
            pair = ""
        values += [pair, pair.partition(":")[2]]
    for value in values:
        letters, digits = re.search("[A-Za-z]", value), re.search("[0-9]", value)
        if len(value) >= PART or (len(value) >= _SEED and letters and digits):
            yield value


def _spellings(secret: str) -> Iterator[str]:
    """Other spellings of a secret, each of `PART` letters or more."""
    raw = secret.encode("utf-8", "surrogatepass")
    found = [secret.upper(), secret.lower(), secret[::-1], raw.hex(), raw.hex().upper()]
    if not secret.isascii():
        found.append(raw.decode("latin-1"))
    for shift in range(3):
        # only the letters that hang on nothing but the secret
        first, last = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        padded = base64.b64encode(b"\0" * shift + raw + b"\0\0").decode()[first:last]
        found += [padded, padded.replace("+", "-").replace("/", "_")]
    return (spelling for spelling in found if len(spelling) >= PART and spelling != secret)


def _unescaped(text: str) -> tuple[str, Callable[[int], int]]:
    """A text with its escapes read, and from places in that to places in the text."""
    pieces, at, shorter = [], 0, 0
    begins, longer = [], [0]  # of each escape its place in what is read, and letters lost up to it
    for found in _ESCAPED.finditer(text):
        start, stop = found.span()
        kind = found.lastindex or 0
        said = found[kind]
        letter = said if kind == 5 else chr(int(said, 10 if kind == 4 else 16))
        pieces += [text[at:start], letter]
        begins.append(start - shorter)
        shorter += stop - start - 1
        longer.append(shorter)
        at = stop
    pieces.append(text[at:])
    return "".join(pieces), lambda place: place + longer[bisect_left(begins, place)]


def _any_escape(letter: str) -> str:
    """A pattern of one letter, written as JSON, an address or HTML may write it."""
    number, itself = ord(letter), re.escape(letter)
    needed = _NEEDED.get(letter, ())
    ways = [itself, *(rf"\\+{itself}" if way.startswith("\\") else way for way in needed)]
    ways += [
        rf"\\+u(?i:{number:04x})",
        rf"&(?:amp;)*#(?:0*{number}(?![0-9])|[xX]0*(?i:{number:x})(?![0-9A-Fa-f]));?",
    ]
    ways.append("".join(f"%(?:25)*(?i:{byte:02x})" for byte in letter.encode("utf-8", "replace")))
    return "(?:" + "|".join(ways) + ")"


def _is_cut(text: str, start: int, stop: int) -> bool:
    """Whether a text was cut beside a piece: else it is a word that text and secret may share."""
    before, after = text[start - 1 : start], text[stop : stop + 3]
    return (
        not before or not after or before in _CUT or after[0] in _CUT or after == "..."
    ) or text[max(0, start - 3) : start] == "..."


#: The process's own.
_MASKER: Final = Masker()
know, forget = _MASKER.know, _MASKER.forget
hide, hide_bytes = _MASKER.hide, _MASKER.hide_bytes


def watch_errors() -> None:
    """Let no secret out with what nobody foresaw: errors of threads too, and warnings."""
    sys.excepthook = show_traceback
    threading.excepthook = lambda found: show_traceback(
        found.exc_type, found.exc_value, found.exc_traceback
    )
    sys.unraisablehook = lambda found: show_traceback(
        found.exc_type, found.exc_value, found.exc_traceback
    )
    warnings.showwarning = _show_warning


def show_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Write an error that nobody caught to standard error."""
    if kind is not SystemExit or error is None:
        said = traceback.format_exception(kind, error, trace)
        sys.stderr.write(hide("".join(said)))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    said = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(hide(said))
