"""How often the verdict takes for a claim, a denial or a refusal what nobody says of a model: sayings, quotations and jokes in the files of `fortune`.

    apt-get download fortunes fortunes-min fortunes-de fortunes-es fortunes-it fortunes-ru fortunes-br
    for each of them: dpkg-deb -x PACKAGE FOLDER
    python benchmarks/sayings.py FOLDER

Signatures are cut off, for they are names; so are what looks like markup and what is longer than 600 characters. The files are read, never
learned from.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from harness.scoring.verdict import verdicts

#: Folders below `fortunes/` by language; files beside them are English. Others are in languages that the classifier does not know, or repeat these.
LANGUAGES = {"de": "de", "es": "es", "it": "it", "ru": "ru", "brasil": "pt"}
REPEATED = {"italia", "luke", "norm", "zuse", "paolotedeschi", "luttazzi", "debian-hints"}


def sayings(folder: Path) -> list[tuple[str, str]]:
    """Language and text of each saying, once."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        below = path.parts[path.parts.index("fortunes") + 1 :] if "fortunes" in path.parts else ()
        language = LANGUAGES.get(below[0], "en" if len(below) == 1 else None) if below else None
        if (
            not path.is_file()
            or path.suffix in (".dat", ".u8")
            or language is None
            or (language == "en" and (below[0] in REPEATED or below[0].startswith("mario.")))
        ):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for saying in text.split("\n%"):
            saying = " ".join(
                re.sub(r"\n[ \t]*(--|—|~|\().*$", "", saying, flags=re.DOTALL).split()
            )
            if 20 < len(saying) < 600 and "<" not in saying and "--" not in saying:
                found.setdefault(saying, language)
    return [(language, saying) for saying, language in found.items()]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (rows := sayings(Path(sys.argv[1]))):
        sys.exit(
            "usage: python benchmarks/sayings.py FOLDER (with usr/share/games/fortunes below it; see the first lines of this file)"
        )
    told: Counter[tuple[str, str]] = Counter(
        (language, found.stance)
        for (language, _), found in zip(rows, verdicts(text for _, text in rows), strict=True)
    )
    count = Counter(language for language, _ in rows)
    print("of 100 sayings, so many pass for    claims  denies  refuses")
    for language, n in count.most_common():
        print(
            f"{language} {n:>10,} sayings              {100 * told[language, 'claims'] / n:>8.1f}{100 * told[language, 'denies'] / n:>8.1f}{100 * told[language, 'refuses'] / n:>9.1f}"
        )
    print(
        f"all {len(rows):>9,}                      "
        + "".join(
            f"{100 * sum(told[lang, s] for lang in count) / len(rows):>{w}.1f}"
            for s, w in (("claims", 8), ("denies", 8), ("refuses", 9))
        )
    )
