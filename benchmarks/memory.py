"""Peak memory of `truename score` on many replies, against the project's own limit (600 MB)."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

from harness.counting import score_file

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
LIMIT = 600
REPLY = (
    "Hello, number {number}! I am Qwen, a model made by Alibaba Cloud, "
    "and I can help you with {things} things."
)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "replies.jsonl"
    with path.open("w") as out:
        for number in range(ROWS):
            reply = REPLY.format(number=number, things=number % 977)
            out.write(json.dumps({"id": number, "reply": reply}) + "\n")
    found = score_file(path, Path(folder) / "out.csv")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(
    f"{found.rows:,} replies scored, {found.failed} failed; "
    f"peak {peak:.0f} MB, ratio to the limit {peak / LIMIT:.2f}"
)
