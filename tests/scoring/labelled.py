"""Labelled replies of the project's own, in fifteen languages."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def labelled() -> list[dict[str, Any]]:
    path = Path(__file__).with_name("labelled.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
