"""How often the verdict takes for a claim, a denial or a refusal what nobody says of a model.

That is in sayings, quotations and jokes, in the files of `fortune`:

    apt-get download fortunes fortunes-min fortunes-de fortunes-es
    apt-get download fortunes-it fortunes-ru fortunes-br
    for each of them: dpkg-deb -x PACKAGE FOLDER
    python benchmarks/sayings.py FOLDER

Signatures are cut off, for they are names; so are what looks like markup and what is longer than
600 characters. The files are read, never learned from.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from harness.scoring.scorer import verdicts

#: Folders below `fortunes/` by language; files beside them are English. Others are in languages
#: that the classifier does not know, or repeat these.
LANGUAGES = {"de": "de", "es": "es", "it": "it", "ru": "ru", "brasil": "pt"}
REPEATED = {"italia", "luke", "norm", "zuse", "paolotedeschi", "luttazzi", "debian-hints"}


def sayings(folder: Path) -> list[tuple[str, str]]:
    """Language and text of each saying, once."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        language = language_of(path)
        if language is None or path.suffix in (".dat", ".u8") or not path.is_file():
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for saying in text.split("\n%"):
            unsigned = re.sub(r"\n[ \t]*(--|—|~|\().*$", "", saying, flags=re.DOTALL)
            saying = " ".join(unsigned.split())
            if 20 < len(saying) < 600 and "<" not in saying and "--" not in saying:
                found.setdefault(saying, language)
    return [(language, saying) for saying, language in found.items()]


def language_of(path: Path) -> str | None:
    """The language of a file of `fortune`; None for what is not read."""
    below = path.parts[path.parts.index("fortunes") + 1 :] if "fortunes" in path.parts else ()
    if not below:
        return None
    language = LANGUAGES.get(below[0], "en" if len(below) == 1 else None)
    repeated = below[0] in REPEATED or below[0].startswith("mario.")
    return None if language == "en" and repeated else language


def percents(told: Counter[str], of: int) -> str:
    """Of 100 sayings, how many pass for a claim, a denial, a refusal."""
    claims, denies, refuses = (
        100 * told[stance] / of for stance in ("claims", "denies", "refuses")
    )
    return f"{claims:>8.1f}{denies:>8.1f}{refuses:>9.1f}"


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (rows := sayings(Path(sys.argv[1]))):
        sys.exit(
            "usage: python benchmarks/sayings.py FOLDER (with usr/share/games/fortunes below it; "
            "see the first lines of this file)"
        )
    told: dict[str, Counter[str]] = {language: Counter() for language, _ in rows}
    for (language, _), found in zip(rows, verdicts(text for _, text in rows), strict=True):
        told[language][found.stance] += 1
    print("of 100 sayings, so many pass for    claims  denies  refuses")
    for language, n in Counter(language for language, _ in rows).most_common():
        print(f"{language} {n:>10,} sayings              {percents(told[language], n)}")
    everywhere = sum(told.values(), Counter[str]())
    print(f"all {len(rows):>9,}                      {percents(everywhere, len(rows))}")
