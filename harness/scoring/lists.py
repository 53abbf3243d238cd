"""The word lists of `data/`, one file a language, as if they were one.

`data/README.md` says what each list is for. A reply may mix languages, so all are looked for at
once; the order of files and of words means nothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from harness.campaign import parse, read_text
from harness.errors import ScoreError

FOLDER: Final = Path(__file__).with_name("data")


@cache
def _languages() -> list[dict[str, Any]]:
    paths = sorted(FOLDER.glob("*.yaml"))
    return [parse(read_text(path, ScoreError), str(path), ScoreError) for path in paths]


def _found(*keys: str) -> list[Any]:
    """What each language has under a key, or a key within another."""
    found = _languages()
    for key in keys:
        found = [each[key] for each in found if key in each]
    return found


def words(*keys: str) -> list[str]:
    """The words, or regular expressions without spaces, of a list in every language."""
    return list(dict.fromkeys(word for text in _found(*keys) for word in text.split()))


def phrases(*keys: str) -> list[str]:
    """The phrases of a list in every language, which "; " stands between."""
    return [phrase for text in _found(*keys) for phrase in text.split("; ")]


def any_of(*keys: str) -> str:
    """A regular expression, without a group, for any word of a list; the longest counts."""
    return "|".join(sorted(words(*keys), key=len, reverse=True))


def namings() -> list[tuple[str, list[dict[str, str]]]]:
    """How scripts without capitals give a name, as regular expressions.

    By a character of the script: what stands before a name, the name, and what stands behind.
    """
    return [(each["script"], each["namings"]) for each in _languages() if "namings" in each]
