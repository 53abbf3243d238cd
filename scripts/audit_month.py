"""A month of audits in compressed time.

usage: python scripts/audit_month.py FOLDER

They are of a host that swaps the lab's donor for its suspect, goes down, and returns. Leaves
FOLDER/results with the history and the page, and prints what `truename audit status` prints.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.audits import run_audit
from tests.audits.shop import DAY, START, Lab, Shop, prepared
from tests.openai_server import FakeHost

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
shop = Shop(FakeHost, Lab())
loaded = prepared(folder, shop)
for day in range(1, 31):
    shop.day = day
    run_audit(loaded, folder / "results", None, now=START + (day - 1) * DAY)
shop.host.close()
audit = [sys.executable, "-m", "harness.cli", "audit"]
for command in ("status", "page"):
    subprocess.run([*audit, command, "--results", str(folder / "results")], check=True)
