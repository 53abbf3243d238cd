"""How long it takes to hide a key in a reply of 8 MB that a host made of it: CPU seconds by kind.

python benchmarks/masking.py [MEGABYTES]
"""

from __future__ import annotations

import base64
import random
import sys
import time

from harness.masking import Masker

KEY = "sk-planted-Ab3dEf7hIj9kLmN0pQr5tUvWx2"


def pieces(size: int, shortest: int, longest: int) -> str:
    """Pieces of the key, one beside the other, with a letter between."""
    draw, made, done = random.Random(1), [], 0
    while done < size:
        length = draw.randint(shortest, longest)
        at = draw.randrange(len(KEY) - length + 1)
        made.append(KEY[at : at + length] + draw.choice(" ,;x"))
        done += length + 1
    return "".join(made)


def repeated(text: str, size: int) -> str:
    return text * (size // len(text))


def main() -> None:
    size = int(float(sys.argv[1] if len(sys.argv) > 1 else 8) * 1e6)
    known = Masker()
    known.know(KEY)
    known.hide(KEY[:9])
    for kind, text in {
        "pieces of 8 to 12": pieces(size, 8, 12),
        "pieces of 5 to 7": pieces(size, 5, 7),
        "whole keys": repeated(f"{KEY} ", size),
        "first letters": repeated(KEY[:4], size),
        "escapes": repeated("\\u0041%41&#65;", size),
        "base64": repeated(base64.b64encode(KEY.encode()).decode(), size),
        "plain words": repeated("The quick brown fox. ", size),
    }.items():
        began = time.process_time()
        left = known.hide(text)
        took = time.process_time() - began
        print(f"{kind:18} {len(text) / 1e6:5.1f} MB {took:6.2f} s, {len(left) / 1e6:5.1f} MB left")


if __name__ == "__main__":
    main()
