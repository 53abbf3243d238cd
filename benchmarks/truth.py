"""The merge check's verdict on every case that scripts/merges.py made, as rows of Markdown.

usage: python benchmarks/truth.py .merges/lab
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from harness.weights.check import Settings, check

WHAT = {
    "linear": "mergekit linear, 0.6 and 0.4",
    "slerp": "mergekit slerp, t 0.4",
    "task-arithmetic": "mergekit task_arithmetic, weight 0.6",
    "task-arithmetic-two": "mergekit task_arithmetic, two donors, 0.7 and 0.8",
    "ties": "mergekit ties, density 0.5, weight 1",
    "dare": "mergekit dare_linear, density 0.4, weight 0.6",
    "passthrough": "mergekit passthrough, all but the last layers of the base, "
    "then the donor's from 2 on",
    "donor": "the donor alone",
    "donor-further": "the donor, trained further",
    "sibling": "another fine-tune of the base",
    "linear-then-trained": "the linear merge, trained further",
    "lora": "peft, rank 8 on the base, merged in",
    "donor-int8": "the donor by bitsandbytes, int8",
    "donor-nf4": "the donor by bitsandbytes, nf4, double quantisation",
    "unrelated": "same shape, other random start",
    "linear-of-near-donor": "mergekit linear, 0.6 and 0.4, of a donor within its base's rounding",
}

folder = Path(sys.argv[1])
print("| truth | verdict | ratio of the donors, 95 % | residual, in roundings |\n|---|---|---|---|")
for name, what in WHAT.items():
    if not (folder / name).is_dir():
        continue
    parents = ["near-donor" if "near-donor" in name else "donor"]
    parents += ["sibling", "base"] if name.endswith("two") else ["base"]
    found = check(str(folder / name), [str(folder / parent) for parent in parents], Settings())
    told = dict(line.split(": ", 1) for line in found.verdict.evidence if ": " in line)
    said = next((text for key, text in told.items() if key.startswith("ratio over")), "")
    ratio = re.sub(r" \(95 %\), spread between tensors \S+?(?=,|$)", "", said)
    left = next((text for key, text in told.items() if key.startswith("residual")), "")
    rest = left.split(" times")[0]
    print(f"| {what} | {found.verdict.method}: {found.verdict.sentence} | {ratio} | {rest} |")
