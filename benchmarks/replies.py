"""Any bytes as status line, head and body of a reply: each becomes a status that can be stored.

usage: python benchmarks/replies.py [EXAMPLES] [SEED]

Sends replies that hypothesis draws (`tests/hostile.py`) over loopback to an endpoint, each as drawn
and in nine damaged forms, and counts what became of them. Fails at the first that crashes, hangs,
or costs more than its worst case.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import hypothesis

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from tests.hostile import EXAMPLES, damaged, replies  # noqa: E402
from tests.targets.test_received import Raw, check  # noqa: E402

MANY = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
FORMS = 10
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1


def main() -> None:
    raw, found, began = Raw(), Counter[str](), time.monotonic()

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=max(1, MANY // FORMS),
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(sent=replies)
    def drawn(sent: bytes) -> None:
        found.update(check(raw, form) for form in (sent, *damaged(sent, FORMS - 1)))

    try:
        found.update(check(raw, example) for example in EXAMPLES)
        drawn()
    finally:
        raw.close()
    print(f"{sum(found.values()):,} replies, seed {SEED}, {time.monotonic() - began:.0f} s")
    for status, count in found.most_common():
        print(f"{status:>10} {count:>9,}")


if __name__ == "__main__":
    main()
