"""Paste the output of the demo and of the SmolLM2 campaign into the README.

usage: python scripts/readme.py MARK FILE
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

mark, output = sys.argv[1], Path(sys.argv[2]).read_text("utf-8").rstrip()
readme = Path(__file__).parent.parent / "README.md"
lines = "\n".join(line.rstrip() for line in output.splitlines())
block = f"<!-- {mark} -->\n```text\n{lines}\n```\n<!-- /{mark} -->"
marked = re.compile(rf"<!-- {mark} -->.*?<!-- /{mark} -->", re.DOTALL)
readme.write_text(marked.sub(lambda _: block, readme.read_text("utf-8")), "utf-8")
